"""One network's folder: its tensors in PyTorch's layout, its configuration and its ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from stylexport.converter.mapping.rules import Binding, assembled, by_tensor
from stylexport.converter.output.find_networks import Found
from stylexport.converter.output.ledger import FilledRow, Ledger, TensorRow
from stylexport.converter.output.safetensors_file import DTYPES, Writer

FILLED = "float32"  # the dtype of a tensor that no variable gives


def write_network(found: Found, stage: Path, dtype: str | None, progress: Progress) -> tuple[str, Ledger]:
    """Writes a network's folder into `stage`: config.json, model.safetensors, conversion.json. Returns its role and ledger.

    Raises MappingError for a tensor that is not floating point or not finite, DamagedFile where a checksum does not match.
    """
    network, artefact = found.network, found.artefact
    folder = stage / network.network
    folder.mkdir()
    rows = [_row(binding, dtype) for binding in network.bindings]
    filled = [FilledRow(tensor.torch, tensor.shape, dtype or FILLED, tensor.values) for tensor in network.filled]
    _write_tensors(folder / "model.safetensors", network, artefact, [*rows, *filled], progress)
    artefact.finish()
    source = {
        "file": artefact.path.name,
        "format": artefact.format,
        "versions": dict(artefact.facts.versions),
        "verified": artefact.facts.verified,
        "sha256": sha256_each(artefact.path, artefact.facts.files),
    }
    facts = [{"field": f.field, "value": f.value, "from": f.source} for f in network.facts]
    remarks = [*artefact.facts.notes, *network.remarks]
    ledger = Ledger(network.network, source, dtype or "as in the source", facts, rows, found.left_out, remarks, filled)
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
        tf_part=str(binding.part),
        part=str(binding.at),
    )


def _write_tensors(path: Path, network: Network, artefact: Artefact, rows: Sequence[TensorRow | FilledRow], progress: Progress) -> None:
    total, done = sum(b.variable.nbytes for b in network.bindings), 0
    place = {variable.key: i for i, variable in enumerate(artefact.variables)}
    in_file_order = sorted(by_tensor(network.bindings).items(), key=lambda item: place[item[1][0].variable.key])
    dtypes = {row.tensor: row.dtype for row in rows}
    with Writer(path, {row.tensor: (row.dtype, row.shape) for row in rows}) as file:
        for tensor, bindings in in_file_order:
            arrays = {binding.variable.key: artefact.read(binding.variable) for binding in bindings}
            if len(bindings) == 1:
                file.write(tensor, _pieces(arrays[bindings[0].variable.key], bindings[0], dtypes[tensor], artefact.path))
            else:
                file.write(tensor, [_joined(arrays, bindings, dtypes[tensor], artefact.path)])
            done += sum(array.nbytes for array in arrays.values())
            progress(network.network, done, total)
        for filled in network.filled:
            file.write(filled.torch, [cast(filled.array(), dtypes[filled.torch], f"{path}: {filled.torch}")])


def _joined(arrays: Mapping[str, NDArray[Any]], bindings: Sequence[Binding], dtype: str, path: Path) -> NDArray[Any]:
    """A tensor that several variables give, checked to be finite and cast."""
    for binding in bindings:
        check_finite(arrays[binding.variable.key], binding.variable, path)
    return cast(assembled(bindings, lambda variable: arrays[variable.key]), dtype, f"{path}: {bindings[0].rule.torch}")


def _pieces(array: NDArray[Any], binding: Binding, dtype: str, path: Path) -> Iterator[NDArray[Any]]:
    """A variable's tensor in pieces, each checked to be finite (by its sum, while it is in the cache) and cast."""
    for piece in binding.rule.layout.pieces(binding.part.of(array)):
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
