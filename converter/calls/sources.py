"""What is recorded of a release: its networks, recognised as the converter does, each with its calls; and on how many samples."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylexport.common.errors import BadInput
from stylexport.common.text import listing
from stylexport.converter.calls.calls import Procedure, image_calls, other_calls
from stylexport.converter.calls.inputs import UNKNOWN
from stylexport.converter.calls.user_inputs import UserInputs
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.checkpoint.averages import averaged
from stylexport.converter.formats.registry import DATA_FORMATS, open_each
from stylexport.converter.formats.savedmodel.functions import holds_graph
from stylexport.converter.mapping.network import Network
from stylexport.converter.mapping.recognise import recognise
from stylexport.converter.mapping.table_bindings import read_with_table
from stylexport.converter.mapping.user_table import UserTable
from stylexport.torch_models.kinds import known_roles

MODEL = "model"  # the name of a network that no mapping knows
FEW, MANY, SMALL = 4, 8, 64  # samples of images larger than SMALL pixels a side, and of others
_USUAL = 224  # image size of a classifier whose files do not have it


@dataclass(frozen=True)
class Source:
    """A network to record: its name, the artefact that holds its graph, what mapping found (None without one), and its calls.

    `weights` is the artefact that it comes from, where that has no graph.
    """

    name: str
    artefact: Artefact
    network: Network | None
    procedure: Procedure
    weights: Artefact | None = None

    @property
    def origin(self) -> Artefact:
        """The user's own artefact."""
        return self.weights or self.artefact


def find(
    sources: Sequence[str | Path], mapping: Path | None, only: Collection[str], opened: contextlib.ExitStack, averages: bool = False
) -> list[Source]:
    """The networks of `sources` in the order of their kinds, of those named in `only` where any is; then the user's own.

    `averages`: moving averages are taken in place of raw values.
    An artefact whose network no mapping knows is recorded where it is the only one. Raises BadInput where there is nothing to run.
    """
    read = _reader(mapping)
    found: dict[str, tuple[Artefact, Network]] = {}
    unknown: list[Artefact] = []
    without: list[str] = []
    for artefact in _artefacts(sources, opened):
        if artefact.format in DATA_FORMATS:
            continue
        if not holds_graph(artefact):
            without.append(f"{artefact.path} ({artefact.format})")
            continue
        artefact = averaged(artefact) if averages else artefact
        networks = read(artefact)
        for network in networks:
            if network.network in found:
                raise BadInput(f"two {network.network}s: {found[network.network][0].path} and {artefact.path}; name one release")
            found[network.network] = artefact, network
        if not networks:
            unknown.append(artefact)
    if not found and len(unknown) == 1 and not set(only) - {MODEL}:
        return [Source(MODEL, unknown[0], None, other_calls(unknown[0], None))]
    names = _chosen(found, only, unknown, without)
    resolution = max((getattr(found[name][1].config, "resolution", None) or 0 for name in found), default=0) or _USUAL
    return [Source(name, *found[name], calls_of(*found[name], resolution)) for name in names]


def _artefacts(sources: Sequence[str | Path], opened: contextlib.ExitStack) -> Iterator[Artefact]:
    for source in sources:
        for artefact in open_each(source):
            opened.callback(artefact.close)
            yield artefact


def _reader(mapping: Path | None) -> Callable[[Artefact], Sequence[Network]]:
    if mapping is None:
        return lambda artefact: recognise(artefact)[0]
    table = UserTable.read(mapping)
    return lambda artefact: [read_with_table(artefact, table)]


def _chosen(found: Mapping[str, object], only: Collection[str], unknown: Sequence[Artefact], without: Sequence[str]) -> list[str]:
    """Names in order. Raises BadInput where one that was asked for, or any, is missing."""
    if not found and without:
        raise BadInput(f"{listing(without, 2)}: holds no graph, so nothing of it can be run; record the SavedModel")
    if not found:
        paths = ", ".join(str(artefact.path) for artefact in unknown[:4])
        raise BadInput(f"no known network in {paths or 'what was named'}; name one SavedModel, or describe it by --mapping")
    order = [*known_roles(), *found]
    names = sorted(found, key=order.index)
    if missing := sorted(set(only) - set(found)):
        raise BadInput(f"no {listing(missing)} here; --network names one of {', '.join(names)}")
    return [name for name in names if not only or name in only]


def calls_of(artefact: Artefact, network: Network, resolution: int) -> Procedure:
    """The calls of a network, by its kind."""
    kind = network.kind
    if kind is None:
        return other_calls(artefact, network)
    if kind.calls is not None:
        procedure: Procedure = kind.calls.load()(artefact, network)
        return procedure
    return image_calls(artefact, network, kind.inputs, kind.outputs[0], kind.layout, resolution)


def samples_to_run(asked: int | None, user: UserInputs, sources: Sequence[Source]) -> int:
    """How many samples to run: what was asked for, else all rows of --inputs, else few or many by the networks' size.

    The discriminator takes whole groups of its minibatch standard deviation only, or fewer samples than one. Raises BadInput where the
    user's files do not hold as many, or the number is not a multiple of the group.
    """
    if asked is not None and asked < 1:
        raise BadInput(f"--samples {asked}: at least one is needed")
    if asked is not None and user.rows is not None and asked > user.rows:
        raise BadInput(f"--samples {asked}: --{user.kind} holds {user.rows}; ask for fewer or give more")
    count = asked or (user.rows if user.kind == "inputs" and user.rows else min(_usual(sources), user.rows or _usual(sources)))
    grouped = [(s.network.config, s.network.kind.group) for s in sources if s.network and s.network.kind]
    group = next((getattr(config, field) for config, field in grouped if field), 1) or 1
    if count > group and count % group:
        if asked or user.kind == "inputs":
            remedy = f"give a multiple of {group}, fewer than {group}, or leave the discriminator out by --network"
            raise BadInput(f"{count} samples: the discriminator's minibatch standard deviation takes them in groups of {group}; {remedy}")
        count -= count % group
    return count


def _usual(sources: Sequence[Source]) -> int:
    return MANY if all(_pixels(source) <= SMALL**2 for source in sources) else FEW


def _pixels(source: Source) -> int:
    """Pixels of the largest image that a network takes or gives."""
    resolution = getattr(source.network.config, "resolution", None) if source.network else None
    feeds = [feed for call in source.procedure.calls for feed in call.feeds if feed.layout]
    inputs = [math.prod(n or UNKNOWN for n in feed.shape or ()) for feed in feeds]
    return max([(resolution or 0) ** 2, *(size // 3 for size in inputs)])
