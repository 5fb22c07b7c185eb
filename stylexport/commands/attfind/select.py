"""`stylexport attfind select`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylexport.console import json_option, print_json, say, verbose_option

if TYPE_CHECKING:
    from stylexport.attfind.select.attributes import Selection
    from stylexport.attfind.select.rules import Strategy

_PATH = click.Path(path_type=Path)
STRATEGIES = ("global", "image-fraction", "independent", "subset")


@click.command("select")
@click.argument("run", type=_PATH)
@click.option("--target-class", "target", metavar="C", help="A label's name or number. Without it: of two classes, both combined.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, metavar="K", help="At most so many attributes.")
@click.option("--strategy", type=click.Choice(STRATEGIES), default="global", show_default=True)
@click.option("--image", type=click.IntRange(min=0), metavar="I", help="The image that independent and subset are about.")
@click.option(
    "--threshold", type=click.FloatRange(min=0, min_open=True), metavar="T", help="Of global; by default 1.0 combined, 0.5 one against all."
)
@click.option("--discriminator", is_flag=True, help="Leave out what makes unreal images. Needs the model.")
@click.option("--candidates", type=click.IntRange(min=1), default=64, show_default=True, metavar="N", help="Of subset: tried at each step.")
@click.option("--add-effects", is_flag=True, help="Of subset: add effects; do not ask the model what coordinates do together.")
@click.option("--model", type=_PATH, metavar="DIR", help="The converted folder; by default the one that the run names.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@json_option
@verbose_option
def command(
    run: Path,
    target: str | None,
    top: int,
    strategy: Strategy,
    image: int | None,
    threshold: float | None,
    discriminator: bool,
    candidates: int,
    add_effects: bool,
    model: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Select from the effects of a RUN the attributes that change the classifier's mind.

    Writes RUN/attributes.json. Numbers that are not chosen are the authors' (docs/attfind.md).
    """
    if threshold is not None and strategy != "global":
        raise click.UsageError("--threshold is of --strategy global")
    if (image is not None) != (strategy in ("independent", "subset")):
        raise click.UsageError("--image I goes with --strategy independent or subset, and they with it")
    if add_effects and strategy != "subset":
        raise click.UsageError("--add-effects is of --strategy subset")
    from stylexport.attfind.api import AttFind
    from stylexport.attfind.select.rules import Rules

    rules = Rules(threshold=threshold, candidates=candidates)
    options: dict[str, Any] = {"top": top, "strategy": strategy, "image": image, "discriminator": discriminator, "add_effects": add_effects}
    found = AttFind(model, device=device).select(run, target, rules=rules, **options)
    if as_json:
        print_json(found.to_json())
        return
    _print(found)
    say(f"wrote {run / 'attributes.json'}")


def _print(found: Selection) -> None:
    say(f"{'':>3}  {'direction':11}{'coordinate':>11}  {'layer':12}{'channel':>8}{'score':>9}  towards")
    for number, a in enumerate(found, 1):
        direction = "to minimum" if a.direction == 0 else "to maximum"
        towards = found.labels[a.target] if a.target < len(found.labels) else str(a.target)
        say(f"{number:3}  {direction:11}{a.coordinate:11}  {a.layer or '?':12}{a.channel:8}{a.score:9.4f}  {towards}")
    for remark in found.remarks:
        say(f"note: {remark}")
