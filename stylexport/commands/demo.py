"""`stylexport demo`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylexport.console import json_option, print_json, verbose_option

if TYPE_CHECKING:
    from stylexport.demonstration import Demonstration

MAGNIFIED = 100_000
TEMPLATE = Path(__file__).parents[1] / "templates" / "demo.html"


@click.command("demo")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True, help="Folder to write."
)
@json_option
@verbose_option
def command(out: Path, as_json: bool) -> None:
    """Convert the embedded release, run it, and show that nothing changed.

    Writes OUTPUT/converted and OUTPUT/index.html. Exit code 1 where PyTorch and TensorFlow disagree.
    """
    from stylexport.demonstration import demonstrate

    found = demonstrate(out)
    _write_page(found, out / "index.html")
    if as_json:
        rows = [{"network": r.network, "output": r.output, "error": r.error, "limit": r.limit, "agrees": r.agrees} for r in found.rows]
        digits = {"count": len(found.digits), "same_answers": found.same_answers, "right_answers": found.right_answers}
        print_json({"passed": found.passed, "rows": rows, "digits": digits, "page": str(out / "index.html")})
    else:
        _print(found, out)
    sys.exit(0 if found.passed else 1)


def _print(found: Demonstration, out: Path) -> None:
    click.echo("PyTorch against TensorFlow, largest error over standard deviation:")
    for row in found.rows:
        mark = "agrees" if row.agrees else "DIFFERS"
        click.echo(f"  {row.network:14}{row.output:14}{row.error:9.1e}  (limit {row.limit:.0e})  {mark}")
    count = len(found.digits)
    click.echo(
        f"  {found.same_answers} of {count} held-out digits get TensorFlow's answer; {100 * found.right_answers / count:.2f} % are right"
    )
    click.echo(f"{'the same function' if found.passed else 'NOT the same function'}: open {out / 'index.html'}")


def _write_page(found: Demonstration, target: Path) -> None:
    import numpy as np

    from parity.pages import png, render

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
    images = [
        {"tf": png(tf, 3), "torch": png(torch, 3), "difference": png((torch - tf) * MAGNIFIED, 3)}
        for tf, torch in zip(found.images_tf, found.images_torch, strict=True)
    ]
    recoded = [
        {"original": png(original, 2), "reconstructed": png(again, 2), "turned": png(turned, 2)}
        for original, again, turned in zip(found.originals, found.reconstructed, found.turned, strict=True)
    ]
    render(
        TEMPLATE,
        target,
        passed=found.passed,
        rows=found.rows,
        resolution=found.images_tf.shape[-1],
        images=images,
        magnified=MAGNIFIED,
        recoded=recoded,
        digits=digits,
        same=found.same_answers,
        count=len(found.digits),
        right=found.right_answers,
        logit_error=float(np.abs(found.digit_logits_torch - found.digit_logits_tf).max()),
    )
