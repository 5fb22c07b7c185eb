"""Files of weights for a classifier of the user's: safetensors, or a state dict that torch.load reads with weights_only.

A file that would run code to be read is refused. Wrappings that training programs leave are taken off.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.text import listing

WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which programs put the state dict
PREFIXES = ("_orig_mod.", "module.")  # torch.compile's and DataParallel's
# torchvision's published DenseNets of 2017 call norm1 norm.1 (its densenet.py renames them too).
_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises BadInput where it is missing or holds more than tensors, DamagedFile where it is broken."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file; --weights names safetensors, or a state dict that torch.save wrote")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(f"{path}: holds more than tensors, and is not read; save model.state_dict() alone") from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DamagedFile(path, f"cannot be read ({error})", "save it again") from error
    for key in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise BadInput(f"{path}: is not a state dict (names and tensors); save model.state_dict()")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return dict(found)


def load_into(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Puts the weights into the module. Raises BadInput, naming tensors, where they are not exactly the module's."""
    own = module.state_dict()
    # BatchNorm's count of batches came late and plays no part in evaluation.
    missing = [name for name in own if name not in weights and not name.endswith(".num_batches_tracked")]
    extra = [name for name in weights if name not in own]
    wrong = [f"{n} {list(w.shape)} for {list(own[n].shape)}" for n, w in weights.items() if n in own and w.shape != own[n].shape]
    found = (("it lacks", missing), ("the module lacks", extra), ("of another shape:", wrong))
    if faults := [f"{what} {listing(names, 3)}" for what, names in found if names]:
        raise BadInput(f"{path}: is of another network than the classifier's: {'; '.join(faults)}")
    module.load_state_dict(weights, strict=False)


def as_torchvision(build: Callable[..., nn.Module], weights: Mapping[str, Tensor], path: Path) -> nn.Module:
    """The torchvision module with these weights and as many classes as they have; `build(num_classes=...)` makes it. Raises BadInput."""
    renamed = {_DENSENET.sub(r"\1\2", name): value for name, value in weights.items()}
    with torch.device("meta"):
        usual = build().state_dict()
    classes = {len(value) for name, value in renamed.items() if name in usual and value.shape != usual[name].shape and value.ndim}
    module = build(num_classes=classes.pop()) if len(classes) == 1 else build()
    load_into(module, renamed, path)
    return module
