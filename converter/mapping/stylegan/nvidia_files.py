"""Where in a file of NVIDIA's programs a StyleGAN2 network lies: objects in a pickle, or scopes in a checkpoint.

A pickle holds a generator G, a discriminator D, and the moving average of the generator's weights, which is the one to make images with:
`Gs` in TensorFlow, `G_ema` in PyTorch. In a checkpoint the parts of the first generator are `G_synthesis` and `G_mapping`, those of the
average `G_synthesis_1` and `G_mapping_1`, as TensorFlow counts scopes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stylexport.common.errors import MappingError
from stylexport.converter.formats.base import Artefact, NetworkObject, Variable
from stylexport.converter.mapping.network import NotThisNetwork
from stylexport.converter.mapping.rules import Names

AVERAGES = ("G_ema", "Gs")
DISCRIMINATORS = ("D",)
_SCOPES = re.compile(r"(?:.*/)?(?:Gs?|D|G_synthesis|G_mapping)(?:_\d+)?/.*")
_SYNTHESIS = re.compile(r"(?P<before>(?:.*/)?)G_synthesis(?P<counter>(?:_\d+)?)/4x4/Const/const")


@dataclass(frozen=True)
class Found:
    """One network in a file: its name ("Gs"), its variables, and what was written of it (None in a checkpoint). `chosen`: as `Names`."""

    name: str
    names: Names
    written: NetworkObject | None

    @property
    def in_pytorch(self) -> bool:
        """Whether its variables are named as stylegan2-ada-pytorch names them."""
        return self.written is not None and self.written.framework == "pytorch"

    def setting(self, name: str, default: Any = None) -> tuple[Any, bool]:
        """An argument of a TensorFlow network, the parts' own before the whole's, and whether the file has it."""
        values = self.written.values(name) if self.written is not None else {}
        return (values[max(values, key=len)], True) if values else (default, False)


def generator_in(artefact: Artefact, names: Names) -> Found:
    """The generator of a file: the average where there is one. Raises NotThisNetwork where there is none."""
    if artefact.facts.networks:
        name = _object(artefact, AVERAGES, ("4x4/Const/const", "synthesis.b4.const"), names)
        return _of_object(artefact, names, name)
    return _by_scopes(artefact, names)


def discriminator_in(artefact: Artefact, names: Names) -> Found:
    """The discriminator of a file. Raises NotThisNetwork where there is none."""
    if artefact.facts.networks:
        name = _object(artefact, DISCRIMINATORS, ("4x4/Dense0/weight", "b4.fc.weight"), names)
        return _of_object(artefact, names, name)
    found = [v for v in names.variables if re.match(r"(?:.*/)?D(?:_\d+)?/", v.name)]
    if not any(v.name.endswith("/4x4/Dense0/weight") for v in found):
        raise NotThisNetwork("no variables D/4x4/Dense0/weight as NVIDIA's programs name them")
    return Found("D", Names(found, names.chosen), None)


def others(artefact: Artefact, found: Found) -> dict[str, str]:
    """Why the variables of a file's other networks are left out, by key."""
    reasons = {}
    own = {variable.key for variable in found.names.variables}
    for variable in artefact.variables:
        last = re.split(r"[./]", variable.name)[-1]
        if last == "lod" and variable.slot is None:
            reasons[variable.key] = "the level of detail of progressive growing, which this network does not use"
        elif variable.key not in own and variable.slot is None and (found.written is not None or _SCOPES.fullmatch(variable.name)):
            name = variable.name.split("/")[0]
            twin = found.name in AVERAGES and name.startswith("G")
            reasons[variable.key] = f"of the generator before averaging; {found.name} is taken" if twin else f"of {name}, another network"
        elif variable.key in own and last == "resample_filter":
            reasons[variable.key] = "the resampling filter, whose taps config.json has"
    return reasons


def _object(artefact: Artefact, preferred: Sequence[str], ends: tuple[str, ...], names: Names) -> str:
    """The object that has a variable of one of these endings: a preferred one, else the first."""
    having = {v.name.split("/")[0] for v in names.variables if v.name.endswith(ends)}
    for name in (*preferred, *artefact.facts.networks):
        if name in having:
            return name
    if "synthesis.b4.const" in ends and any(re.search(r"/synthesis\.(?:L\d+_|input\.)", v.name) for v in names.variables):
        raise NotThisNetwork("a generator of StyleGAN3, which is another network and is not known")
    raise NotThisNetwork(f"no {' or '.join(ends)} in {', '.join(artefact.facts.networks)}")


def _of_object(artefact: Artefact, names: Names, name: str) -> Found:
    own = [v for v in names.variables if v.name.startswith(f"{name}/")]
    return Found(name, Names(own, names.chosen), artefact.facts.networks[name])


def _by_scopes(artefact: Artefact, names: Names) -> Found:
    """The generator whose parts are scopes of a checkpoint."""
    places = [place for v in names.variables if (place := _SYNTHESIS.fullmatch(v.name))]
    if not places:
        raise NotThisNetwork("no variable G_synthesis/4x4/Const/const as NVIDIA's programs name it")
    averages = [v for v in names.variables if re.search(r"(?:^|/)Gs/", v.name)]
    places.sort(key=lambda place: ("Gs/" in place["before"], int(place["counter"][1:] or 0)))
    if len(places) > 1 and not averages:
        raise MappingError(
            f"{artefact.path}: holds {len(places)} generators ({', '.join(place[0] for place in places)}) and no Gs; say which by --mapping"
        )
    before, counter = places[-1]["before"], places[-1]["counter"]
    name = "Gs" if averages else "G"
    parts = tuple(f"{before}G_{part}{counter}/" for part in ("synthesis", "mapping"))
    means = [v for v in names.variables if v.name.rpartition("/")[2] == "dlatent_avg"]
    means = [v for v in means if (v in averages) == bool(averages)] or means
    return Found(name, Names([*means, *(v for v in names.variables if v.name.startswith(parts))], names.chosen), None)


def variable_of(found: Found, ending: str) -> Variable | None:
    """The variable of a network whose name ends so; None where there is none."""
    return next((v for v in found.names.variables if v.name.endswith(ending)), None)
