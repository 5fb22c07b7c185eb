"""`stylexport attfind select`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylexport.console import json_option, print_json, verbose_option

if TYPE_CHECKING:
    from stylexport.attfind.effects.load_run import Subject
    from stylexport.attfind.effects.run_store import Effects
    from stylexport.attfind.select.attributes import Selection
    from stylexport.attfind.select.select import Strategy

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
    from stylexport.attfind.effects.run_store import Effects
    from stylexport.attfind.select.attributes import write_attributes
    from stylexport.attfind.select.goals import label_of
    from stylexport.attfind.select.select import Rules, select

    subject = _subject(run, model, device, asked=discriminator or (strategy == "subset" and not add_effects))
    effects = Effects.load(run) if subject is None else subject.effects
    judge, logits = None, None
    if subject is not None:
        from stylexport.attfind.select.network_checks import discriminator_of, logits_of

        judge = discriminator_of(subject) if discriminator else None
        logits = logits_of(subject) if strategy == "subset" and not add_effects else None
    found = select(
        effects,
        None if target is None else label_of(effects, target),
        top=top,
        strategy=strategy,
        image=image,
        discriminator=judge,
        logits=logits,
        rules=Rules(threshold=threshold, candidates=candidates),
    )
    path = write_attributes(run, found)
    if as_json:
        print_json(found.to_json())
        return
    _print(found, effects)
    click.echo(f"wrote {path}")


def _subject(run: Path, model: Path | None, device: str, asked: bool) -> Subject | None:
    """The run with its networks, where they are to be asked."""
    if not asked:
        return None
    from stylexport.attfind.effects.load_run import reopen

    return reopen(run, model, device)


def _print(found: Selection, effects: Effects) -> None:
    names = effects.labels
    click.echo(f"{'':>3}  {'direction':11}{'coordinate':>11}  {'layer':12}{'channel':>8}{'score':>9}  towards")
    for number, a in enumerate(found, 1):
        direction = "to minimum" if a.direction == 0 else "to maximum"
        towards = names[a.target] if a.target < len(names) else str(a.target)
        click.echo(f"{number:3}  {direction:11}{a.coordinate:11}  {a.layer or '?':12}{a.channel:8}{a.score:9.4f}  {towards}")
    for remark in found.remarks:
        click.echo(f"note: {remark}")
