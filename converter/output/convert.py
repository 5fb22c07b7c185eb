"""The main job: released files in, a folder of PyTorch networks with their ledgers out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.atomic import whole_folder
from stylexport.common.digests import sha256_each
from stylexport.common.errors import BadInput, IncompleteCoverage, MappingError, StylexportError
from stylexport.common.json_files import write_json
from stylexport.common.text import listing
from stylexport.common.types import Progress
from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.formats.registry import DATA_FORMATS, open_each
from stylexport.converter.graph.tensor_proto import BFLOAT16
from stylexport.converter.mapping.network import Network
from stylexport.converter.mapping.recognise import read_as, recognise
from stylexport.converter.mapping.rules import Binding
from stylexport.converter.output.index import write_index
from stylexport.converter.output.ledger import Ledger, LeftOut, Row
from stylexport.converter.output.safetensors_file import DTYPES, Spec, Writer
from stylexport.torch_models.kinds import kinds_called, known_roles

Source = str | Path
Reader = Callable[[Artefact], tuple[Sequence[Network], Mapping[str, str]]]


@dataclass(frozen=True)
class Conversion:
    """What `convert` did: the folder, each network's ledger, and the artefacts of no network that were passed over."""

    folder: Path
    ledgers: Mapping[str, Ledger]
    passed_over: Sequence[str] = field(default=())


@dataclass(frozen=True)
class _Task:
    network: Network
    artefact: Artefact
    left_out: Sequence[LeftOut]


def convert(
    paths: Sequence[Source] | Source,
    out: Source,
    *,
    networks: Mapping[str, Source] | None = None,
    mapping: Source | None = None,
    dtype: str | None = None,
    labels: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Converts every network in `paths` into the folder `out`.

    `networks` names a network whose path is given outright (no recognising); `mapping` is a user's own table (docs/mapping.md);
    `dtype` casts all tensors (float32, float16, bfloat16, float64), by default each keeps its own; `labels` are the label names for
    stylex.json; `progress(network, bytes so far, bytes in all)` is called from worker threads.
    Raises StylexportError (see stylexport.common.errors); then nothing is written.
    """
    if dtype is not None and dtype not in DTYPES:
        raise BadInput(f"dtype {dtype!r} is none of {', '.join(DTYPES)}")
    sources = [paths] if isinstance(paths, (str, Path)) else list(paths)
    read_networks = _reader(mapping)
    passed_over: list[str] = []
    with contextlib.ExitStack() as opened, whole_folder(Path(out)) as stage:
        tasks = list(_find(sources, networks or {}, read_networks, opened, passed_over))
        # All are recognised before any is written: the writers run outside Python's lock and would wait for it at every piece.
        with ThreadPoolExecutor(len(tasks)) as pool:
            ledgers = dict(pool.map(lambda task: _write_network(task, stage, dtype, progress), tasks))
        write_index(Path(out), stage, ledgers, labels)
    return Conversion(Path(out), ledgers, passed_over)


def _find(
    sources: Sequence[Source],
    named: Mapping[str, Source],
    read_networks: Reader,
    opened: contextlib.ExitStack,
    passed_over: list[str],
) -> Iterator[_Task]:
    """One task a network, as they are found. Raises where a path holds none, or two hold the same one."""
    found: dict[str, _Task] = {}
    for network, source in named.items():
        if not kinds_called(network):
            raise BadInput(f"--network {network}: no such network; it is one of {', '.join(known_roles())}")
        artefacts = [a for a in _opened(source, opened) if a.format not in DATA_FORMATS]
        if len(artefacts) != 1:
            raise BadInput(f"{source}: holds {len(artefacts)} artefacts with weights; --network needs exactly one")
        yield from _add(found, [read_as(artefacts[0], network)], artefacts[0])
    for source in sources:
        taken = 0
        formats: set[str] = set()
        reasons: list[str] = []
        for artefact in _opened(source, opened):
            formats.add(artefact.format)
            if artefact.format in DATA_FORMATS:
                passed_over.append(f"{artefact.path}: {artefact.format}, no network")
                continue
            networks, why_not = _networks(artefact, read_networks)
            if networks and all(network.network in named for network in networks):
                taken += len(networks)
                passed_over.append(f"{artefact.path}: --network names another {' and '.join(n.network for n in networks)}")
            elif networks:
                taken += len(networks)
                yield from _add(found, networks, artefact)
            else:
                reasons.append(f"{artefact.path} ({_why(why_not)})")
        if not taken:
            raise MappingError(_nothing(source, formats, reasons))
        passed_over += reasons
    if not found:
        raise BadInput("nothing to convert; name a release, or a network by --network NAME=PATH")


def _opened(source: Source, opened: contextlib.ExitStack) -> Iterator[Artefact]:
    for artefact in open_each(source):
        opened.callback(artefact.close)
        yield artefact


def _reader(mapping: Source | None) -> Reader:
    """What finds networks in an artefact: the user's table where one is named, else recognition."""
    if mapping is None:
        return recognise
    from stylexport.converter.mapping.user_table import UserTable, read_with_table

    table = UserTable.read(Path(mapping))
    return lambda artefact: ([read_with_table(artefact, table)], {})


def _networks(artefact: Artefact, read_networks: Reader) -> tuple[Sequence[Network], Mapping[str, str]]:
    """The networks in an artefact, and why it is none of the others. Damage is told before what follows from it."""
    try:
        networks, why_not = read_networks(artefact)
    except StylexportError:
        artefact.finish()
        raise
    if not networks:
        artefact.finish()
    return networks, why_not


def _why(why_not: Mapping[str, str]) -> str:
    """Why an artefact is no network, kinds with the same reason together."""
    kinds: dict[str, list[str]] = {}
    for kind, why in why_not.items():
        kinds.setdefault(why, []).append(kind)
    return "; ".join(f"no {' or '.join(names)}: {why}" for why, names in kinds.items())


def _nothing(source: Source, formats: set[str], reasons: Sequence[str]) -> str:
    if not reasons:
        return f"{source}: holds {', '.join(sorted(formats))} and no network; convert takes networks"
    return f"no known network in {listing(reasons, 2)}; convert it by your own table with --mapping"


def _add(found: dict[str, _Task], networks: Sequence[Network], artefact: Artefact) -> Iterator[_Task]:
    left_out = _left_out(networks, artefact)
    for network in networks:
        if network.network in found:
            first = found[network.network].artefact.path
            raise BadInput(f"two {network.network}s: {first} and {artefact.path}; say which by --network {network.network}=PATH")
        found[network.network] = _Task(network, artefact, left_out)
        yield found[network.network]


def _left_out(networks: Sequence[Network], artefact: Artefact) -> list[LeftOut]:
    """The variables that no network takes, each with its reason. Raises IncompleteCoverage for one without."""
    taken = {binding.variable.key for network in networks for binding in network.bindings}
    twins = {(b.variable.name, b.variable.shape, b.variable.checksum) for n in networks for b in n.bindings}
    left: list[LeftOut] = []
    unknown: list[str] = []
    for variable in artefact.variables:
        if variable.key in taken:
            continue
        if (excuse := next((n.excused[variable.key] for n in networks if variable.key in n.excused), None)) is not None:
            reason = excuse
        elif variable.slot is not None:
            reason = f"optimiser slot or counter ({variable.slot})"
        elif (variable.name, variable.shape, variable.checksum) in twins and variable.checksum:
            reason = "the same name and bytes as a variable that was taken"
        elif variable.dtype not in DTYPES:
            reason = f"not a floating-point tensor ({variable.dtype})"
        elif artefact.format == "graphdef":
            reason = "a constant of the graph that is no weight"
        else:
            unknown.append(f"{variable.name} {list(variable.shape)}")
            continue
        left.append(LeftOut(variable.name, variable.key, variable.shape, variable.dtype, reason))
    if unknown:
        kinds = " and ".join(n.network for n in networks)
        raise IncompleteCoverage(
            f"{artefact.path}: beside the {kinds} it holds {len(unknown)} variables that no rule answers for: {listing(unknown)}; "
            "map them, or say why they are left out, by --mapping"
        )
    return left


def _write_network(task: _Task, stage: Path, dtype: str | None, progress: Progress | None) -> tuple[str, Ledger]:
    network, artefact = task.network, task.artefact
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
        network.network, source, dtype or "as in the source", facts, rows, task.left_out, [*artefact.facts.notes, *network.remarks]
    )
    write_json(folder / "config.json", network.config.to_json())
    write_json(folder / "conversion.json", ledger.to_json())
    return network.network, ledger


