"""`stylexport verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylexport.console import json_option, print_json, say, steps_progress, verbose_option

if TYPE_CHECKING:
    from torch import nn

_PATH = click.Path(path_type=Path)


@click.command("verify")
@click.argument("converted", required=False, type=_PATH)
@click.option("--against", "recording", type=_PATH, metavar="FILE", help="A recording (`stylexport record`); needs PyTorch alone.")
@click.option("--release", "releases", multiple=True, metavar="PATH", help="The release itself: recorded first. Needs [tensorflow].")
@click.option("--module", metavar="PACKAGE:BUILD", help="A network of your own: a function that returns its module.")
@click.option("--mapping", type=_PATH, metavar="FILE", help="Your network's table (docs/mapping.md), with --module and --release.")
@click.option("--averages", is_flag=True, help="The moving averages of the original's weights, with --release.")
@click.option("--inputs", type=_PATH, metavar="FILE", help="Tensors by the inputs' names (npz or safetensors), with --release.")
@click.option("--report", type=_PATH, metavar="DIR", help="Write report.json, junit.xml and index.html there.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--precision", type=click.Choice(["fp32", "tf32", "fp16", "bf16"]), default="fp32", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random inputs, with --release.")
@click.option("--samples", type=click.IntRange(min=1), help="How many inputs, with --release; by default 8 up to 64 pixels and 4 above.")
@json_option
@verbose_option
def command(
    converted: Path | None,
    recording: Path | None,
    releases: tuple[str, ...],
    module: str | None,
    mapping: Path | None,
    averages: bool,
    inputs: Path | None,
    report: Path | None,
    device: str,
    precision: str,
    seed: int,
    samples: int | None,
    as_json: bool,
) -> None:
    """Prove that the CONVERTED folder is the same function as the original, layer by layer.

    Exit code 0: pass. 1: a fault, or poor arithmetic. 2: bad input. 3: a tensor of the original that no layer answers for.
    docs/verify.md describes the method and every cause that is named.
    """
    if (recording is None) == (not releases):
        raise click.UsageError("name a recording by --against FILE, or the release by --release PATH")
    if (converted is None) == (module is None):
        raise click.UsageError("name a converted folder, or a network of your own by --module PACKAGE:BUILD")
    if recording is not None and inputs is not None:
        raise click.UsageError("--inputs goes with --release; a recording holds the inputs that it was made with")
    if recording is not None and averages:
        raise click.UsageError("--averages goes with --release; a recording holds the weights that it was made with")
    if module is not None and releases and mapping is None:
        raise click.UsageError("--module needs --mapping FILE, the table from the release's variables to the module's tensors")
    from stylexport.verification import verify

    network: Path | nn.Module
    if module is None:
        assert converted is not None
        network = converted
    else:
        from stylexport.torch_models.classifiers.builders import build

        network = build(module, "--module")
    with steps_progress() as progress:
        found = verify(
            network,
            against=recording,
            release=releases,
            mapping=mapping,
            averages=averages,
            inputs=inputs,
            device=device,
            precision=precision,
            seed=seed,
            samples=samples,
            progress=progress,
        )
    from stylexport.parity.report import print_tree, to_json, write

    if report is not None:
        write(found, report)
    if as_json:
        print_json(to_json(found))
    else:
        from rich.console import Console

        print_tree(found, Console(highlight=False))
        if report is not None:
            say(f"wrote {report / 'index.html'}")
    sys.exit(found.exit_code)
