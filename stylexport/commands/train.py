"""`stylexport train`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stylexport.console import importing, json_option, print_json, say, steps_progress, verbose_option

_PATH = click.Path(path_type=Path)


@click.command("train")
@click.argument("config", type=_PATH)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("-o", "--output", "out", required=True, type=_PATH, metavar="RUN", help="The run's folder.")
@click.option("--resume", is_flag=True, help="Go on after RUN's last checkpoint.")
@click.option("--from", "release", type=_PATH, metavar="CONVERTED", help="Begin with the networks of a converted folder.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="auto: a GPU where one is.")
@json_option
@verbose_option
def command(config: Path, overrides: tuple[str, ...], out: Path, resume: bool, release: Path | None, device: str, as_json: bool) -> None:
    """Train a StylEx as CONFIG, a YAML file, and KEY=VALUE on top of it say.

    RUN is a converted folder when it is finished: attfind, export-tf and verify take it. A run that was interrupted, or killed, goes on by
    --resume, with the settings of RUN and KEY=VALUE on top. `accelerate launch -m stylexport train CONFIG ...` spreads it over processes,
    GPUs and machines. docs/train.md has the settings.
    """
    with importing("train", "train"):
        from stylexport.training.loop import train

    with steps_progress() as progress:
        trained = train(config, out, overrides, resume=resume, release=release, device=device, progress=progress, say=_say)
    if not _main():
        return
    found = trained.to_json()
    if as_json:
        print_json(found)
        return
    say(f"trained {found['steps']:,} steps, {found['images']:,} images")
    for name, value in found["metrics"].items():
        say(f"  {name} {value:.4g}")
    say(f"wrote {out}, a converted folder: {trained.explained_by}")


def _main() -> bool:
    """Whether this process is the one that speaks for all."""
    return not int(os.environ.get("RANK", "0"))


def _say(text: str) -> None:
    if _main():
        say(text, err=True)
