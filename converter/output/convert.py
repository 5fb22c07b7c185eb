"""The main job: TensorFlow files in, a folder of PyTorch networks with their ledgers out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from stylexport.common.atomic import whole_folder
from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.converter.output.find_networks import Source, find_networks
from stylexport.converter.output.index import write_index
from stylexport.converter.output.ledger import Ledger
from stylexport.converter.output.safetensors_file import DTYPES
from stylexport.converter.output.write_network import write_network


@dataclass(frozen=True)
class Conversion:
    """What `convert` did: the folder, each network's ledger, and the artefacts without a network that were passed over.

    Example:
        >>> from stylexport.checkpoints import EMBEDDED
        >>> conversion = convert(EMBEDDED / "encoder.savedmodel.zip", "converted")
        >>> list(conversion.ledgers), str(conversion.folder)
        (['encoder'], 'converted')

    """

    folder: Path
    ledgers: Mapping[str, Ledger]
    passed_over: Sequence[str] = field(default=())


def convert(
    paths: Sequence[Source] | Source,
    out: Source,
    *,
    networks: Mapping[str, Source] | None = None,
    mapping: Source | None = None,
    dtype: str | None = None,
    labels: Sequence[str] | None = None,
    averages: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Converts every network in `paths` into the folder `out`; needs neither TensorFlow nor PyTorch.

    `paths` are releases (folders of SavedModels or of their zips), SavedModels, checkpoints, Keras files, frozen graphs. `networks` gives
    the path of a network outright, by its role or architecture; it is then not recognised. `mapping` is a table of your own
    (docs/mapping.md). `dtype` casts all tensors (float32, float16, bfloat16, float64); by default each keeps its own. `labels` are
    the label names for stylex.json. `averages` takes the moving averages that a training program kept (docs/formats.md) in place of the
    raw values. `progress(network, bytes so far, bytes in all)` is called from worker threads. What is written:
    docs/files.md. Raises StylexportError (stylexport.common.errors); then nothing is written.

    Example:
        >>> from stylexport.checkpoints import EMBEDDED
        >>> done = convert(EMBEDDED / "encoder.savedmodel.zip", "converted")
        >>> ledger = done.ledgers["encoder"]
        >>> ledger.tensors[0].variable, ledger.tensors[0].tensor, ledger.tensors[0].layout
        ('encoder/EncoderFromRGB32x32/StyleGAN2Conv2D/weight', 'b32.fromrgb.weight', 'HWIO -> OIHW')

    """
    if dtype is not None and dtype not in DTYPES:
        raise BadInput(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    sources = [paths] if isinstance(paths, str | Path) else list(paths)
    passed_over: list[str] = []
    with contextlib.ExitStack() as opened, whole_folder(Path(out)) as stage:
        found = find_networks(sources, networks or {}, mapping, opened, passed_over, averages)
        # All are recognised before any is written: the writers run outside Python's lock and would wait for it at every piece.
        with ThreadPoolExecutor(len(found)) as pool, _stopping(progress) as step:
            ledgers = dict(pool.map(lambda one: write_network(one, stage, dtype, step), found.values()))
        write_index(Path(out), stage, ledgers, labels)
    return Conversion(Path(out), ledgers, passed_over)


@contextlib.contextmanager
def _stopping(progress: Progress | None) -> Iterator[Progress]:
    """A progress that ends the writers when the block ends by an error or a signal: its end waits for them."""
    stopped = threading.Event()

    def step(network: str, done: int, total: int) -> None:
        if stopped.is_set():
            raise CancelledError
        if progress:
            progress(network, done, total)

    try:
        yield step
    except BaseException:
        stopped.set()
        raise