def _row(binding: Binding, dtype: str | None) -> Row:
    variable, rule = binding.variable, binding.rule
    if variable.dtype not in DTYPES:
        raise MappingError(
            f"{variable.name} is {variable.dtype}, but {rule.torch} needs a floating-point tensor; is this the right network?"
        )
    layout = rule.layout.name
    return Row(
        rule.torch,
        variable.name,
        variable.key,
        layout,
        variable.shape,
        rule.shape,
        variable.dtype,
        dtype or variable.dtype,
        variable.checksum,
    )


def _write_tensors(path: Path, network: Network, artefact: Artefact, rows: Sequence[Row], progress: Progress | None) -> None:
    specs = [Spec(row.tensor, row.dtype, row.shape) for row in rows]
    total, done = sum(b.variable.nbytes for b in network.bindings), 0
    place = {variable.key: i for i, variable in enumerate(artefact.variables)}
    in_file_order = sorted(zip(network.bindings, rows, strict=True), key=lambda pair: place[pair[0].variable.key])
    with Writer(path, specs) as file:
        for binding, row in in_file_order:
            array = artefact.read(binding.variable)
            file.write(row.tensor, _pieces(array, binding, row.dtype, artefact.path))
            done += array.nbytes
            if progress:
                progress(network.network, done, total)


def _pieces(array: NDArray[Any], binding: Binding, dtype: str, path: Path) -> Iterator[NDArray[Any]]:
    """A variable's tensor in pieces, each found finite (its sum tells, while it is in the cache) and cast."""
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
