"""`stylexport attfind effects`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from stylexport.console import json_option, print_json, say, steps_progress, verbose_option

_PATH = click.Path(path_type=Path)


class _Numbers(click.ParamType):
    """Numbers with commas between them, or (a size) with an x."""

    def __init__(self, kind: type, counts: tuple[int, ...], name: str) -> None:
        self.kind, self.counts, self.name = kind, counts, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The numbers as a tuple."""
        try:
            found = tuple(self.kind(part) for part in str(value).replace("x", ",").split(","))
        except ValueError:
            found = ()
        if len(found) not in self.counts:
            self.fail(f"{value!r} is not {self.name}", param, ctx)
        return found


@click.command("effects")
@click.argument("model", type=_PATH)
@click.option("--latents", type=_PATH, metavar="FILE", help="dlatents.pkl, or an array [N, D] in .npy, .npz or .safetensors.")
@click.option("--images", type=_PATH, metavar="DIR", help="A folder of PNG or JPEG files, which the model's encoder encodes.")
@click.option("--random", "count", type=click.IntRange(min=1), metavar="N", help="N random images of a StyleGAN2 generator.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Of --random.  [default: 0]")
@click.option("--truncation", type=click.FloatRange(0, 1), metavar="PSI", help="Of --random: w is pulled to its mean.  [default: 1]")
@click.option("-o", "--output", "out", required=True, type=_PATH, metavar="RUN", help="The run's folder; a run that is in it goes on.")
@click.option("--classifier", "spec", metavar="SPEC", help="Another classifier: a converted folder, torchvision:NAME or PACKAGE:BUILD.")
@click.option("--weights", type=_PATH, metavar="FILE", help="Its weights: safetensors, or a state dict of torch.save.")
@click.option("--labels", metavar="A,B,...", help="Names of its logits.")
@click.option("--size", type=_Numbers(int, (1, 2), "a size: 224 or 224x192 (height, width)"), help="It takes images of this size.")
@click.option("--range", "values", type=_Numbers(float, (2,), "a range: 0,1"), metavar="BLACK,WHITE", help="It takes this range.")
@click.option("--channels", type=click.Choice(["RGB", "BGR", "L"]), help="It takes channels in this order; L is one of luma.")
@click.option("--mean", type=_Numbers(float, (1, 3), "one number or three"), metavar="M[,M,M]", help="It takes (x - mean) / std.")
@click.option("--std", type=_Numbers(float, (1, 3), "one number or three"), metavar="S[,S,S]", help="See --mean.")
@click.option("--interesting", "query", type=click.Choice(["misclassified", "boundary", "flips"]), help="Only images that answer this.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N images: the first, or the most interesting.")
@click.option("--shift", type=float, default=1.0, show_default=True, help="How far towards its extreme a coordinate is moved; 1 is there.")
@click.option(
    "--search",
    type=click.Choice(["exhaustive", "screened"]),
    default="exhaustive",
    show_default=True,
    help="screened is experimental: docs/attfind.md.",
)
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Screened: of the exhaustive search's passes.  [default: 0.1]")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda; under `accelerate launch`, cuda is each process's own.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True, help="16 bits by autocast.")
@click.option("--batch", default="auto", show_default=True, metavar="N|auto", help="Changed images at once; auto tries what is fastest.")
@click.option("--compile", "compiling", is_flag=True, help="Compile generator and classifier (torch.compile), for long runs on a GPU.")
@json_option
@verbose_option
def command(
    model: Path,
    latents: Path | None,
    images: Path | None,
    count: int | None,
    seed: int | None,
    truncation: float | None,
    out: Path,
    spec: str | None,
    weights: Path | None,
    labels: str | None,
    size: tuple[int, ...] | None,
    values: tuple[float, float] | None,
    channels: str | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    query: str | None,
    limit: int | None,
    shift: float,
    search: str,
    share: float | None,
    device: str,
    precision: str,
    batch: str,
    compiling: bool,
    as_json: bool,
) -> None:
    """Measure what moving each style coordinate of each image does to the classifier's logits.

    MODEL is a folder that `stylexport convert` wrote. RUN/effects.h5 is there when all images are measured. A run that was
    interrupted, or killed, goes on with the images that it lacks when the same command is given again. `accelerate launch -m stylexport
    attfind effects ...` spreads it over processes and GPUs.
    """
    if [latents, images, count].count(None) != 2:
        raise click.UsageError("name the images by --latents FILE, by --images DIR or by --random N: one of them")
    if count is None and (seed is not None or truncation is not None):
        raise click.UsageError("--seed and --truncation are for --random")
    if weights is not None and spec is None:
        raise click.UsageError("--weights is for a classifier that --classifier names")
    if batch != "auto" and not (batch.isdigit() and int(batch)):
        raise click.UsageError(f"--batch {batch}: give a number from 1, or auto")
    if share is not None and search != "screened":
        raise click.UsageError("--share is for --search screened")
    square = size * 2 if size is not None and len(size) == 1 else size
    named = {"size": square, "range": values, "channels": channels, "mean": mean, "std": std}
    names = tuple(label.strip() for label in labels.split(",")) if labels else ()

    # MKL's results depend on where arrays lie in memory unless this is set; a run that goes on must give the same bytes.
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    from stylexport.attfind.api import AttFind
    from stylexport.attfind.effects.create_run import SHARE, Settings
    from stylexport.attfind.effects.random_latents import RandomLatents

    given = latents if count is None else RandomLatents(count, seed or 0, 1.0 if truncation is None else truncation)
    asked = None if batch == "auto" else int(batch)
    changes = {name: value for name, value in named.items() if value is not None}
    explainer = AttFind(model, spec, weights=weights, preprocessing=changes, device=device)
    settings = Settings(query, limit, names, shift, precision, search, asked, share or SHARE)
    if (remark := explainer.remark()) and not int(os.environ.get("RANK", "0")):  # the main process speaks for all
        click.echo(f"note: {remark}", err=True)
    with steps_progress() as progress:
        found = explainer.measure(given, settings, images=images, out=out, compiled=compiling, progress=progress)
    if found is None:
        return
    if as_json:
        print_json(found.to_json())
        return
    resumed = f" ({found.measured_now} of them now)" if found.measured_now < found.images else ""
    say(f"measured {found.images} images{resumed}, {found.coordinates:,} coordinates, labels {', '.join(found.labels)}")
    if found.screening is not None:
        recall = ", ".join(f"{share:.0%} towards {found.labels[int(label)]}" for label, share in found.screening["recall"].items())
        passes, exhaustive = found.screening["passes"], found.screening["exhaustive"]
        say(f"screened: {passes:,} passes, not {exhaustive:,}; expected of the top 10: {recall}")
    say(f"wrote {found.effects}")
