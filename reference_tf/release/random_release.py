"""Writing a whole release in the bucket's layout, of any size, with random weights.

As a command: python -m stylexport.reference_tf.release.random_release OUT --resolution 256 --seed 1 [--no-zip]
"""

from __future__ import annotations

import argparse
import io
import pickle
import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stylexport.common.errors import StylexportError
from stylexport.common.types import Array
from stylexport.reference_tf.networks.forward import softmax
from stylexport.reference_tf.networks.saved_model import export_network
from stylexport.torch_models.config import (
    RELEASED,
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
    MobileNetV1Config,
    NetworkConfig,
    channel_schedule,
    mobilenet_layers,
)
from stylexport.torch_models.kinds import KINDS, kind_of

# Role -> file of the networks of a StylEx; the bucket names the classifier's after its architecture.
FILES = {role: KINDS[architecture].released_file for role, architecture in RELEASED.items()}
DLATENTS = "dlatents.pkl"

Configs = Mapping[str, NetworkConfig]


def released_file(config: NetworkConfig) -> str:
    """The name of a known network's SavedModel in a release."""
    kind = kind_of(config)
    assert kind is not None, config
    return kind.released_file


def configs(
    resolution: int = 256,
    *,
    base: int = 32768,
    most: int = 512,
    latent: int = 512,
    labels: int = 2,
    width: float = 1.0,
) -> dict[str, NetworkConfig]:
    """The four networks at a resolution. The defaults are the release's (RELEASE_FORMAT, "Sizes at 256 px").

    Channels are min(`base` / r, `most`); `width` is MobileNetV1's multiplier. Raises ValueError for a resolution that is not a power
    of two.
    """
    channels = channel_schedule(resolution, base, most)
    found: tuple[NetworkConfig, ...] = (
        GeneratorConfig(resolution, channels, latent=latent, labels=labels, z=latent),
        EncoderConfig(resolution, channels, hidden=channels[0], latent=latent),
        DiscriminatorConfig(resolution, channels, hidden=channels[0], labels=labels),
        MobileNetV1Config(mobilenet_layers(width), labels=labels, resolution=resolution, dropout=0.001),
    )
    return {config.network: config for config in found}


def export_release(
    folder: Path | str,
    configs: Configs,
    seed: int,
    zipped: bool = True,
    *,
    variables: Mapping[str, Mapping[str, Array]] | None = None,
    dlatents: Array | None = None,
    data_format: str = "NCHW",
) -> list[Path]:
    """Write the networks and dlatents.pkl into `folder`, each network as `NAME.savedmodel.zip` or, not `zipped`, as a folder.

    `variables`: the values of networks that are not to be random; `dlatents` [M, latent + labels] the latents, else
    250 random ones whose last entries are softmax probabilities. Returns the paths written. What stood there under these names
    is replaced. Raises as `export_network` does.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for network, config in configs.items():
        target = folder / FILES[network]
        shutil.rmtree(target, ignore_errors=True)
        export_network(network, config, (variables or {}).get(network), target, data_format=data_format, seed=seed)
        if zipped:
            target = zip_folder(target, target.with_name(target.name + ".zip"))
            shutil.rmtree(folder / FILES[network])
        written.append(target)
    generator = configs.get("generator")
    if dlatents is None and isinstance(generator, GeneratorConfig):
        dlatents = random_dlatents(generator, 250, seed)
    if dlatents is not None:
        (folder / DLATENTS).write_bytes(pickle_dlatents(dlatents))
        written.append(folder / DLATENTS)
    return written


def random_dlatents(config: GeneratorConfig, count: int, seed: int) -> Array:
    """[count, latent + labels] in float32: w of unit variance, then softmax probabilities."""
    rng = np.random.default_rng([seed, count])
    w = rng.standard_normal((count, config.latent))
    return np.concatenate([w, softmax(2 * rng.standard_normal((count, config.labels)))], axis=1).astype(np.float32)


def pickle_dlatents(dlatents: Array) -> bytes:
    """dlatents.pkl as released: a pickled list of (index as str, float32 array [1, latent + labels])."""
    rows = [(str(i), row[None].astype("<f4")) for i, row in enumerate(dlatents)]
    buffer = io.BytesIO()
    pickle.dump(rows, buffer, protocol=3)
    # numpy 2 writes the module's private name; the released file, and every numpy, knows it by this one.
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def zip_folder(folder: Path, target: Path) -> Path:
    """A deflated zip of one folder, its name first in every entry, in sorted order and without times: same files, same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder.parent).as_posix()
            entry = zipfile.ZipInfo(name + "/" if path.is_dir() else name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o40755 if path.is_dir() else 0o100644) << 16
            if path.is_dir():
                archive.writestr(entry, b"")
                continue
            with archive.open(entry, "w", force_zip64=True) as out, path.open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stylexport.reference_tf.release.random_release", description="Write a StylEx release with random weights."
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write into")
    parser.add_argument("--resolution", type=int, default=256, help="image size, a power of two (default: %(default)s)")
    parser.add_argument("--base", type=int, default=32768, help="channels are min(BASE / r, MOST) (default: %(default)s)")
    parser.add_argument("--most", type=int, default=512, help="most channels of a layer (default: %(default)s)")
    parser.add_argument("--latent", type=int, default=512, help="length of w and of z (default: %(default)s)")
    parser.add_argument("--labels", type=int, default=2, help="the classifier's labels (default: %(default)s)")
    parser.add_argument("--width", type=float, default=1.0, help="MobileNetV1's width multiplier (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the weights and latents (default: %(default)s)")
    parser.add_argument("--data-format", choices=("NCHW", "NHWC"), default="NCHW", help="NHWC runs on a CPU (default: %(default)s)")
    parser.add_argument("--no-zip", action="store_true", help="write folders instead of zips")
    given = parser.parse_args(arguments)
    try:
        sizes = configs(given.resolution, base=given.base, most=given.most, latent=given.latent, labels=given.labels, width=given.width)
        written = export_release(given.out, sizes, given.seed, not given.no_zip, data_format=given.data_format)
    except (StylexportError, ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
