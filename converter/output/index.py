"""stylex.json, the index of a converted folder: its networks, label names and sources (docs/files.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stylexport.common.atomic import MARK
from stylexport.common.errors import BadInput, DamagedFile, MappingError
from stylexport.common.json_files import read_json, write_json
from stylexport.converter.output.ledger import FORMAT, TOOL, Ledger
from stylexport.torch_models.kinds import KINDS, ROLES


def write_index(out: Path, stage: Path, ledgers: Mapping[str, Ledger], labels: Sequence[str] | None) -> None:
    """stylex.json: this conversion's networks and those that the folder already holds."""
    before = _index_before(out / MARK)
    _check_fit({**_sizes_before(out, before["networks"]), **{name: _sizes(ledger) for name, ledger in ledgers.items()}})
    networks = {**before["networks"], **{name: name for name in ledgers}}
    sources = {
        **before["sources"],
        **{name: {key: ledger.source[key] for key in ("file", "sha256")} for name, ledger in ledgers.items()},
    }
    own = _label_count(ledgers)
    count = 0 if own == 0 and not before["labels"] else own or len(before["labels"]) or 2
    if labels and not all(labels):
        raise BadInput(f"a label name is empty in {', '.join(map(repr, labels))}; name every label, or none")
    if labels and len({*labels}) < len(labels):
        raise BadInput(f"{', '.join(labels)}: two labels of one name; give each its own")
    if labels and len(labels) != count:
        raise BadInput(f"{', '.join(labels)}: {len(labels)} label names, and the networks are for {count} labels; name {count or 'none'}")
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


def _sizes(ledger: Ledger) -> Mapping[str, Any]:
    return {fact["field"]: fact["value"] for fact in ledger.config}


def _sizes_before(out: Path, networks: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The configurations of the networks that the folder already holds."""
    paths = {name: out / str(place) / "config.json" for name, place in networks.items()}
    return {name: read_json(path) for name, path in paths.items() if path.is_file()}


def _check_fit(sizes: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises MappingError where two networks cannot work together."""
    first: dict[str, tuple[str, Any]] = {}
    for kind in KINDS.values():
        config = sizes.get(kind.role, {})
        for size in kind.shared:
            if not config.get(size):  # not said, or none: StyleGAN2 has no labels
                continue
            name, value = first.setdefault(size, (kind.role, config[size]))
            if value != config[size]:
                raise MappingError(
                    f"the {name} has {size} {value}, the {kind.role} {config[size]}: they are not of one release; "
                    "convert each into a folder of its own"
                )


def _label_count(ledgers: Mapping[str, Ledger]) -> int | None:
    """How many labels the networks are for: 0 of those that have none (StyleGAN2's); None where no network says."""
    counts = [
        int(fact["value"]) for name in reversed(ROLES) if name in ledgers for fact in ledgers[name].config if fact["field"] == "labels"
    ]
    return next((count for count in counts if count), 0 if counts else None)
