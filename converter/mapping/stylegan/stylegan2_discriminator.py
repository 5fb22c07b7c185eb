"""StyleGAN2's discriminator as NVIDIA's programs name its variables, in TensorFlow and in PyTorch: its rule table, and what a file says."""

from __future__ import annotations

from stylexport.common.errors import MappingError
from stylexport.converter.formats.base import Artefact
from stylexport.converter.mapping.layouts import Hwio, Layout, Squeeze, Transpose
from stylexport.converter.mapping.network import Network, NotThisNetwork, Recognition, facts
from stylexport.converter.mapping.rules import Names, Rule, match
from stylexport.converter.mapping.stylegan.nvidia_files import Found, discriminator_in
from stylexport.converter.mapping.stylegan.nvidia_settings import Settings, refuse, settings_of
from stylexport.torch_models.config import channels_by_resolution, resolutions
from stylexport.torch_models.stylegan2_config import StyleGAN2DiscriminatorConfig as Config


def table(config: Config, in_pytorch: bool = False) -> list[Rule]:
    """Every tensor of the PyTorch discriminator and the variable it comes from."""
    channels = channels_by_resolution(config.resolution, config.channels)
    top, last, hidden = config.resolution, channels[4], config.hidden
    rows: list[tuple[str, str, Layout, tuple[int, ...]]] = [
        (f"b{top}.fromrgb.weight", f"{top}x{top}/FromRGB/weight", Hwio(), (channels[top], config.image_channels, 1, 1)),
        (f"b{top}.fromrgb.bias", f"{top}x{top}/FromRGB/bias", Squeeze(1), (channels[top],)),
    ]
    for r in reversed(resolutions(top)[1:]):
        into, out, scope = channels[r], channels[r // 2], f"{r}x{r}"
        rows += [
            (f"b{r}.conv0.weight", f"{scope}/Conv0/weight", Hwio(), (into, into, 3, 3)),
            (f"b{r}.conv0.bias", f"{scope}/Conv0/bias", Squeeze(1), (into,)),
            (f"b{r}.conv1.weight", f"{scope}/Conv1_down/weight", Hwio(), (out, into, 3, 3)),
            (f"b{r}.conv1.bias", f"{scope}/Conv1_down/bias", Squeeze(1), (out,)),
            (f"b{r}.skip.weight", f"{scope}/Skip/weight", Hwio(), (out, into, 1, 1)),
        ]
    rows += [
        ("b4.conv.weight", "4x4/Conv/weight", Hwio(), (last, last + 1, 3, 3)),
        ("b4.conv.bias", "4x4/Conv/bias", Squeeze(1), (last,)),
        ("b4.fc.weight", "4x4/Dense0/weight", Transpose(), (hidden, last * 16)),
        ("b4.fc.bias", "4x4/Dense0/bias", Squeeze(1), (hidden,)),
        ("b4.out.weight", "Output/weight", Transpose(), (config.outputs, hidden)),
        ("b4.out.bias", "Output/bias", Squeeze(1), (config.outputs,)),
    ]
    if in_pytorch:
        return [Rule(name, name, Layout(), shape) for name, _, _, shape in rows]
    return [Rule(f"D*/{tf}", name, layout, shape) for name, tf, layout, shape in rows]


def _find(artefact: Artefact, names: Names) -> Network:
    """The discriminator, where it is of the kind that is known here: a generator beside another one is converted without it."""
    found = discriminator_in(artefact, names)
    where = f"{artefact.path}: {found.name}"
    try:
        _check_architecture(found, where)
        settings = settings_of(found, artefact, where)
    except MappingError as error:
        raise NotThisNetwork(str(error)) from error
    return _of(artefact, found, settings, where)


def obstacle(artefact: Artefact, names: Names) -> list[str]:
    """A sentence that says why the discriminator beside a generator is left out; none where there is none, or it is converted."""
    try:
        found = discriminator_in(artefact, names)
    except NotThisNetwork:
        return []
    try:
        _check_architecture(found, found.name)
        settings_of(found, artefact, found.name)
    except MappingError as error:
        return [f"{error}: the discriminator is left out"]
    return []


def _read(artefact: Artefact, names: Names) -> Network:
    found = discriminator_in(artefact, names)
    where = f"{artefact.path}: {found.name}"
    _check_architecture(found, where)
    return _of(artefact, found, settings_of(found, artefact, where), where)


def _of(artefact: Artefact, found: Found, settings: Settings, where: str) -> Network:
    shapes = _shapes(found, where)
    given = settings.fields(("gain", "leaky_slope", "fir", "conv_clamp", "mbstd_group", "mbstd_epsilon", "residual_scale"))
    try:
        config = Config(**shapes, **{field: value for field, (value, _) in given.items()})  # type: ignore[arg-type]
    except ValueError as error:
        raise MappingError(f"{where}: {error}; is this StyleGAN2?") from error
    bindings = match(table(config, found.in_pytorch), found.names, where, config.network)
    sources = {**dict.fromkeys(shapes, "shapes"), **{field: source for field, (_, source) in given.items()}}
    filters = {
        v.key: "the resampling filter, whose taps config.json has" for v in found.names.variables if v.name.endswith("resample_filter")
    }
    return Network(config.network, config, bindings, facts(config, sources), settings.remarks(found.name), filters)


def _check_architecture(found: Found, where: str) -> None:
    """Raises MappingError, naming the architecture, for any but the residual one without an embedding of classes."""
    names = [v.name for v in found.names.variables]
    if any("/FromRGB_lod" in name for name in names):
        refuse(where, "progressive growing (FromRGB_lod: StyleGAN, or StyleGAN2's configurations a to d)", "only e and f are known")
    if any("/LabelEmbed/" in name or "/mapping.embed." in name for name in names):
        refuse(where, "a projection on embedded classes (StyleGAN2-ADA with labels)", "only a score for each class is known")
    if not any(name.endswith(("/Skip/weight", ".skip.weight")) for name in names):
        several = sum(name.endswith(("/FromRGB/weight", ".fromrgb.weight")) for name in names) > 1
        refuse(where, f"architecture {'skip' if several else 'orig'!r}", "only 'resnet' is known")


def _shapes(found: Found, where: str) -> dict[str, object]:
    """The fields that follow from names and shapes."""
    names, torch = found.names, found.in_pytorch
    rgb = "b{r}.fromrgb.weight" if torch else "D*/{r}x{r}/FromRGB/weight"
    down = "b{r}.conv1.weight" if torch else "D*/{r}x{r}/Conv1_down/weight"
    out, into = (0, 1) if torch else (3, 2)
    resolution = names.highest(rgb, where, 8)
    first = names.shape_of(rgb.replace("{r}", str(resolution)), where, 4)
    channels = {resolution: first[out]}
    for r in resolutions(resolution)[1:]:
        channels[r // 2] = names.shape_of(down.replace("{r}", str(r)), where, 4)[out]
    hidden, scores = names.shape_of("b4.out.weight" if torch else "D*/Output/weight", where, 2)[:: -1 if torch else 1]
    classes = found.setting("label_size", scores if scores > 1 else 0)[0]
    return {
        "resolution": resolution,
        "channels": tuple(channels[r] for r in resolutions(resolution)),
        "hidden": hidden,
        "image_channels": first[into],
        "classes": classes if isinstance(classes, int) and max(classes, 1) == scores else scores,
    }


RECOGNITION = Recognition(_find, _read, table)
