"""What goes into a recording: the user's own tensors, images or latents, else numbers that a seed gives. All float32.

Every input has a name (`z`, `dlatent`, `image`, `probabilities`, or what a user's own network calls it) and a generator of random numbers
of its own, seeded by both: the same seed gives the same z whatever else is recorded. Images are [N, C, H, W] here, in [-1, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.formats.pickled.dlatents import looks_like_dlatents, read_dlatents
from stylexport.converter.output.safetensors_file import read_with_metadata

Sizes = tuple[int, ...]
Shape = tuple[int | None, ...] | None

PICTURES = (".png", ".jpg", ".jpeg")
IMAGE_RANKS = 3  # channels, height, width
UNKNOWN = 64  # the size that is given to an axis that may have any


@dataclass(frozen=True)
class Given:
    """What the user chose: a seed, and tensors by name or a folder's pictures.

    `kind` is "seed", "inputs", "images" or "latents"; `digests` are the SHA-256 of the files by name. `latents` [M, D] are w with the
    label probabilities behind it.
    """

    kind: str = "seed"
    seed: int = 0
    tensors: Mapping[str, Array] = field(default_factory=dict)
    pictures: Sequence[Path] = ()
    latents: Array | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int | None:
        """How many samples the files hold; None where numbers are drawn."""
        counts = [len(value) for value in self.tensors.values()]
        return counts[0] if counts else len(self.pictures) or (len(self.latents) if self.latents is not None else None)


def read_given(inputs: Path | None, images: Path | None, latents: Path | None, seed: int) -> Given:
    """What the command line named; at most one of the three. Raises BadInput."""
    if seed < 0:
        raise BadInput(f"--seed {seed}: a seed is 0 or more")
    if sum(path is not None for path in (inputs, images, latents)) > 1:
        raise BadInput("--inputs, --images and --latents exclude each other; put all tensors into one file and name it by --inputs")
    if inputs is not None:
        return Given("inputs", seed, tensors=read_tensors(inputs), digests={inputs.name: sha256(inputs)})
    if images is not None:
        pictures = find_pictures(images)
        return Given("images", seed, pictures=pictures, digests={path.name: sha256(path) for path in pictures})
    if latents is not None:
        return Given("latents", seed, latents=read_latents(latents), digests={latents.name: sha256(latents)})
    return Given(seed=seed)


def read_tensors(path: Path) -> dict[str, Array]:
    """The tensors of an npz or safetensors file in float32, all with one number of rows. Raises BadInput."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; --inputs names an npz or safetensors file") from error
    found = _read_npz(path) if zipped else dict(read_with_metadata(path, "--inputs names an npz or safetensors file")[1])
    if not found:
        raise BadInput(f"{path}: holds no tensors; name them as the network's inputs: z, dlatent, image, probabilities")
    for name, value in found.items():
        if value.dtype.kind not in "fiub" and value.dtype.name != "bfloat16":
            raise BadInput(f"{path}: {name} holds {value.dtype.name}; inputs are numbers")
        if value.ndim == 0 or not value.size:
            raise BadInput(f"{path}: {name} has shape {list(value.shape)}; its first axis counts the samples")
        with np.errstate(over="ignore"):
            finite = np.isfinite(value.astype(np.float32)).all()
        if not finite:
            raise BadInput(f"{path}: {name} holds NaN, infinity, or numbers past float32; give finite ones")
    if len({len(value) for value in found.values()}) > 1:
        sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in found.items())
        raise BadInput(f"{path}: {sizes} differ in their first axis, which counts the samples")
    return {name: value.astype(np.float32) for name, value in found.items()}


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise BadInput(f"{path}: cannot be read as npz ({' '.join(str(error).split())[:120]}); write it by numpy.savez") from error


def read_latents(path: Path) -> Array:
    """[M, D] float32 from a pickle as released, or from the only tensor of an npz or safetensors file. Raises BadInput."""
    if path.is_file() and looks_like_dlatents(path):
        return read_dlatents(path).values
    found = read_tensors(path)
    name = "dlatent" if "dlatent" in found else next(iter(found))
    if found[name].ndim != 2 or (name != "dlatent" and len(found) > 1):
        raise BadInput(f"{path}: holds no tensor `dlatent` [M, D]: w with the label probabilities behind it")
    return found[name]


