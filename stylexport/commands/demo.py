"""`stylexport demo`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylexport.console import json_option, print_json, say, steps_progress, verbose_option

if TYPE_CHECKING:
    from stylexport.demonstration import Demonstration

MAGNIFIED = 100_000
PARITY = "parity"  # the report's folder beside the demo's page
TEMPLATE = Path(__file__).parents[1] / "templates" / "demo.html"


@click.command("demo")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True, help="Folder to write."
)
@json_option
@verbose_option
def command(out: Path, as_json: bool) -> None:
    """Convert the embedded release, prove that nothing changed, and show it.

    Writes OUTPUT/converted, OUTPUT/index.html and the proof's report OUTPUT/parity. Exit code 1 where PyTorch and TensorFlow disagree.
    """
    from stylexport.demonstration import demonstrate

    with steps_progress() as progress:
        found = demonstrate(out, progress)
    from stylexport.parity.report import write

    write(found.report, out / PARITY)
    _write_page(found, out / "index.html")
    if as_json:
        print_json(_facts(found, out))
    else:
        _print(found, out)
    sys.exit(0 if found.passed else 1)


def _facts(found: Demonstration, out: Path) -> dict[str, Any]:
    report = found.report
    return {
        "passed": found.passed,
        "verdict": report.verdict,
        "coverage": {"taps": report.taps, "matched": report.matched},
        "digits": {"count": len(found.digits), "same_answers": found.same_answers, "right_answers": found.right_answers},
        "page": str(out / "index.html"),
        "report": str(out / PARITY / "report.json"),
    }


def _print(found: Demonstration, out: Path) -> None:
    """The verdict in a few lines, or where it is not a pass the whole tree; then where the pages are."""
    from rich.console import Console

    from stylexport.parity.report import print_tree
    from stylexport.parity.report.words import because, headline

    if found.report.exit_code:
        print_tree(found.report, Console(highlight=False))
    else:
        say(headline(found.report))
        say(because(found.report))
    count, right = len(found.digits), found.right_answers / len(found.digits)
    say(f"{found.same_answers:,} of {count:,} held-out digits get TensorFlow's answer; {100 * right:.2f} % are right.")
    say(f"The demo: {out / 'index.html'}")
    say(f"Its proof, layer by layer: {out / PARITY / 'index.html'}")


def _write_page(found: Demonstration, target: Path) -> None:
    import numpy as np

    from stylexport.pages.render import png, render
    from stylexport.parity.report.words import because

    def probability(logits: Any) -> Any:
        return 1 / (1 + np.exp(np.diff(logits.astype(np.float64), axis=1)[:, 0]))

    ours, theirs = probability(found.digit_logits_torch), probability(found.digit_logits_tf)
    nearest = [int(i) for i in np.argsort(np.abs(ours - 0.5))[:8]]
    digits = [
        {
            "image": png(found.digits[i] / 127.5 - 1, 2),
            "label": 8 + int(found.digit_labels[i]),
            "probability": ours[i],
            "probability_tf": theirs[i],
        }
        for i in [*range(8), *nearest]
    ]
    pictures = found.report.pictures
    assert pictures.images_tf is not None
    assert pictures.images_torch is not None
    images = [
        {"tf": png(tf, 3), "torch": png(torch, 3), "difference": png((torch - tf) * MAGNIFIED, 3)}
        for tf, torch in zip(pictures.images_tf, pictures.images_torch, strict=True)
    ]
    recoded = [
        {"original": png(original, 2), "reconstructed": png(again, 2), "swapped": png(swapped, 2)}
        for original, again, swapped in zip(found.originals, found.reconstructed, found.swapped, strict=True)
    ]
    render(
        TEMPLATE,
        target,
        passed=found.passed,
        because=because(found.report),
        fault=found.report.first_fault,
        proof=f"{PARITY}/index.html",
        resolution=pictures.images_tf.shape[-1],
        images=images,
        magnified=MAGNIFIED,
        recoded=recoded,
        digits=digits,
        same=found.same_answers,
        count=len(found.digits),
        right=found.right_answers,
        logit_error=float(np.abs(found.digit_logits_torch - found.digit_logits_tf).max()),
    )
