"""`stylexport inspect`."""

from __future__ import annotations

from typing import Any

import click

from stylexport.common.text import printable
from stylexport.console import human_bytes, json_option, print_json, say, verbose_option


@click.command("inspect")
@click.argument("path")
@json_option
@verbose_option
def command(path: str, as_json: bool) -> None:
    """Show what the TensorFlow file or folder at PATH holds.

    PATH is a SavedModel (folder or zip), a checkpoint (its prefix), a Keras .h5 or .keras, a frozen graph .pb, a pickle, .npz, .npy,
    TFRecord, the released dlatents.pkl, a TF-Hub handle, or a folder of those. Every checksum of the format is verified.
    """
    from stylexport.inspection import inspect

    found = inspect(path)
    if as_json:
        print_json(found)
        return
    for artefact in found.get("artefacts", [found]):
        _print(artefact)


def _print(found: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items()) or "no versions written"
    totals = found["totals"]
    say((found["path"], "bold"))
    say(f"  {found['format']}; {versions}; checksums verified: {found['checksums']['what']}")
    for note in found["notes"]:
        say(f"  {note}")
    slots = f" and {totals['slots']} optimiser slots and counters" if totals["slots"] else ""
    say(f"  {totals['variables']} variables ({totals['parameters']:,} parameters){slots}, {human_bytes(totals['bytes'])}")
    for network in found["networks"]:
        kind = network["config"].get("architecture")
        say("  ", (network["network"], "green"), f" ({kind})" if kind else "")
        for fact in network["facts"]:
            if fact["field"] == "layers":
                _print_layers(fact)
            else:
                value = list(fact["value"]) if isinstance(fact["value"], tuple) else fact["value"]
                say(f"    {fact['field']}: {value}  ", (f"({fact['from']})", "dim"))
        for remark in network["remarks"]:
            say("    ", (remark, "yellow"))
    if not found["networks"]:
        for network, why in found["unrecognised"].items():
            say("  ", (f"no {network}: {why}", "dim"))
    rows = [("variable", "checkpoint key", "shape", "dtype", "bytes", "slot")]
    for v in found["variables"]:
        key = v["key"] if v["key"] != v["name"] else ""
        rows.append((printable(v["name"]), printable(key), str(v["shape"]), v["dtype"], str(v["bytes"]), v["slot"] or ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:  # plain columns, not a table that a narrow or piped terminal would cut names in
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_layers(fact: dict[str, Any]) -> None:
    say("    layers:  ", (f"({fact['from']})", "dim"))
    for layer in fact["value"]:
        kind = "depthwise" if layer["depthwise"] else "conv"
        kernel, stride = "x".join(map(str, layer["kernel"])), "x".join(map(str, layer["stride"]))
        norm = f"BatchNorm epsilon {layer['epsilon']:.3g}" if layer["epsilon"] is not None else "bias" if layer["bias"] else "no bias"
        say(f"      {kind} {kernel} / {stride}, {layer['out']} channels, {layer['padding']}, {norm}, {layer['activation']}")
