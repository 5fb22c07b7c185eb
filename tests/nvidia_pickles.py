"""Pickles of networks as NVIDIA's programs write them, made here by stand-ins in modules named as theirs: small, random, every part there.

`tensorflow_pickle` writes a tuple (G, D, Gs) of `dnnlib.tflib.network.Network` (StyleGAN2, and StyleGAN2-ADA in TensorFlow), `torch_pickle`
a dictionary of G, D and G_ema, persistent classes of stylegan2-ada-pytorch. Both carry source code that ends the process where it is run.
"""

from __future__ import annotations

import collections
import math
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.common.types import Array

HOSTILE_CODE = "raise SystemExit('the source code of a pickle was run')"
CHANNELS = {4: 10, 8: 8, 16: 6, 32: 4}


def channels(resolution: int, most: int = 10**6) -> dict[int, int]:
    """Channels at 4, 8, ... `resolution`."""
    return {r: min(c, most) for r, c in CHANNELS.items() if r <= resolution}


class _Draw:
    """Random numbers: none is a default, and a bias that is one in the mean where it is asked."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape: int, std: float = 1.0, mean: float = 0.0) -> Array:
        return (mean + std * self.rng.standard_normal(shape)).astype(np.float32)


def tf_generator(
    resolution: int = 32,
    *,
    latent: int = 7,
    depth: int = 8,
    lrmul: float = 0.01,
    classes: int = 0,
    joint: bool = True,
    noise: bool = True,
    most: int = 10**6,
    seed: int = 0,
) -> dict[str, Array]:
    """Variables of a generator by the names that its three networks give them: "dlatent_avg", "G_mapping/...", "G_synthesis/...".

    Classes enter as StyleGAN2 lets them (`joint`), else as StyleGAN2-ADA does.
    """
    draw, sizes = _Draw(seed), channels(resolution, most)
    found = {"lod": np.float32(0), "dlatent_avg": draw(latent, std=0.3)}
    into = latent
    if classes and joint:
        found["G_mapping/LabelConcat/weight"], into = draw(classes, latent), 2 * latent
    elif classes:
        found["G_mapping/LabelEmbed/weight"], found["G_mapping/LabelEmbed/bias"] = draw(classes, 5), draw(5)
        into = latent + 5
    for i in range(depth):
        found[f"G_mapping/Dense{i}/weight"] = draw(into if i == 0 else latent, latent, std=1 / lrmul)
        found[f"G_mapping/Dense{i}/bias"] = draw(latent, std=0.2 / lrmul)
    s = "G_synthesis"
    if noise:
        found |= {f"{s}/noise{i}": draw(1, 1, 2 ** ((i + 5) // 2), 2 ** ((i + 5) // 2)) for i in range(2 * int(math.log2(resolution)) - 3)}
    found[f"{s}/4x4/Const/const"] = draw(1, sizes[4], 4, 4)

    def modulated(scope: str, kernel: int, into: int, out: int, std: float) -> None:
        found[f"{scope}/weight"] = draw(kernel, kernel, into, out, std=std)
        found[f"{scope}/mod_weight"], found[f"{scope}/mod_bias"] = draw(latent, into), draw(into, std=0.2)
        if kernel == 3 and noise:
            found[f"{scope}/noise_strength"] = np.float32(0.1 + 0.1 * draw.rng.random())
        found[f"{scope}/bias"] = draw(out, std=0.2)

    for r, out in sizes.items():
        if r == 4:
            modulated(f"{s}/4x4/Conv", 3, out, out, 1.0)
        else:
            modulated(f"{s}/{r}x{r}/Conv0_up", 3, sizes[r // 2], out, 1.0)
            modulated(f"{s}/{r}x{r}/Conv1", 3, out, out, 1.0)
        modulated(f"{s}/{r}x{r}/ToRGB", 1, out, 3, 0.3)
    return found


def tf_discriminator(resolution: int = 32, *, outputs: int = 1, most: int = 10**6, skip: bool = True, seed: int = 1) -> dict[str, Array]:
    """Variables of a discriminator by name; without `skip` it is of the architecture "orig"."""
    draw, sizes = _Draw(seed), channels(resolution, most)
    top = sizes[resolution]
    found = {f"{resolution}x{resolution}/FromRGB/weight": draw(1, 1, 3, top), f"{resolution}x{resolution}/FromRGB/bias": draw(top, std=0.2)}
    for r in sorted(sizes, reverse=True)[:-1]:
        into, out, s = sizes[r], sizes[r // 2], f"{r}x{r}"
        found |= {f"{s}/Conv0/weight": draw(3, 3, into, into), f"{s}/Conv0/bias": draw(into, std=0.2)}
        found |= {f"{s}/Conv1_down/weight": draw(3, 3, into, out), f"{s}/Conv1_down/bias": draw(out, std=0.2)}
        found |= {f"{s}/Skip/weight": draw(1, 1, into, out)} if skip else {}
    c = sizes[4]
    found |= {"4x4/Conv/weight": draw(3, 3, c + 1, c), "4x4/Conv/bias": draw(c, std=0.2)}
    found |= {"4x4/Dense0/weight": draw(16 * c, c), "4x4/Dense0/bias": draw(c, std=0.2)}
    return found | {"Output/weight": draw(c, outputs), "Output/bias": draw(outputs, std=0.2)}


class _Network:
    """Pickles as `dnnlib.tflib.network.Network` does: by its state."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


