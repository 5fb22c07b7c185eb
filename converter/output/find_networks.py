"""Which networks the named files hold, and which of their variables are left out, each with its reason."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stylexport.common.errors import BadInput, IncompleteCoverage, MappingError, StylexportError
from stylexport.common.text import listing
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.checkpoint.averages import RAW, averaged
from stylexport.converter.formats.registry import DATA_FORMATS, open_each
from stylexport.converter.formats.tar_archive import shown
from stylexport.converter.mapping.network import Network
from stylexport.converter.mapping.recognise import read_as, recognise
from stylexport.converter.output.ledger import LeftOut
from stylexport.converter.output.safetensors_file import DTYPES
from stylexport.torch_models.kinds import kinds_called, known_roles

Source = str | Path
Reader = Callable[[Artefact], tuple[Sequence[Network], Mapping[str, str]]]


@dataclass(frozen=True)
class Found:
    """A network, the artefact that holds it, and the variables of that artefact that no network takes."""

    network: Network
    artefact: Artefact
    left_out: Sequence[LeftOut]


def find_networks(
    sources: Sequence[Source],
    named: Mapping[str, Source],
    mapping: Source | None,
    opened: contextlib.ExitStack,
    passed_over: list[str],
    averages: bool = False,
) -> dict[str, Found]:
    """Role -> network, in the order in which they are found. What is opened is closed by `opened`; what is not a network is `passed_over`;
    `averages`: moving averages are taken in place of raw values.

    Raises BadInput and MappingError where a path holds no network or two hold the same one, IncompleteCoverage for a variable that no
    rule answers for.
    """
    read_networks = _reader(mapping)
    found: dict[str, Found] = {}
    for network, source in named.items():
        if not kinds_called(network):
            raise BadInput(f"--network {network}: no such network; it is one of {', '.join(known_roles())}")
        artefacts = [a for a in _opened(source, opened, averages) if a.format not in DATA_FORMATS]
        if len(artefacts) != 1:
            raise BadInput(f"{source}: holds {len(artefacts)} artefacts with weights; --network needs exactly one")
        _add(found, [read_as(artefacts[0], network)], artefacts[0])
    by_name = set(found)
    for source in sources:
        taken = 0
        formats: set[str] = set()
        reasons: list[str] = []
        for artefact in _opened(source, opened, averages):
            formats.add(artefact.format)
            if artefact.format in DATA_FORMATS:
                passed_over.append(f"{artefact.path}: {artefact.format}, no network")
                continue
            networks, why_not = _networks(artefact, read_networks)
            if networks and all(network.network in by_name for network in networks):
                taken += len(networks)
                passed_over.append(f"{artefact.path}: --network names another {' and '.join(n.network for n in networks)}")
            elif networks:
                taken += len(networks)
                _add(found, networks, artefact)
            else:
                reasons.append(f"{artefact.path} ({_why(why_not)})")
        if not taken:
            raise MappingError(_nothing(source, formats, reasons))
        passed_over += reasons
    if not found:
        raise BadInput("nothing to convert; name a release, or a network by --network NAME=PATH")
    return found


def _opened(source: Source, opened: contextlib.ExitStack, averages: bool) -> Iterator[Artefact]:
    for artefact in open_each(source):
        opened.callback(artefact.close)
        yield averaged(artefact) if averages and artefact.format not in DATA_FORMATS else artefact


def _reader(mapping: Source | None) -> Reader:
    """What finds networks in an artefact: the user's table where one is named, else recognition."""
    if mapping is None:
        return recognise
    from stylexport.converter.mapping.table_bindings import read_with_table
    from stylexport.converter.mapping.user_table import UserTable

    table = UserTable.read(Path(mapping))
    return lambda artefact: ([read_with_table(artefact, table)], {})


def _networks(artefact: Artefact, read_networks: Reader) -> tuple[Sequence[Network], Mapping[str, str]]:
    """The networks in an artefact, and why it holds none of the others. Damage is reported before its consequences."""
    try:
        networks, why_not = read_networks(artefact)
    except StylexportError:
        artefact.finish()
        raise
    if not networks:
        artefact.finish()
    return networks, why_not


def _why(why_not: Mapping[str, str]) -> str:
    """Why an artefact holds no network; kinds with the same reason together."""
    kinds: dict[str, list[str]] = {}
    for kind, why in why_not.items():
        kinds.setdefault(why, []).append(kind)
    return "; ".join(f"no {' or '.join(names)}: {why}" for why, names in kinds.items())


def _nothing(source: Source, formats: set[str], reasons: Sequence[str]) -> str:
    if not reasons:
        return f"{source}: holds {', '.join(sorted(formats))} and no network; convert takes networks"
    return f"no known network in {listing(reasons, 2)}; convert it by your own table with --mapping"


def _add(found: dict[str, Found], networks: Sequence[Network], artefact: Artefact) -> None:
    left_out = _left_out(networks, artefact)
    taken = {binding.variable.key for network in networks for binding in network.bindings}
    averages = sum(v.average_of in taken for v in artefact.variables)
    remark = (f"moving averages of {averages} of its variables are left out; --averages takes them instead",) if averages else ()
    for network in networks:
        if network.network in found:
            first, second = shown(found[network.network].artefact.path), shown(artefact.path)
            raise BadInput(f"two {network.network}s: {first} and {second}; name the one, or say which by --network {network.network}=PATH")
        found[network.network] = Found(replace(network, remarks=(*network.remarks, *remark)), artefact, left_out)


def _left_out(networks: Sequence[Network], artefact: Artefact) -> list[LeftOut]:
    """The variables that no network takes, each with its reason. Raises IncompleteCoverage for one without."""
    taken = {binding.variable.key for network in networks for binding in network.bindings}
    twins = {(b.variable.name, b.variable.shape, b.variable.checksum) for n in networks for b in n.bindings}
    averaged = {binding.variable.average_of for network in networks for binding in network.bindings}
    left: list[LeftOut] = []
    unknown: list[str] = []
    for variable in artefact.variables:
        if variable.key in taken:
            continue
        if (excuse := next((n.excused[variable.key] for n in networks if variable.key in n.excused), None)) is not None:
            reason = excuse
        elif variable.slot == RAW or variable.key in averaged:
            reason = RAW
        elif variable.slot is not None:
            reason = f"optimiser slot or counter ({variable.slot})"
        elif (variable.name, variable.shape, variable.checksum) in twins and variable.checksum:
            reason = "the same name and bytes as a variable that was taken"
        elif variable.dtype not in DTYPES:
            reason = f"not a floating-point tensor ({variable.dtype})"
        elif artefact.format == "graphdef":
            reason = "a constant of the graph that is not a weight"
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
