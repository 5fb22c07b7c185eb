"""stylex.json, the index of a converted folder: its networks, label names and sources (docs/files.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.errors import BadInput, DamagedFile
from converter.ledger import FORMAT, TOOL, Ledger, read_json, write_json
from converter.staging import MARK


def write_index(out: Path, stage: Path, ledgers: Mapping[str, Ledger], labels: Sequence[str] | None) -> None:
    """stylex.json: this conversion's networks and those that the folder already holds."""
    before = _index_before(out / MARK)
    networks = {**before["networks"], **{name: name for name in ledgers}}
    sources = {
        **before["sources"],
        **{name: {key: ledger.source[key] for key in ("file", "sha256")} for name, ledger in ledgers.items()},
    }
    count = _label_count(ledgers) or len(before["labels"]) or 2
    if labels and len(labels) != count:
        raise BadInput(f"{len(labels)} label names for {count} labels")
    known = before["labels"] if len(before["labels"]) == count else [str(i) for i in range(count)]
    index = {
        "format": FORMAT,
        "tool": TOOL,
        "networks": {name: networks[name] for name in sorted(networks)},
        "labels": list(labels or known),
        "image_range": [-1.0, 1.0],
        "sources": {name: sources[name] for name in sorted(sources)},
    }
    write_json(stage / MARK, index)


def _index_before(path: Path) -> dict[str, Any]:
    """What a `stylex.json` says of the networks that the folder holds; empty where there is none. Raises DamagedFile."""
    before = read_json(path) if path.is_file() else {}
    for entry, kind in (("networks", dict), ("sources", dict), ("labels", list)):
        if not isinstance(before.setdefault(entry, kind()), kind):
            raise DamagedFile(path, f"`{entry}` is a {type(before[entry]).__name__}", "delete it to begin a new folder")
    return before


def _label_count(ledgers: Mapping[str, Ledger]) -> int | None:
    for name in ("classifier", "discriminator", "generator"):
        if name in ledgers:
            for fact in ledgers[name].config:
                if fact["field"] == "labels":
                    return int(fact["value"])
    return None
