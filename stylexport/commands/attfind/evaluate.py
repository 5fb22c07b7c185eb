"""`stylexport attfind evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stylexport.console import json_option, print_json, say, steps_progress, verbose_option

_PATH = click.Path(path_type=Path)


@click.command("evaluate")
@click.argument("run", type=_PATH)
@click.option("--target-class", "target", metavar="C", help="Only the list towards this label (name or number); by default every list.")
@click.option("--top", type=click.IntRange(min=1), metavar="K", help="Up to how many attributes together; by default the longest list.")
@click.option(
    "--random", "drawings", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="Drawings of random coordinates."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random coordinates.")
@click.option("--model", type=_PATH, metavar="DIR", help="The converted folder; by default the one that the run names.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="How many images are made at once.")
@json_option
@verbose_option
def command(
    run: Path,
    target: str | None,
    top: int | None,
    drawings: int,
    seed: int,
    model: Path | None,
    device: str,
    batch: int,
    as_json: bool,
) -> None:
    """Count how many images change their class when the selected attributes of a RUN move together.

    Each image is moved by the list of a class that it is not of. Against as many random coordinates, and those that vary most. Writes
    RUN/evaluation.json and RUN/evaluation.html.
    """
    from stylexport.attfind.api import AttFind

    options: dict[str, Any] = {"target": target, "top": top, "random": drawings, "seed": seed, "batch": batch}
    with steps_progress() as progress:
        values = AttFind(model, device=device).evaluate(run, progress=progress, **options)
    if as_json:
        print_json(values)
        return
    _print(values)
    say(f"wrote {run / 'evaluation.html'}")


def _print(values: dict[str, Any]) -> None:
    """The table on the terminal."""
    sufficiency = values["sufficiency"]
    lists = " and ".join(f"{length} towards {label}" for label, length in values["attributes"].items())
    say(f"{values['images']} images, attributes: {lists}; share whose class changes when the first K coordinates move together:")
    say("  K  attributes  95 % interval   random  vary most      L1")
    rows = zip(
        *(sufficiency[name]["all"] for name in ("attributes", "random", "variance")), values["change"]["attributes"]["l1"], strict=True
    )
    for own, random, variance, l1 in rows:
        interval = f"{own['low']:.0%} to {own['high']:.0%}"
        say(f"{own['k']:3}  {own['share']:10.0%}  {interval:>13}  {random['share']:7.0%}  {variance['share']:9.0%}  {l1:6.4f}")
    for label, by_class in sufficiency["attributes"]["classes"].items():
        say(f"of class {label}: {by_class[-1]['share']:.0%} of {by_class[-1]['images']} images with all {values['top']}")
    least = values["least"]
    say(f"The goal's logit is {values['gap']:.2g} below the image's own at first (median).")
    if least["median"] is not None:
        say(f"An image that changes needs {least['median']:g} attributes (median); {least['never']} do not change.")
    for remark in values["remarks"]:
        say(f"note: {remark}")
