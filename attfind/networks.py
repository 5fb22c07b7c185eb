"""The model and the classifier that AttFind is given: as objects, as folders, or by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from stylexport.attfind.effects.load_run import FROM_PYTHON, model_facts, open_model
from stylexport.attfind.model import Classify, Explained
from stylexport.attfind.stylex_model import StylExModel
from stylexport.attfind.trained_against import labels_of_training, naming, trained_against
from stylexport.common.errors import BadInput
from stylexport.torch_models.classifiers.open import OWN, Classifier, open_classifier, wrap_module
from stylexport.torch_models.stylex import StylEx

PathLike = str | os.PathLike[str]


def opened(model: StylEx | Explained | PathLike | None, device: str) -> Explained | None:
    """The model as AttFind takes it. Raises BadInput where a folder holds none."""
    if isinstance(model, StylEx):
        return StylExModel(model)
    if isinstance(model, (str, os.PathLike)):
        return open_model(Path(model), device)
    if model is not None and not isinstance(model, Explained):
        raise BadInput(f"a model is a StylEx, the folder of a converted one, or an Autoencoder, not {type(model).__name__} {model!r:.50}")
    return model


def classifier_for(
    classifier: nn.Module | Classify | PathLike | None, model: Explained, weights: PathLike | None, preprocessing: Mapping[str, Any]
) -> Classify:
    """The classifier behind its preprocessing. Raises BadInput."""
    own = model.stylex.classifier if isinstance(model, StylExModel) else None
    if isinstance(classifier, os.PathLike):
        classifier = os.fspath(classifier)
    if classifier is None and own is None and (known := trained_against(model)):
        raise BadInput(f"this StylEx was trained against a classifier that it does not hold; name it by {naming(known)}")
    if classifier is None or isinstance(classifier, str) or classifier is own:
        spec = classifier if isinstance(classifier, str) else OWN
        file = None if weights is None else Path(weights)
        options: dict[str, Any] = {"own": own, "weights": file, "changes": preprocessing, "image_range": model.image_range}
        return open_classifier(spec, **options, device=model.device)
    if weights is not None:
        raise BadInput("weights are for a classifier that is given by its name; load them into the module")
    if isinstance(classifier, nn.Module):
        return wrap_module(classifier, f"{FROM_PYTHON}{type(classifier).__qualname__}", preprocessing, model.image_range)
    if not callable(classifier):
        raise BadInput(f"a classifier is a module, a function of images, or a name, not {type(classifier).__name__} {classifier!r:.50}")
    if preprocessing:
        raise BadInput("preprocessing is for a module or a classifier given by its name; a function does its own")
    return classifier


def with_classifier(model: Explained, classify: Classify) -> Explained:
    """A StylEx without a classifier takes the one that is explained: the latents that it encodes hold its probabilities."""
    if not isinstance(model, StylExModel) or model.stylex.classifier is not None or not isinstance(classify, nn.Module):
        return model
    old = model.stylex
    facts: dict[str, Any] = {"labels": old.labels, "image_range": old.image_range, "metadata": old.metadata}
    return StylExModel(StylEx(old.generator, old.encoder, old.discriminator, classify, **facts).eval())


def own_labels(model: Explained, classify: Classify) -> tuple[str, ...]:
    """The names that model or classifier have for the logits."""
    if not isinstance(classify, Classifier):
        return ()
    if classify.spec == OWN and isinstance(model, StylExModel):
        return model.stylex.labels
    return classify.labels or labels_of_training(model, classify)


def network_facts(model: Explained, folder: Path | None, classify: Classify) -> dict[str, Any]:
    """What run.json says of model and classifier."""
    known = model_facts(model, folder) if isinstance(model, StylExModel) else {}
    if isinstance(classify, Classifier):
        return {**known, "classifier": classify.to_json()}
    return {**known, "classifier": {"spec": f"{FROM_PYTHON}{getattr(classify, '__qualname__', type(classify).__qualname__)}"}}