class _EasyDict(dict[str, Any]):
    """`dnnlib.util.EasyDict`."""


class _Persistent:
    """Pickles as a persistent class does: a call with what is needed to make it again."""

    def __init__(self, kind: str, state: dict[str, Any]) -> None:
        self.meta = {"type": "class", "version": 6, "module_src": HOSTILE_CODE, "class_name": kind, "state": state}

    def __reduce__(self) -> Any:
        return _reconstruct_persistent_obj, (self.meta,), None


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("a pickle was executed")


@contextmanager
def _modules() -> Iterator[None]:
    """The stand-ins, importable where a pickle says that they are."""
    homes = [
        ("dnnlib.tflib.network", "Network", _Network),
        ("dnnlib.util", "EasyDict", _EasyDict),
        ("torch_utils.persistence", "_reconstruct_persistent_obj", _reconstruct_persistent_obj),
    ]
    added = []
    for home, name, thing in homes:
        thing.__module__, thing.__qualname__, thing.__name__ = home, name, name
        for end in [i for i, c in enumerate(home) if c == "."] + [len(home)]:
            if home[:end] not in sys.modules:
                sys.modules[home[:end]] = types.ModuleType(home[:end])
                added.append(home[:end])
        setattr(sys.modules[home], name, thing)
    try:
        yield
    finally:
        for home in added:
            del sys.modules[home]


def _tf_network(name: str, function: str, variables: Mapping[str, Array], kwargs: Mapping[str, Any], parts: Mapping[str, str]) -> _Network:
    """A network object and those inside it: `parts` gives component -> (its name is G_component) function."""
    inside = {part: f"G_{part}" for part in parts}
    components = {
        part: _tf_network(
            scope, parts[part], {n.partition("/")[2]: v for n, v in variables.items() if n.startswith(f"{scope}/")}, kwargs, {}
        )
        for part, scope in inside.items()
    }
    own = [(n, v) for n, v in variables.items() if not n.startswith(tuple(f"{scope}/" for scope in inside.values()) or ("\0",))]
    return _Network(
        {
            "version": 4,
            "name": name,
            "static_kwargs": dict(kwargs),
            "components": components,
            "build_module_src": HOSTILE_CODE,
            "build_func_name": function,
            "variables": own,
        }
    )


