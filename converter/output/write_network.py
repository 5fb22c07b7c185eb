"""One network's folder: its tensors in PyTorch's layout, its configuration and its ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.digests import sha256_each
from stylexport.common.errors import MappingError
from stylexport.common.json_files import write_json
from stylexport.common.types import Progress
from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.graph.tensor_proto import BFLOAT16
from stylexport.converter.mapping.network import Network
from stylexport.converter.mapping.rules import Binding
from stylexport.converter.output.find_networks import Found
from stylexport.converter.output.ledger import Ledger, TensorRow
from stylexport.converter.output.safetensors_file import DTYPES, Writer


def write_network(found: Found, stage: Path, dtype: str | None, progress: Progress) -> tuple[str, Ledger]:
    """Writes a network's folder into `stage`: config.json, model.safetensors, conversion.json. Returns its role and ledger.

    Raises MappingError for a tensor that is not floating point or not finite, DamagedFile where a checksum does not match.
    """
    network, artefact = found.network, found.artefact
    folder = stage / network.network
    folder.mkdir()
    rows = [_row(binding, dtype) for binding in network.bindings]
    _write_tensors(folder / "model.safetensors", network, artefact, rows, progress)
    artefact.finish()
    source = {
        "file": artefact.path.name,
        "format": artefact.format,
        "versions": dict(artefact.facts.versions),
        "verified": artefact.facts.verified,
        "sha256": sha256_each(artefact.path, artefact.facts.files),
    }
    facts = [{"field": f.field, "value": f.value, "from": f.source} for f in network.facts]
    ledger = Ledger(
        network.network, source, dtype or "as in the source", facts, rows, found.left_out, [*artefact.facts.notes, *network.remarks]
    )
    write_json(folder / "config.json", network.config.to_json())
    write_json(folder / "conversion.json", ledger.to_json())
    return network.network, ledger


def _row(binding: Binding, dtype: str | None) -> TensorRow:
    variable, rule = binding.variable, binding.rule
    if variable.dtype not in DTYPES:
        raise MappingError(
            f"{variable.name} is {variable.dtype}, but {rule.torch} needs a floating-point tensor; is this the right network?"
        )
    return TensorRow(
        tensor=rule.torch,
        variable=variable.name,
        key=variable.key,
        layout=rule.layout.name,
        tf_shape=variable.shape,
        shape=rule.shape,
        tf_dtype=variable.dtype,
        dtype=dtype or variable.dtype,
        checksum=variable.checksum,
    )


def _write_tensors(path: Path, network: Network, artefact: Artefact, rows: Sequence[TensorRow], progress: Progress) -> None:
    total, done = sum(b.variable.nbytes for b in network.bindings), 0
    place = {variable.key: i for i, variable in enumerate(artefact.variables)}
    in_file_order = sorted(zip(network.bindings, rows, strict=True), key=lambda pair: place[pair[0].variable.key])
    with Writer(path, {row.tensor: (row.dtype, row.shape) for row in rows}) as file:
        for binding, row in in_file_order:
            array = artefact.read(binding.variable)
            file.write(row.tensor, _pieces(array, binding, row.dtype, artefact.path))
            done += array.nbytes
            progress(network.network, done, total)


def _pieces(array: NDArray[Any], binding: Binding, dtype: str, path: Path) -> Iterator[NDArray[Any]]:
    """A variable's tensor in pieces, each checked to be finite (by its sum, while it is in the cache) and cast."""
    for piece in binding.rule.layout.pieces(array):
        with np.errstate(invalid="ignore", over="ignore"):
            if not np.isfinite(np.asarray(piece.sum(), np.float64)):
                check_finite(array, binding.variable, path)
        yield cast(piece, dtype, f"{path}: {binding.variable.name}")


def check_finite(array: NDArray[Any], variable: Variable, path: Path) -> None:
    """Raises MappingError where a tensor holds NaN or infinity."""
    values = array.astype(np.float32) if array.dtype == BFLOAT16 else array
    if np.isfinite(values).all():
        return
    bad = np.argwhere(~np.isfinite(values))
    first = tuple(int(i) for i in bad[0])
    raise MappingError(
        f"{path}: {variable.name} holds {len(bad)} non-finite values of {array.size} (the first, {values[first]}, at {list(first)}); "
        "the checkpoint is of a run that diverged or is damaged: use an earlier one"
    )


def cast(array: NDArray[Any], dtype: str, where: str) -> NDArray[Any]:
    """`array` in a dtype by numpy-style name, bfloat16 included. Raises MappingError where a value overflows."""
    target = BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype)
    if array.dtype == target:
        return array
    with np.errstate(over="ignore"):
        out = array.astype(target)
    if not np.isfinite(out.astype(np.float64)).all():
        raise MappingError(f"{where}: values up to {np.abs(array.astype(np.float64)).max():.3g} overflow {dtype}; choose another --dtype")
    return out
