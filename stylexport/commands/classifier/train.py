"""`stylexport classifier train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from stylexport.console import importing, json_option, print_json, say, steps_progress, verbose_option

_PATH = click.Path(path_type=Path)


@click.command("train")
@click.argument("settings", nargs=-1, metavar="[CONFIG.yaml] [name=value]...")
@click.option("--data", type=_PATH, metavar="DIR", help="A folder of pictures, a subfolder a label.  [default: MNIST's 8 and 9]")
@click.option("--csv", type=_PATH, metavar="FILE", help="A table of the folder's files and their labels.")
@click.option("-o", "--output", "out", required=True, type=_PATH, metavar="OUT", help="The folder to write.")
@click.option("--resume", is_flag=True, help="Go on with what OUT holds.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="cuda is each process's own.")
@json_option
@verbose_option
def command(settings: tuple[str, ...], data: Path | None, csv: Path | None, out: Path, resume: bool, device: str, as_json: bool) -> None:
    """Train a classifier, and report accuracy and calibration on images that it was not trained on.

    A MobileNetV1 becomes a converted folder, which `attfind effects --classifier` and `stylexport train` take. Settings, such as
    architecture=torchvision:densenet121, data.resolution=64 or epochs=20, are in docs/training-data.md.
    """
    if csv is not None and data is None:
        raise click.UsageError("--csv labels the pictures of --data; name their folder")
    files = [text for text in settings if "=" not in text]
    if len(files) > 1:
        raise click.UsageError(f"one CONFIG.yaml, not {', '.join(files)}; settings are name=value")
    named = [text for text in settings if "=" in text]
    if data is not None:
        named += [f"data.kind={'folder' if csv is None else 'csv'}", f"data.path={data}", *([] if csv is None else [f"data.csv={csv}"])]

    with importing("train", "classifier train"):
        from stylexport.training.classifier.classifier_config import read_training
        from stylexport.training.classifier.train_classifier import train_classifier

    config = read_training(Path(files[0]) if files else None, named)
    with steps_progress() as progress:
        found = train_classifier(config, out, device=device, resume=resume, progress=progress)
    if int(os.environ.get("RANK", "0")):
        return
    if as_json:
        print_json(found)
        return
    _print(found, out)


def _print(found: dict[str, Any], out: Path) -> None:
    """The figures, and how to use the classifier."""
    say(f"right on {found['accuracy']:.2%} of {found['images']:,} held-out images (Brier {found['brier']:.4f})")
    for label, share in found["by_label"].items():
        say(f"  {label}: {share:.2%}")
    say(f"calibration error {found['ece']:.4f} (15 bins); temperature {found['temperature']:.2f}")
    for remark in found["remarks"]:
        say(f"note: {remark}")
    say(f"wrote {out}; use it by {found['use']}")
