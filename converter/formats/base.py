"""What every reader gives: named variables that are read one at a time, and the facts written beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from stylexport.converter.graph.graph import Graph


@dataclass(frozen=True)
class Variable:
    """One tensor in an artefact: a file or folder that holds a network's weights, or data.

    `name` is the full TensorFlow name without ":0" and need not be unique; `key` is the artefact's own address of the tensor
    (checkpoint key, HDF5 path, npz member) and is unique. `shape` in the file's layout. `dtype` is a numpy-style name, with
    "bfloat16" and "string" besides. `nbytes` in the file. `checksum` as the format stores it ("crc32c:1a2b3c4d"), None where it
    stores none. `slot` names the optimiser's slot or counter that this is ("Adam/m", "iterations", "save_counter"), None for a
    variable of the network. `average_of`: of a moving average (which is a slot, too) the key of the variable that it averages.
    `path`: where a checkpoint holds objects, the attributes that lead to the variable through the model ("net/layers/3/kernel").
    """

    name: str
    key: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    checksum: str | None = None
    slot: str | None = None
    trainable: bool | None = None
    average_of: str | None = None
    path: str = ""


@dataclass(frozen=True)
class NetworkObject:
    """A network that a file holds as an object of a program: what was written of it beside its tensors.

    `framework` is "tensorflow" or "pytorch"; `kind` its function or class ("G_main", "Generator"). `settings`: path of a part ("" for the
    whole, "synthesis.b4.conv1") -> its arguments or attributes that are numbers, texts, or lists of these.
    """

    framework: str
    kind: str
    settings: Mapping[str, Mapping[str, Any]]

    def values(self, name: str, part: str = "") -> dict[str, Any]:
        """Each part whose path begins with `part` and that has the setting `name`, with its value."""
        return {path: found[name] for path, found in self.settings.items() if path.startswith(part) and name in found}


@dataclass(frozen=True)
class Facts:
    """What is written beside the variables. `versions` e.g. {"tensorflow": "2.4.1", "keras": "2.4.0"}.

    `files` maps each file of the artefact (name inside it) to its size in bytes. `verified` says, in words, which checksums
    reading verifies ("crc32c of every block and tensor"). `keras` is Keras's own model configuration (the decoded JSON of
    `model_config`), where the file has one. `notes` are remarks for the user: what was odd and how it was taken. `networks`: the objects
    whose variables' names begin with NAME/.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    verified: str = "nothing: the format has no checksums"
    keras: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    networks: Mapping[str, NetworkObject] = field(default_factory=dict)


class Artefact(Protocol):
    """An opened artefact. Opening reads what is small (index, names, graph); tensors are read on demand.

    `variables` stand in storage order, so that reading them in turn reads the file once from front to back.
    """

    path: Path
    format: str
    facts: Facts

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All tensors, in storage order."""
        ...

    def read(self, variable: Variable) -> NDArray[Any]:
        """The tensor, read-only, in the file's layout and dtype, its checksum verified. Raises DamagedFile."""
        ...

    def graphs(self) -> Iterator[Graph]:
        """The artefact's graphs, the main one first; none where its format has no graph."""
        ...

    def finish(self) -> None:
        """Verify every checksum that reading the tensors has not. Raises DamagedFile."""
        ...

    def close(self) -> None:
        """Give back files and maps. Arrays that were read stay valid."""
        ...


class TensorsOnly:
    """What readers share that verify everything as they read it, and whose format has no graph."""

    def graphs(self) -> Iterator[Graph]:
        """None: the format has no graph."""
        return iter(())

    def finish(self) -> None:
        """Nothing is left to verify."""