def tensorflow_pickle(
    path: Path,
    generator: Mapping[str, Array],
    discriminator: Mapping[str, Array] | None,
    *,
    ada: bool = False,
    alone: bool = False,
    **kwargs: Any,
) -> Path:
    """The pickle of (G, D, Gs); `generator` is Gs, G has other numbers. `kwargs` are the networks' arguments. `alone`: only Gs."""
    names = {"synthesis": "G_synthesis" if ada else "G_synthesis_stylegan2", "mapping": "G_mapping"}
    raw = {name: value + np.float32(0.5) for name, value in generator.items()}
    with _modules():
        averaged = _tf_network("Gs", "G_main", generator, kwargs, names)
        own = {name: value for name, value in kwargs.items() if name != "architecture"}
        value: Any = (
            _tf_network("G", "G_main", raw, kwargs, names),
            _tf_network("D", "D_main" if ada else "D_stylegan2", discriminator or {}, own, {}),
            averaged,
        )
        path.write_bytes(pickle.dumps(averaged if alone else value, protocol=3))
    return path


def _module(kind: str, tensors: Mapping[str, Any], modules: Mapping[str, Any], **attributes: Any) -> _Persistent:
    buffers = {name: tensors[name] for name in ("noise_const", "w_avg", "resample_filter") if name in tensors}
    state = {
        "training": False,
        "_parameters": collections.OrderedDict((name, value) for name, value in tensors.items() if name not in buffers),
        "_buffers": collections.OrderedDict(buffers),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": collections.OrderedDict(),
        "_modules": collections.OrderedDict(modules),
        **attributes,
        "_init_args": (),
        "_init_kwargs": {},
    }
    return _Persistent(kind, state)


def torch_generator(variables: Mapping[str, Array], *, clamp: float | None = 256, lrmul: float = 0.01) -> dict[str, Array]:
    """A generator's tensors as stylegan2-ada-pytorch names and lays them, made of TensorFlow's variables."""
    given, found = dict(variables), {}
    found["mapping.w_avg"] = given["dlatent_avg"]
    for name, value in given.items():
        if name.startswith("G_mapping/Dense"):
            i, kind = name.removeprefix("G_mapping/Dense").split("/")
            found[f"mapping.fc{i}.{kind}"] = value.T
        if name.startswith("G_mapping/LabelEmbed/"):
            found[f"mapping.embed.{name.rpartition('/')[2]}"] = value.T
        if name.startswith("G_synthesis/noise"):
            i = int(name.removeprefix("G_synthesis/noise"))
            found[f"synthesis.b{2 ** ((i + 5) // 2)}.conv{1 - i % 2}.noise_const"] = value[0, 0]
        if "/Const/" in name:
            found["synthesis.b4.const"] = value[0]
        parts = name.split("/")
        if parts[0] == "G_synthesis" and len(parts) == 4 and parts[2] != "Const":
            r, layer, kind = (
                parts[1].split("x")[0],
                {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}[parts[2]],
                parts[3],
            )
            place = f"synthesis.b{r}.{layer}"
            if kind == "weight":
                found[f"{place}.weight"] = (value[::-1, ::-1] if layer == "conv0" else value).transpose(3, 2, 0, 1)
            elif kind.startswith("mod_"):
                found[f"{place}.affine.{kind[4:]}"] = value.T + (1 if kind == "mod_bias" else 0)
            else:
                found[f"{place}.{kind}"] = value
    return {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in found.items()}


def torch_discriminator(variables: Mapping[str, Array]) -> dict[str, Array]:
    """A discriminator's tensors as stylegan2-ada-pytorch names and lays them."""
    found = {}
    for name, value in variables.items():
        *scope, layer, kind = name.split("/")
        r = scope[0].split("x")[0] if scope else "4"
        ours = {"FromRGB": "fromrgb", "Conv1_down": "conv1", "Dense0": "fc", "Output": "out"}.get(layer, layer.lower())
        found[f"b{r}.{ours}.{kind}"] = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
    return {name: np.ascontiguousarray(value) for name, value in found.items()}


