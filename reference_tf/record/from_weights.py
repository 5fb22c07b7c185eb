"""Files that hold weights and no graph (NVIDIA's StyleGAN2): they are recorded by this project's own TensorFlow network, filled with them.

The network is filled by the file's own names and in the file's own layouts, not through the converter's tables: a wrong table is then seen
as a fault. Tensors of NVIDIA's PyTorch programs are laid out for TensorFlow here, by the rules of their layers and in no other place.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from stylexport.common.errors import MappingError
from stylexport.common.types import Array
from stylexport.converter.calls.sources import Source, calls_of
from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.formats.registry import open_artefact, open_each
from stylexport.converter.mapping.network import Network
from stylexport.converter.mapping.recognise import recognise, recognition
from stylexport.converter.mapping.rules import Names, match
from stylexport.reference_tf.networks.build import build
from stylexport.reference_tf.networks.saved_model import save
from stylexport.reference_tf.networks.variables import assign
from stylexport.reference_tf.networks.variables import names as variables_by_name

NO_GRAPH = "{}: the file holds no graph; what is recorded is StylExport's own StyleGAN2 in TensorFlow, filled with the file's variables"
ARCHITECTURES = ("stylegan2_generator", "stylegan2_discriminator")
_WITHOUT_GRAPH = ("pickle", "checkpoint")


def sources_of_weights(paths: Sequence[str | Path], only: Collection[str], opened: contextlib.ExitStack) -> list[Source]:
    """The networks of files without a graph that have a reference here; none where any file has a graph, or holds another network.

    Their graphs lie in a folder that is removed when `opened` is closed.
    """
    found: list[tuple[Artefact, Network]] = []
    for path in paths:
        for artefact in open_each(path):
            opened.callback(artefact.close)
            networks = recognise(artefact)[0] if artefact.format in _WITHOUT_GRAPH else []
            known = [(artefact, n) for n in networks if n.config.architecture in ARCHITECTURES]
            if not known or len(known) < len(networks):
                return []
            found += known
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="stylexport-reference-")))
    chosen = [(artefact, network) for artefact, network in found if not only or network.network in only]
    return [_source(artefact, network, folder / f"{i}.savedmodel", opened) for i, (artefact, network) in enumerate(chosen)]


def _source(artefact: Artefact, network: Network, folder: Path, opened: contextlib.ExitStack) -> Source:
    model = build(network.config, cpu=False)
    targets = variables_by_name(model)
    assign(model, {name: _value(name, artefact, network, tuple(targets[name].shape)) for name in targets})
    save(model, folder)
    saved = open_artefact(folder)
    opened.callback(saved.close)
    kind = network.kind
    assert kind is not None
    bindings = match(recognition(kind).table(network.config), Names(saved.variables), str(artefact.path), network.network)
    filled = Network(network.network, network.config, bindings, network.facts)
    procedure = calls_of(saved, filled, network.config.resolution)  # type: ignore[attr-defined]
    remarks = (NO_GRAPH.format(network.network), *procedure.remarks)
    return Source(network.network, saved, filled, type(procedure)(procedure.calls, procedure.samples, remarks), artefact)


def _value(name: str, artefact: Artefact, network: Network, shape: tuple[int, ...]) -> Array:
    """The file's variable of a TensorFlow name, in TensorFlow's layout. Raises MappingError where it has none."""
    own = [binding.variable for binding in network.bindings]
    wanted = in_pytorch(name) if any("/synthesis.b4." in v.name or "/b4.fc." in v.name for v in own) else name
    ending = re.compile(r"(?:.*/)?" + "/".join(_with_counter(part) for part in wanted.split("/")))
    found: list[Variable] = [v for v in own if ending.fullmatch(v.name)]
    if len(found) != 1:
        raise MappingError(f"{artefact.path}: {len(found)} variables for {wanted} of the {network.network}; report this")
    value = artefact.read(found[0])
    return value if wanted == name else _laid_out(name, value).reshape(shape)


def _with_counter(part: str) -> str:
    return re.escape(part) + (r"(?:_\d+)?" if part in ("G_synthesis", "G_mapping", "D") else "")


_LAYERS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}
_PARTS = {"FromRGB": "fromrgb", "Conv": "conv", "Conv0": "conv0", "Conv1_down": "conv1", "Skip": "skip", "Dense0": "fc", "Output": "out"}


def in_pytorch(name: str) -> str:
    """What stylegan2-ada-pytorch calls a variable of StyleGAN2 in TensorFlow.

    Example:
        >>> in_pytorch("G_synthesis/64x64/Conv0_up/mod_weight"), in_pytorch("G_synthesis/noise3"), in_pytorch("D/Output/bias")
        ('synthesis.b64.conv0.affine.weight', 'synthesis.b16.conv0.noise_const', 'b4.out.bias')

    """
    if name == "dlatent_avg":
        return "mapping.w_avg"
    network, *way = name.split("/")
    last = way[-1]
    if network == "G_mapping":
        return f"mapping.{way[0].replace('Dense', 'fc').replace('LabelEmbed', 'embed')}.{last}"
    if last.startswith("noise") and len(way) == 1:
        number = int(last.removeprefix("noise"))
        return f"synthesis.b{2 ** ((number + 5) // 2)}.{'conv0' if number % 2 else 'conv1'}.noise_const"
    if network == "G_synthesis":
        block = f"synthesis.b{way[0].split('x')[0]}"
        if last == "const":
            return f"{block}.const"
        return f"{block}.{_LAYERS[way[1]]}.{'affine.' + last[4:] if last.startswith('mod_') else last}"
    block = f"b{way[0].split('x')[0]}" if len(way) == 3 else "b4"
    return f"{block}.{_PARTS[way[-2]]}.{last}"


def _laid_out(name: str, value: Array) -> Array:
    """A tensor of PyTorch's in TensorFlow's layout; the transposed convolution's kernel is flipped in both axes."""
    if value.ndim == 4:
        value = value.transpose(2, 3, 1, 0)
        return value[::-1, ::-1] if "/Conv0_up/" in name else value
    return np.ascontiguousarray(value.T) if value.ndim == 2 and "noise" not in name else value
