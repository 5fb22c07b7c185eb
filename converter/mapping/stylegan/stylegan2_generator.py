"""StyleGAN2's generator as NVIDIA's programs name its variables, in TensorFlow and in PyTorch: its rule table, and what a file says."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from stylexport.common.errors import MappingError
from stylexport.converter.formats.base import Artefact
from stylexport.converter.mapping.layouts import Hwio, HwioFlipped, Layout, Squeeze, Transpose
from stylexport.converter.mapping.network import Network, Recognition, facts
from stylexport.converter.mapping.rules import Names, Rule, match
from stylexport.converter.mapping.stylegan.nvidia_files import Found, generator_in, others, variable_of
from stylexport.converter.mapping.stylegan.nvidia_settings import Settings, refuse, settings_of
from stylexport.converter.mapping.stylegan.stylegan2_discriminator import obstacle
from stylexport.torch_models.config import channels_by_resolution, log2, resolutions
from stylexport.torch_models.stylegan2_config import StyleGAN2GeneratorConfig as Config

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """A tensor of ours, its name in TensorFlow with the layout there, and its name in PyTorch, where it lies as ours does."""

    name: str
    tf: str
    layout: Layout
    torch: str
    shape: Shape

    def rule(self, in_pytorch: bool) -> Rule:
        """As a rule of the table for either file."""
        return Rule(self.torch, self.name, Layout(), self.shape) if in_pytorch else Rule(self.tf, self.name, self.layout, self.shape)


def table(config: Config, in_pytorch: bool = False) -> list[Rule]:
    """Every tensor of the PyTorch generator and the variable it comes from."""
    return [row.rule(in_pytorch) for row in [*_mapping(config), *_synthesis(config)]]


def _mapping(config: Config) -> list[Row]:
    rows = [Row("w_avg", "dlatent_avg", Squeeze(1), "mapping.w_avg", (config.latent,))]
    for i, (into, out) in enumerate(pairwise(config.mapping_sizes)):
        tf, name = f"G_mapping*/Dense{i}", f"mapping.fc{i}"
        rows.append(Row(f"{name}.weight", f"{tf}/weight", Transpose(), f"{name}.weight", (out, into)))
        rows.append(Row(f"{name}.bias", f"{tf}/bias", Squeeze(1), f"{name}.bias", (out,)))
    if config.classes:
        scope = "G_mapping*/LabelConcat" if config.label_embedding == "joint" else "G_mapping*/LabelEmbed"
        shape = (config.embedding, config.classes)
        rows.append(Row("mapping.embed.weight", f"{scope}/weight", Transpose(), "mapping.embed.weight", shape))
        if config.label_embedding == "separate":
            rows.append(Row("mapping.embed.bias", f"{scope}/bias", Squeeze(1), "mapping.embed.bias", shape[:1]))
    return rows


def _synthesis(config: Config) -> list[Row]:
    channels, rows = channels_by_resolution(config.resolution, config.channels), []
    const = "synthesis.b4.const"
    rows.append(Row(const, "G_synthesis*/4x4/Const/const", Squeeze(3), const, (channels[4], 4, 4)))
    for r, out in channels.items():
        scope, into = f"G_synthesis*/{r}x{r}", channels.get(r // 2, out)
        if r == 4:
            rows += _layer(f"{scope}/Conv", "b4.conv1", 0, 4, out, out, config)
        else:
            rows += _layer(f"{scope}/Conv0_up", f"b{r}.conv0", 2 * log2(r) - 5, r, into, out, config)
            rows += _layer(f"{scope}/Conv1", f"b{r}.conv1", 2 * log2(r) - 4, r, out, out, config)
        name, rgb = f"synthesis.b{r}.torgb", config.image_channels
        rows += _affine(f"{scope}/ToRGB", f"b{r}.torgb", out, config)
        rows.append(Row(f"{name}.weight", f"{scope}/ToRGB/weight", Hwio(), f"{name}.weight", (rgb, out, 1, 1)))
        rows.append(Row(f"{name}.bias", f"{scope}/ToRGB/bias", Squeeze(1), f"{name}.bias", (rgb,)))
    return rows


def _layer(scope: str, layer: str, noise: int, r: int, into: int, out: int, config: Config) -> list[Row]:
    name, kernel = f"synthesis.{layer}", HwioFlipped() if layer.endswith("conv0") else Hwio()
    rows = [
        *_affine(scope, layer, into, config),
        Row(f"{name}.weight", f"{scope}/weight", kernel, f"{name}.weight", (out, into, 3, 3)),
        Row(f"{name}.bias", f"{scope}/bias", Squeeze(1), f"{name}.bias", (out,)),
    ]
    if config.has_noise:
        rows.append(Row(f"{name}.noise_strength", f"{scope}/noise_strength", Squeeze(0), f"{name}.noise_strength", ()))
        rows.append(Row(f"{name}.noise_const", f"G_synthesis*/noise{noise}", Squeeze(2), f"{name}.noise_const", (r, r)))
    return rows


def _affine(scope: str, layer: str, size: int, config: Config) -> list[Row]:
    name, torch = f"style_vectors.{layer}", f"synthesis.{layer}.affine"
    return [
        Row(f"{name}.weight", f"{scope}/mod_weight", Transpose(), f"{torch}.weight", (size, config.latent)),
        Row(f"{name}.bias", f"{scope}/mod_bias", Squeeze(1), f"{torch}.bias", (size,)),
    ]


def _read(artefact: Artefact, names: Names) -> Network:
    found = generator_in(artefact, names)
    where = f"{artefact.path}: {found.name}"
    _check_architecture(found, where)
    shapes = _shapes(found, where)
    settings = settings_of(found, artefact, where)
    given = _given(found, settings, where)
    try:
        config = Config(**shapes, **{field: value for field, (value, _) in given.items()})  # type: ignore[arg-type]
    except ValueError as error:
        raise MappingError(f"{where}: {error}; is this StyleGAN2?") from error
    bindings = match(table(config, found.in_pytorch), found.names, where, config.network)
    sources = {**dict.fromkeys(shapes, "shapes"), **{field: source for field, (_, source) in given.items()}}
    remarks = [*settings.remarks(found.name), *obstacle(artefact, names)]
    return Network(config.network, config, bindings, facts(config, sources), remarks, others(artefact, found))


def _check_architecture(found: Found, where: str) -> None:
    """Raises MappingError, naming the architecture, for any but the one with skip connections between toRGBs."""
    if found.in_pytorch:
        kinds = set(found.written.values("architecture", "synthesis").values()) if found.written else set()
        if kinds - {"skip"}:
            refuse(where, f"architecture {', '.join(sorted(map(str, kinds)))!r}", "only 'skip' is known")
    elif any("/ToRGB_lod" in v.name for v in found.names.variables):
        refuse(where, "progressive growing (ToRGB_lod: StyleGAN, or StyleGAN2's configurations a to d)", "only e and f are known")
    elif any(v.name.endswith("/Skip/weight") for v in found.names.variables):
        refuse(where, "architecture 'resnet'", "only 'skip' is known")
    elif variable_of(found, "/4x4/ToRGB/weight") is None:
        refuse(where, "architecture 'orig'", "only 'skip' is known")


def _shapes(found: Found, where: str) -> dict[str, object]:
    """The fields that follow from names and shapes."""
    names, torch = found.names, found.in_pytorch
    layer = "synthesis.b{r}.conv1.weight" if torch else "G_synthesis*/{r}x{r}/Conv1/weight"
    first = "synthesis.b4.conv1.weight" if torch else "G_synthesis*/4x4/Conv/weight"
    out = 0 if torch else 3
    resolution = names.highest("synthesis.b{r}.torgb.weight" if torch else "G_synthesis*/{r}x{r}/ToRGB/weight", where)
    layers = [first if r == 4 else layer.replace("{r}", str(r)) for r in resolutions(resolution)]
    dense = "mapping.fc{i}.weight" if torch else "G_mapping*/Dense{i}/weight"
    depth = next(i for i in range(10**4) if not names.find(dense.replace("{i}", str(i))))
    if not depth:
        raise MappingError(f"{where}: lacks {dense.replace('{i}', '0').replace('*', '')}; convert the whole file")
    sizes = [names.shape_of(dense.replace("{i}", str(i)), where, 2)[:: -1 if torch else 1] for i in range(depth)]
    rgb = names.shape_of("synthesis.b4.torgb.weight" if torch else "G_synthesis*/4x4/ToRGB/weight", where, 4)
    found_fields: dict[str, object] = {
        "resolution": resolution,
        "channels": tuple(names.shape_of(name, where, 4)[out] for name in layers),
        "latent": sizes[-1][1],
        "z": sizes[0][0],
        "image_channels": rgb[out],
        "mapping_layers": depth,
        "has_noise": bool(names.find("synthesis.b4.conv1.noise_strength" if torch else "G_synthesis*/4x4/Conv/noise_strength")),
    }
    if depth > 1 and sizes[0][1] != sizes[-1][1]:
        found_fields["mapping_features"] = sizes[0][1]
    for embedding, name in _embeddings(torch):
        if names.find(name):
            shape = names.shape_of(name, where, 2)[:: -1 if torch else 1]
            found_fields |= {"classes": shape[0], "embedding": shape[1], "label_embedding": embedding, "z": sizes[0][0] - shape[1]}
    return found_fields


def _embeddings(torch: bool) -> tuple[tuple[str, str], ...]:
    if torch:
        return (("separate", "mapping.embed.weight"),)
    return ("joint", "G_mapping*/LabelConcat/weight"), ("separate", "G_mapping*/LabelEmbed/weight")


def _given(found: Found, settings: Settings, where: str) -> dict[str, tuple[object, str]]:
    """The fields that a file's settings give, each with its source."""
    constants = ("normalize_epsilon", "demodulation_epsilon", "style_offset", "equalized_convolutions")
    given = settings.fields(("gain", "leaky_slope", "fir", "conv_clamp", "mapping_lr_multiplier", *constants))
    if found.in_pytorch:
        reason = "stylegan2-ada-pytorch"
        given |= {"style_offset": (0.0, f"{reason}: the bias of an affine has the one in it")}
        given |= {"equalized_convolutions": (False, f"{reason}: modulated weights are not scaled before demodulation")}
    return given


RECOGNITION = Recognition(_read, _read, table)
