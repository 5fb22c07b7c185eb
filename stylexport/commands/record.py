"""`stylexport record`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stylexport.common.text import listing
from stylexport.console import human_bytes, importing_tensorflow, json_option, print_json, say, steps_progress, verbose_option

_PATH = click.Path(path_type=Path)


@click.command("record")
@click.argument("release", nargs=-1, required=True)
@click.option("-o", "--output", "out", required=True, type=_PATH, help="File to write.")
@click.option("--inputs", type=_PATH, help="Tensors by name (npz or safetensors): z, dlatent, image, probabilities.")
@click.option("--images", type=_PATH, metavar="DIR", help="Pictures (png, jpeg) for the networks that take images.")
@click.option("--latents", type=_PATH, metavar="FILE", help="The generator's dlatents (dlatents.pkl, npz or safetensors).")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of random inputs.")
@click.option(
    "--samples", type=click.IntRange(min=1), help="How many; by default all rows of --inputs, else 8 up to 64 pixels and 4 above."
)
@click.option("--store", type=click.IntRange(min=1), metavar="ELEMENTS", help="Larger tensors keep one sample; by default 2^21.")
@click.option("--mapping", type=_PATH, metavar="TABLE", help="A table of your own (docs/mapping.md): your own network.")
@click.option("--averages", is_flag=True, help="Take the moving averages of the weights in place of the weights.")
@click.option("--network", "networks", multiple=True, metavar="NAME", help="Record this network only; may be repeated.")
@json_option
@verbose_option
def command(
    release: tuple[str, ...],
    out: Path,
    inputs: Path | None,
    images: Path | None,
    latents: Path | None,
    seed: int,
    samples: int | None,
    store: int | None,
    mapping: Path | None,
    averages: bool,
    networks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the original graphs of RELEASE and record the output of every layer, in float32 and in float64.

    RELEASE is a folder like the bucket's, SavedModels (folders or zips), or one SavedModel or frozen graph of any network. The graphs run
    on a CPU whatever their data format. `stylexport verify --against OUTPUT` compares a port with the file and needs PyTorch alone
    (docs/recording.md). Needs the extra [tensorflow].
    """
    with importing_tensorflow("record"):
        from stylexport.reference_tf.record import record, summary
    with steps_progress() as progress:
        recording = record(
            release,
            out,
            inputs=inputs,
            images=images,
            latents=latents,
            seed=seed,
            samples=samples,
            mapping=mapping,
            networks=networks,
            store=store,
            averages=averages,
            progress=progress,
        )
    found = summary(recording)
    if as_json:
        print_json(found)
        return
    for name, network in found["networks"].items():
        say(_line(name, network))
        for remark in network["remarks"]:
            say(f"  {remark}")
        if network["unused"]:
            say(f"  no recorded call uses {listing(network['unused'])}")
    say(f"wrote {out} ({human_bytes(found['bytes'])})")


def _line(name: str, network: dict[str, Any]) -> str:
    floor = f"float32 is within {network['largest_floor']:.1e} of float64"
    return f"{name}: {network['taps']} tensors of {network['samples']} samples from {network['source']}; {floor}"
