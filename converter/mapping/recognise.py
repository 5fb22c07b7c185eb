"""Which known networks an artefact holds: each kind looks among the variables that the kinds before it did not take."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from stylexport.common.errors import DamagedFile, MappingError
from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.mapping.aliases import read_renamed
from stylexport.converter.mapping.network import Network, NotThisNetwork, Recognition
from stylexport.converter.mapping.rules import Names, Rule
from stylexport.torch_models.config import RELEASED, NetworkConfig
from stylexport.torch_models.kinds import KINDS, NetworkKind, kind_of, kinds_called


def recognise(artefact: Artefact) -> tuple[list[Network], dict[str, str]]:
    """The networks in `artefact`, and for each other kind why it is not there.

    Raises MappingError where one is there but not whole, and DamagedFile where the graph contradicts itself.

    Example:
        >>> from stylexport.checkpoints import EMBEDDED
        >>> from stylexport.converter import open_artefact
        >>> (encoder,), why_not = recognise(open_artefact(EMBEDDED / "encoder.savedmodel.zip"))
        >>> encoder.config.resolution, encoder.bindings[0].rule.torch
        (32, 'b32.fromrgb.weight')
        >>> why_not["generator"]
        'no variables with its released names'

    """
    found: list[Network] = []
    why_not: dict[str, str] = {}
    for kind in KINDS.values():
        taken = {binding.variable.key for network in found for binding in network.bindings}
        names = Names(variable for variable in artefact.variables if variable.key not in taken)
        try:
            found.append(recognition(kind).find(artefact, names))
        except NotThisNetwork as reason:
            why_not[kind.label] = str(reason)
        except (LookupError, ValueError) as error:  # what a graph raises whose nodes lack inputs, or whose constants lack bytes
            remedy = "fetch or export it again; if it is whole, report it with the traceback that -v shows"
            raise DamagedFile(artefact.path, f"its graph cannot be followed ({error!r})", remedy) from error
    return found, why_not


def read_as(artefact: Artefact, name: str, chosen: Mapping[str, Variable] | None = None, without: Collection[str] = ()) -> Network:
    """`artefact` read as the network of this role or architecture, whatever else it might be.

    `chosen` gives the variables of some tensors outright; names are not looked for among the variables whose keys are in `without`.
    Raises MappingError that says what it lacks.
    """
    names = Names((v for v in artefact.variables if v.key not in without), chosen)
    kinds = kinds_called(name)
    try:
        return _read_by(kinds, name, artefact, names)
    except MappingError:
        for kind in kinds if chosen else ():
            if (network := read_renamed(kind, recognition(kind), artefact, chosen or {}, without)) is not None:
                return network
        raise


def _read_by(kinds: Sequence[NetworkKind], name: str, artefact: Artefact, names: Names) -> Network:
    reasons = []
    for kind in kinds:
        look = recognition(kind)
        try:
            return look.read(artefact, names) if len(kinds) == 1 else look.find(artefact, names)
        except NotThisNetwork as reason:
            reasons.append(f"is no {kind.title}: {reason}")
    if names.chosen and RELEASED.get(name) in KINDS:  # a table that names tensors of the released network corrects that one
        return recognition(KINDS[RELEASED[name]]).read(artefact, names)
    raise MappingError(f"{artefact.path}: {'; '.join(reasons)}; convert another network by --mapping")


def recognition(kind: NetworkKind) -> Recognition:
    """How this kind is found."""
    found: Recognition = kind.recognition.load()
    return found


def table(config: NetworkConfig) -> list[Rule]:
    """The rule table of a known network by its configuration: what export-tf reads backwards. Raises ValueError for another network."""
    kind = kind_of(config)
    if kind is None:
        raise ValueError(f"{type(config).__name__} is not a configuration of a known network")
    return recognition(kind).table(config)
