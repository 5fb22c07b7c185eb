"""Opening a data set that a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.training.data.cache import picture_store
from stylexport.training.data.folder import Pictures, folder_pictures
from stylexport.training.data.images import Images
from stylexport.training.data.labelled import labelled_pictures
from stylexport.training.data.mnist import PADDED, open_digits
from stylexport.training.data.split import split
from stylexport.training.settings import STRICT

PARTS = ("train", "held_out")
SMALLEST = 4


@dataclass(frozen=True)
class DataConfig:
    """What to learn from. `kind`:

        mnist    the `digits` of MNIST, in its own two parts; `path` may hold its four idx files
        folder   the pictures under `path`; its subfolders, where it has any, are the labels
        csv      the pictures under `path` that the table `csv` labels, a row a file

    A `held_out` share of a folder's or table's pictures, chosen by `seed`, is not trained on. `flip` mirrors half of the images, by
    default all kinds' but MNIST's, which are never. `limit` takes the first so many of each part. `workers` are processes that load.

    Example:
        >>> DataConfig("folder", Path("pets"), resolution=64).held_out
        0.1

    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    kind: str = "mnist"
    path: Path | None = None
    resolution: int = PADDED
    digits: tuple[int, ...] = (8, 9)
    csv: Path | None = None
    held_out: float = 0.1
    seed: int = 0
    flip: bool | None = None
    workers: int = 2
    limit: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "digits", tuple(self.digits))
        if self.kind not in OPENERS:
            raise BadInput(f"data.kind: {self.kind!r} is not one of {', '.join(OPENERS)}")
        if self.resolution < SMALLEST:
            raise BadInput(f"data.resolution: {self.resolution} is less than {SMALLEST} pixels")
        if len(self.digits) < 2 or len({*self.digits}) != len(self.digits) or not {*self.digits} <= {*range(10)}:
            raise BadInput(f"data.digits: {list(self.digits)} are not two or more different digits; for example [8, 9]")
        if not 0 < self.held_out < 1:
            raise BadInput(f"data.held_out: {self.held_out:g} is not between 0 and 1; 0.1 keeps a tenth from training")
        if self.kind == "mnist" and self.flip:
            raise BadInput("data.flip: a mirrored digit is not a digit; leave it out")
        if self.limit is not None and self.limit < 1:
            raise BadInput(f"data.limit: {self.limit} leaves no image; give a number from 1, or leave it out")
        if self.workers < 0:
            raise BadInput(f"data.workers: {self.workers} is not a number of processes; 0 loads in the training's own process")


def open_data(config: DataConfig, part: str, progress: Progress | None = None) -> Images:
    """The images of a part, "train" or "held_out". `progress` is called with (what, done, total) while pictures are resized the first time.

    Raises BadInput, naming file and remedy, where there are none.

    Example (six grey pictures in two folders):
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for i in range(6):
        ...     place = folder / ("cat", "dog")[i % 2]
        ...     place.mkdir(exist_ok=True)
        ...     Image.new("RGB", (8, 8), (40 * i,) * 3).save(place / f"{i}.png")
        >>> data = open_data(DataConfig("folder", folder, resolution=4, held_out=0.5), "train")
        >>> len(data), data.labels, data.stacked(2).shape
        (3, ('cat', 'dog'), torch.Size([2, 3, 4, 4]))

    """
    if part not in PARTS:
        raise ValueError(f"a part is {' or '.join(PARTS)}, not {part!r}")
    data = OPENERS[config.kind](config, part, progress)
    data = data.first(config.limit) if config.limit is not None else data
    if not len(data):
        raise BadInput(f"{config.path or config.kind}: no image is left for the part {part}; change data.held_out, or give more images")
    return data


def _open_mnist(config: DataConfig, part: str, progress: Progress | None) -> Images:
    return open_digits(config.digits, part, config.resolution, config.path)


def _open_folder(config: DataConfig, part: str, progress: Progress | None) -> Images:
    return _part(config, folder_pictures(_named(config.path, "path", config)), part, progress)


def _open_csv(config: DataConfig, part: str, progress: Progress | None) -> Images:
    found = labelled_pictures(_named(config.path, "path", config), _named(config.csv, "csv", config))
    return _part(config, found, part, progress)


def _named(path: Path | None, name: str, config: DataConfig) -> Path:
    if path is None:
        raise BadInput(f"data.{name}: is not given; data.kind {config.kind} needs it")
    return path


def _part(config: DataConfig, found: Pictures, part: str, progress: Progress | None) -> Images:
    """A part of pictures, mirrored where the configuration does not forbid it."""
    rows = split(found.names, config.held_out, config.seed)[PARTS.index(part)]
    store = picture_store(found, config.resolution, progress)
    return Images(store, found.targets, found.labels, flippable=config.flip is not False, rows=rows)


OPENERS: dict[str, Callable[[DataConfig, str, Progress | None], Images]] = {
    "mnist": _open_mnist,
    "folder": _open_folder,
    "csv": _open_csv,
}