def torch_pickle(
    path: Path,
    generator: Mapping[str, Array],
    discriminator: Mapping[str, Array] | None,
    *,
    clamp: float | None = 256,
    lrmul: float = 0.01,
    architecture: str = "skip",
    discriminator_architecture: str = "resnet",
    activation: str = "lrelu",
    group: int | None = 4,
) -> Path:
    """The pickle of {G, D, G_ema, training_set_kwargs, augment_pipe}; `generator` is G_ema, G has other numbers."""
    options = {"clamp": clamp, "lrmul": lrmul, "architecture": architecture, "activation": activation}
    raw = {name: value + np.float32(0.5) for name, value in generator.items()}
    with _modules():
        value: dict[str, Any] = {"G": _tree("Generator", raw, **options)}
        if discriminator is not None:
            value["D"] = _tree("Discriminator", discriminator, **{**options, "architecture": discriminator_architecture}, group=group)
        value["G_ema"] = _tree("Generator", generator, **options)
        value["training_set_kwargs"] = _EasyDict(class_name="training.dataset.ImageFolderDataset", path="pictures", use_labels=False)
        value["augment_pipe"] = None
        path.write_bytes(pickle.dumps(value, protocol=4))
    return path


def _tree(
    kind: str, tensors: Mapping[str, Array], *, clamp: Any, lrmul: float, architecture: str, activation: str, group: Any = None
) -> _Persistent:
    """Modules inside modules, with the attributes that their classes give them."""
    import torch

    taps = np.array([1, 3, 3, 1], np.float32)
    fir = torch.from_numpy(np.outer(taps, taps) / taps.sum() ** 2)
    inner: dict[str, Any] = {}
    for name, value in tensors.items():
        level = inner
        *way, last = name.split(".")
        for part in way:
            level = level.setdefault(part, {})
        tensor = torch.from_numpy(np.array(value))
        level[last] = tensor if last in ("noise_const", "w_avg") else torch.nn.Parameter(tensor)

    def build(name: str, parts: dict[str, Any]) -> _Persistent:
        own = {n: v for n, v in parts.items() if not isinstance(v, dict)}
        modules = {n: build(n, v) for n, v in parts.items() if isinstance(v, dict)}
        scale = 1 / np.sqrt(own["weight"][0].numel()) if "weight" in own else 0.0
        if name.startswith("fc") and kind == "Generator":
            return _module("FullyConnectedLayer", own, {}, activation=activation, weight_gain=lrmul * scale, bias_gain=lrmul)
        if name in ("affine", "embed", "out", "fc"):
            return _module("FullyConnectedLayer", own, {}, activation="lrelu" if name == "fc" else "linear", weight_gain=scale, bias_gain=1)
        if name == "torgb":
            return _module("ToRGBLayer", own, modules, conv_clamp=clamp, weight_gain=scale)
        if name.startswith("conv") or name in ("fromrgb", "skip"):
            linear = name == "skip"
            found = {"activation": "linear" if linear else activation, "conv_clamp": None if linear else clamp, "padding": 1, "up": 1}
            found |= {"act_gain": 1 if linear else np.sqrt(2)}
            if kind == "Generator":
                return _module("SynthesisLayer", {**own, "resample_filter": fir}, modules, **found, use_noise="noise_const" in own)
            return _module("Conv2dLayer", {**own, "resample_filter": fir}, modules, **found, weight_gain=scale)
        if name == "b4" and kind == "Discriminator":
            mbstd = _module("MinibatchStdLayer", {}, {}, group_size=group, num_channels=1)
            return _module("DiscriminatorEpilogue", own, {"mbstd": mbstd, **modules}, architecture=architecture, cmap_dim=0)
        if name.startswith("b"):
            return _module("SynthesisBlock", {**own, "resample_filter": fir}, modules, architecture=architecture, use_fp16=False)
        return _module({"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork"}.get(name, kind), own, modules, w_dim=7)

    return build("", inner)
