"""The registry of released files: what there is, where it lies, and by what it is known.

`registry.json` maps names such as `celeb_a_age/generator` to an Entry; the part before the slash names the release, and asking for
a release asks for all of its files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stylexport.common.errors import BadInput
from stylexport.common.json_files import from_json, read_json

REGISTRY = Path(__file__).with_name("registry.json")


@dataclass(frozen=True)
class Entry:
    """A released file. `size` in bytes and `sha256` in hexadecimal are None where nobody has published them."""

    name: str
    url: str
    size: int | None
    sha256: str | None
    what: str
    licence: str

    @property
    def filename(self) -> str:
        """The file's own name, as its address ends. Raises BadInput where that is not an address."""
        try:
            return unquote(urlsplit(self.url).path).rpartition("/")[2]
        except ValueError as error:
            raise BadInput(f"{self.url}: not an address ({error}); check the registry or the base address") from None


def load_registry(path: Path = REGISTRY) -> Mapping[str, Entry]:
    """Name -> Entry. Raises BadInput where the file is not such a table.

    Example:
        >>> registry = load_registry()
        >>> registry["celeb_a_age/generator"].filename
        'generator.savedmodel.zip'

    """
    try:
        rows = {name: row if isinstance(row, dict) else {} for name, row in read_json(path, _expected()).items()}
        entries = {name: from_json(Entry, {"name": name, **row}) for name, row in rows.items()}
    except ValueError as error:
        raise BadInput(f"{path}: is not a registry ({error}); {_expected()}") from None
    for entry in entries.values():
        if not entry.filename or entry.filename in (".", "..") or "/" in entry.filename or "\\" in entry.filename:
            raise BadInput(f"{path}: {entry.name}: the address {entry.url} names no file")
    return entries


def _expected() -> str:
    return f"a registry is JSON: name -> {{{', '.join(field.name for field in fields(Entry) if field.name != 'name')}}}"


def select(names: Iterable[str], registry: Mapping[str, Entry]) -> list[Entry]:
    """The entries of these names, where a release's name stands for all of its files; each once, in order of asking.

    Raises BadInput for a name that the registry does not hold.

    Example:
        >>> [entry.filename for entry in select(["celeb_a_age"], load_registry())][:2]
        ['generator.savedmodel.zip', 'encoder.savedmodel.zip']

    """
    chosen: dict[str, Entry] = {}
    for name in names:
        found = {key: entry for key, entry in registry.items() if key == name or key.startswith(f"{name.rstrip('/')}/")}
        if not found:
            releases = sorted({key.partition("/")[0] for key in registry})
            raise BadInput(f"{name}: not in the registry; it holds {', '.join([*releases, *registry])}")
        chosen |= found
    return list(chosen.values())