def find_pictures(folder: Path) -> list[Path]:
    """The png and jpeg files of a folder, by name. Raises BadInput where there is none."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; --images names one of png or jpeg files")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
    if not found:
        raise BadInput(f"{folder}: holds no png or jpeg file")
    return found


def read_picture(path: Path, shape: Sizes) -> Array:
    """A picture resized to [C, H, W] in [-1, 1], RGB or, for one channel, gray. Raises BadInput."""
    channels, height, width = shape
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels not in modes:
        raise BadInput(f"{path}: a picture has 1, 3 or 4 channels, the network takes {channels}; give its input by --inputs")
    try:
        with Image.open(path) as opened:
            image = opened.convert(modes[channels]).resize((width, height), Image.Resampling.BICUBIC)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: cannot be read as a picture ({error}); take it out of the folder") from error
    pixels = np.asarray(image, np.float32).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1) / np.float32(127.5) - np.float32(1)


@dataclass(frozen=True)
class Inputs:
    """The inputs of one run, asked for by name and shape. `made` holds what the run itself has given: the mapping's w, images."""

    given: Given
    samples: int
    made: Mapping[str, Array] = field(default_factory=dict)

    def having(self, name: str, value: Array) -> Inputs:
        """The same with a value that the run gave: "w" [N, latent], or "image" [N, C, R, R]."""
        return dataclasses.replace(self, made={**self.made, name: value})

    def has(self, name: str) -> bool:
        """Whether the user gave this input."""
        return name in self.given.tensors

    def tensor(self, name: str, shape: Shape) -> Array:
        """An input [N, *shape] as the user gave it, else random by its kind; where `shape` leaves an axis open it is the user's, or 64.

        Raises BadInput where the user's has another shape, or nothing tells how many axes to draw.
        """
        if self.has(name):
            return self._given(name, shape)
        if shape is None:
            raise BadInput(f"the graph does not tell the shape of its input {name}; give a tensor of this name by --inputs")
        sizes = tuple(UNKNOWN if size is None else size for size in shape)
        if name == "probabilities":
            return self._probabilities(sizes[0])
        if len(sizes) == IMAGE_RANKS:
            return self._images(name, sizes)
        return self._random(name).standard_normal((self.samples, *sizes)).astype(np.float32)

    def _given(self, name: str, shape: Shape) -> Array:
        value = self.given.tensors[name][: self.samples]
        fits = shape is None or (len(shape) == value.ndim - 1 and all(n in (None, m) for n, m in zip(shape, value.shape[1:], strict=True)))
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape or ())
            remedy = "an image is [N, channels, height, width] whatever the graph has" if len(shape or ()) == IMAGE_RANKS else "reshape it"
            raise BadInput(f"--inputs: {name} is {list(value.shape)}, the network takes [N, {wanted}]; {remedy}")
        return value

    def dlatent(self, latent: int, labels: int) -> Array:
        """[N, latent + labels]: the user's, else float32(w) where the run gave it, else a normal draw, with probabilities behind."""
        if self.has("dlatent"):
            return self.tensor("dlatent", (latent + labels,))
        latents = self.given.latents
        if latents is not None:
            if latents.shape[1] != latent + labels:
                raise BadInput(f"--latents: rows of {latents.shape[1]} entries, the generator takes {latent + labels}; give its own")
            return latents[: self.samples]
        w = self.made.get("w")
        if w is None or w.shape != (self.samples, latent):
            w = self._random("w").standard_normal((self.samples, latent)).astype(np.float32)
        return np.concatenate([w, self.tensor("probabilities", (labels,))], axis=1)

    def _probabilities(self, labels: int) -> Array:
        """Those of the latents, else the softmax of random logits."""
        dlatents = self.given.tensors.get("dlatent", self.given.latents)
        if dlatents is not None and dlatents.ndim == 2 and dlatents.shape[1] > labels:
            return dlatents[: self.samples, -labels:]
        logits = 2 * self._random("probabilities").standard_normal((self.samples, labels))
        exact = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (exact / exact.sum(axis=1, keepdims=True)).astype(np.float32)

    def _images(self, name: str, shape: Sizes) -> Array:
        """The user's pictures; else the run's own images for half of the samples, and smooth random ones."""
        if self.given.pictures:
            return np.stack([read_picture(path, shape) for path in self.given.pictures[: self.samples]])
        images = smooth_images(self._random(name), self.samples, shape)
        made = self.made.get("image")
        if made is not None and made.shape == images.shape:
            half = (self.samples + 1) // 2
            images[:half] = np.clip(made[:half], -1, 1)
        return images

    def _random(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.given.seed, *name.encode()])


def smooth_images(rng: np.random.Generator, count: int, shape: Sizes) -> Array:
    """Random images [count, *shape] in (-1, 1): noise at every scale, twice as strong at each coarser one, as photographs have it."""
    channels, height, width = shape
    total = np.zeros((count, channels, height, width))
    size, strength = 2, 1.0
    while size <= max(height, width):
        coarse = rng.standard_normal((count, channels, min(size, height), min(size, width)))
        total += strength * _enlarged(_enlarged(coarse, 2, height), 3, width)
        size, strength = 2 * size, strength / 2
    return np.tanh(total).astype(np.float32)


def _enlarged(values: Array, axis: int, size: int) -> Array:
    """Linear interpolation along an axis, ends on ends."""
    at = np.linspace(0, values.shape[axis] - 1, size)
    low = np.minimum(at.astype(int), max(values.shape[axis] - 2, 0))
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (at - low).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return (1 - share) * values.take(low, axis) + share * values.take(high, axis)
