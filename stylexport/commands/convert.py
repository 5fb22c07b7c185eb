"""`stylexport convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stylexport.console import bytes_progress, json_option, print_json, say, verbose_option


@click.command("convert")
@click.argument("paths", nargs=-1)
@click.option("-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--network", "named", multiple=True, metavar="NAME=PATH", help="Take PATH as this network without recognising it.")
@click.option("--mapping", type=click.Path(path_type=Path), help="A table of your own (docs/mapping.md).")
@click.option("--dtype", type=click.Choice(["float32", "float16", "bfloat16", "float64"]), help="Cast; by default kept as stored.")
@click.option("--averages", is_flag=True, help="Take the moving averages of the weights in place of the weights.")
@click.option("--labels", metavar="A,B", help="Names of the classifier's labels, for stylex.json.")
@json_option
@verbose_option
def command(
    paths: tuple[str, ...],
    out: Path,
    named: tuple[str, ...],
    mapping: Path | None,
    dtype: str | None,
    averages: bool,
    labels: str | None,
    as_json: bool,
) -> None:
    """Convert the networks in PATHS to PyTorch.

    Each path is a release folder (the bucket's zips), a SavedModel (folder or zip), or any artefact that `stylexport inspect` reads;
    networks are recognised by what they hold. OUTPUT gets stylex.json and, for each network, config.json, model.safetensors and
    conversion.json (the ledger of every variable).
    """
    networks = {}
    for entry in named:
        name, separator, path = entry.partition("=")
        if not separator or not path:
            raise click.UsageError(f"--network needs NAME=PATH, not {entry!r}")
        networks[name] = path
    if not paths and not networks:
        raise click.UsageError("name at least one path, or --network NAME=PATH")
    from stylexport.converter.output.convert import convert

    names = [label.strip() for label in labels.split(",")] if labels else None
    with bytes_progress() as progress:
        done = convert(paths, out, networks=networks, mapping=mapping, dtype=dtype, labels=names, averages=averages, progress=progress)
    if as_json:
        print_json(
            {
                "output": str(done.folder),
                "networks": {name: _summary(ledger) for name, ledger in done.ledgers.items()},
                "passed_over": list(done.passed_over),
            }
        )
        return
    for name, ledger in done.ledgers.items():
        summary = _summary(ledger)
        out_of = f", {summary['left_out']} left out" if summary["left_out"] else ""
        say(f"{name}: {summary['tensors']} tensors ({summary['parameters']:,} parameters) from {ledger.source['file']}{out_of}")
        for remark in ledger.remarks:
            say(f"  {remark}")
    for passed in done.passed_over:
        say(f"passed over {passed}")
    say(f"wrote {done.folder}")


def _summary(ledger: Any) -> dict[str, Any]:
    import math

    return {
        "source": ledger.source["file"],
        "format": ledger.source["format"],
        "tensors": len(ledger.tensors),
        "parameters": sum(math.prod(row.shape) for row in ledger.tensors),
        "left_out": len(ledger.left_out),
        "defaults": [fact["field"] for fact in ledger.config if "default" in fact["from"]],
        "remarks": list(ledger.remarks),
    }
