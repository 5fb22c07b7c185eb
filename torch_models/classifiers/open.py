"""The classifier that is explained: a converted one, one of torchvision's, or any PyTorch module, given as raw logits.

    folder                   the classifier of a folder that `stylexport convert` wrote
    torchvision:densenet121  an architecture of torchvision, with a file of weights
    package:build            a function that returns a torch.nn.Module, with a file of weights or with its own

Where no classifier is named it is the model's own. A classifier with one logit z is explained as the two logits (-z/2, z/2), whose
softmax is sigmoid(z) for the second label.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.common.errors import BadInput
from stylexport.common.json_files import from_json
from stylexport.torch_models.classifiers.builders import TORCHVISION, build, torchvision_builder
from stylexport.torch_models.classifiers.preprocessing import Preprocessing
from stylexport.torch_models.classifiers.weight_files import as_torchvision, load_into, read_weights
from stylexport.torch_models.layers.precision import full_dtype
from stylexport.torch_models.pretrained import PretrainedNetwork
from stylexport.torch_models.stylex import StylEx

OWN = "own"
# What torchvision's ImageNet weights were trained on (its documentation, "Models and pre-trained weights").
IMAGENET = Preprocessing((224, 224), (0.0, 1.0), "RGB", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Classifier(nn.Module):
    """A module behind its preprocessing: images of the generative model to raw logits [N, labels], in float32 at least.

    `spec` is how it was named, `weights` the file that it was filled from, `labels` the names of its logits where it has any.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocessing: Preprocessing,
        image_range: tuple[float, float],
        spec: str = OWN,
        weights: str | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.module, self.preprocessing, self.image_range = module.eval(), preprocessing, image_range
        self.spec, self.weights, self.labels = spec, weights, tuple(labels)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, R, R] in the model's range to raw logits [N, 2 or more]. Raises BadInput where the module gives anything else."""
        found = self.module(self.preprocessing(images, self.image_range))
        found = getattr(found, "logits", found)  # transformers' outputs
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images) or not found.shape[1]:
            what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise BadInput(f"the classifier {self.spec} gives {what} for {len(images)} images; raw logits [N, labels] are needed")
        logits = found.to(full_dtype(found))
        return torch.cat([-logits / 2, logits / 2], 1) if logits.shape[1] == 1 else logits

    def to_json(self) -> dict[str, Any]:
        """The record of it: how it was named, its weights' sha256, its preprocessing."""
        return {"spec": self.spec, "weights": self.weights, "sha256": digest(self.module), "preprocessing": self.preprocessing.to_json()}


def open_classifier(
    spec: str | None,
    *,
    own: nn.Module | None = None,
    weights: Path | None = None,
    preprocessing: Preprocessing | None = None,
    changes: Mapping[str, Any] | None = None,
    image_range: tuple[float, float] = (-1.0, 1.0),
    device: str | torch.device = "cpu",
) -> Classifier:
    """The classifier that `spec` names (the module's docstring), or `own`, the model's, where it is None.

    `preprocessing` replaces the kind's: for torchvision `IMAGENET`, for a converted classifier its resolution, else none. `changes`
    replaces fields of it. Raises BadInput.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> classifier = open_classifier(None, own=network, changes={"size": (2, 2), "range": (0.0, 1.0)})
        >>> classifier(torch.zeros(5, 3, 8, 8)).shape
        torch.Size([5, 3])

    """
    labels: Sequence[str] = ()
    if spec is None or spec == OWN:
        if own is None:
            raise BadInput("this model has no classifier; convert it too, or name one by --classifier")
        _refuse(weights, "the model's own classifier")
        module, spec = own, OWN
    elif spec.startswith(TORCHVISION):
        module = _torchvision(spec, weights)
    elif (folder := Path(spec)).is_dir():
        _refuse(weights, "a converted folder")
        module, labels = _from_folder(folder)
    elif ":" in spec:
        module = build(spec, "--classifier")
        if weights is not None:
            load_into(module, read_weights(weights), weights)
    else:
        raise BadInput(f"--classifier {spec}: is not a folder here, and not torchvision:NAME or PACKAGE:BUILD")
    chosen = dataclasses.replace(usual_preprocessing(spec, module) if preprocessing is None else preprocessing, **(changes or {}))
    module = module.to(device).requires_grad_(False)
    return Classifier(module, chosen, image_range, spec, None if weights is None else str(weights), labels)


def wrap_module(
    module: nn.Module, spec: str, changes: Mapping[str, Any], image_range: tuple[float, float], labels: Sequence[str] = ()
) -> Classifier:
    """A module of the caller's behind its preprocessing, in evaluation mode. `spec` is what a run calls it; `changes` as above.

    Example:
        >>> found = wrap_module(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), "mine", {"size": (2, 2)}, (-1.0, 1.0))
        >>> found(torch.zeros(5, 3, 8, 8)).shape
        torch.Size([5, 3])

    """
    if isinstance(module, Classifier) and not changes:
        return module
    return Classifier(module, dataclasses.replace(_converted(module), **changes), image_range, spec, None, labels)


def usual_preprocessing(spec: str, module: nn.Module) -> Preprocessing:
    """What images go through before a classifier where nobody says otherwise: torchvision's, a converted one's resolution, or nothing."""
    if spec.startswith(TORCHVISION):
        return IMAGENET
    return _converted(module) if spec == OWN or isinstance(module, PretrainedNetwork) else Preprocessing()


def digest(module: nn.Module) -> str:
    """The sha256 of a module's parameters and buffers: their names, dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def looks_like_probabilities(logits: Tensor) -> bool:
    """Whether every row [N, labels] is between 0 and 1 and sums to 1, which raw logits do not."""
    return bool((logits >= 0).all() and ((logits.sum(1) - 1).abs() < 1e-4).all())


def _refuse(weights: Path | None, what: str) -> None:
    if weights is not None:
        raise BadInput(f"--weights {weights}: {what} brings its own weights; leave --weights out")


def _converted(module: nn.Module) -> Preprocessing:
    """A converted classifier's: its own resolution, the rest as the model makes it."""
    resolution = getattr(getattr(module, "config", None), "resolution", None)
    return Preprocessing((resolution, resolution) if resolution else None)


def _from_folder(folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    stylex = StylEx.from_pretrained(folder)
    if stylex.classifier is None:
        raise BadInput(f"{folder}: has no classifier; convert it too, or name another")
    return stylex.classifier, stylex.labels


def _torchvision(spec: str, weights: Path | None) -> nn.Module:
    builder = torchvision_builder(spec)
    if weights is None:
        raise BadInput(f"--classifier {spec}: name its weights by --weights FILE; random weights have nothing to explain")
    return as_torchvision(builder, read_weights(weights), weights)


def recorded(about: Mapping[str, Any]) -> dict[str, Any]:
    """`open_classifier`'s arguments for the classifier that a run recorded. Raises ValueError where it does not say them."""
    found = from_json(_Recorded, {field.name: about.get(field.name) for field in dataclasses.fields(_Recorded)})
    return {"spec": found.spec, "weights": None if found.weights is None else Path(found.weights), "preprocessing": found.preprocessing}


@dataclasses.dataclass(frozen=True)
class _Recorded:
    spec: str
    weights: str | None
    preprocessing: Preprocessing
