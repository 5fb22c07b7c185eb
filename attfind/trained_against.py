"""Whether a StylEx is explained with the classifier that it was trained against: of another one it need not show what that looks at."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from stylexport.attfind.model import Classify, Explained
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.errors import BadInput
from stylexport.torch_models.classifiers.open import OWN, Classifier, digest
from stylexport.torch_models.pretrained import PretrainedNetwork


def trained_against(model: Explained) -> dict[str, Any]:
    """What stylex.json records of the classifier in a StylEx's training; empty where it records none."""
    trained = model.stylex.metadata.get("trained") if isinstance(model, StylExModel) else None
    known = trained.get("classifier") if isinstance(trained, dict) else None
    return known if isinstance(known, dict) and isinstance(known.get("sha256"), str) else {}


def naming(known: Mapping[str, Any]) -> str:
    """The options that name a recorded classifier to `attfind effects`."""
    weights = ["--weights", str(known["weights"])] if known.get("weights") else []
    return shlex.join(["--classifier", str(known.get("spec")), *weights])


def remark_on_classifier(model: Explained, classify: Classify, chosen: bool) -> str | None:
    """What a user should know of a classifier that is not the one of the StylEx's training, and was `chosen`; None where there is nothing.

    It is chosen where its user gives a module, other weights, or another name. Raises BadInput where it is another and nobody chose it:
    its weights were forgotten, or have changed.
    """
    known = trained_against(model)
    if not known:
        return None
    name = f"{known.get('spec')}{' with ' + str(known['weights']) if known.get('weights') else ''} (sha256 {known['sha256'][:12]}...)"
    if not isinstance(classify, Classifier):
        return f"a function is explained; the StylEx was trained against {name}"
    found = digest(classify.module)
    if found == known["sha256"]:
        own = classify.preprocessing.to_json()
        other = {key: value for key, value in own.items() if _plain(value) != _preprocessing(known, key, value)}
        return f"the classifier takes images as {other}; in the StylEx's training it took them otherwise" if other else None
    if classify.spec == OWN:
        what = f"the StylEx was trained against {name}, and the classifier in its folder has other weights (sha256 {found[:12]}...)"
        raise BadInput(f"{what}; put the right one there, or name another by --classifier")
    if not chosen and classify.spec == known.get("spec"):
        what = f"the StylEx was trained against {name}, and --classifier {classify.spec} has other weights (sha256 {found[:12]}...)"
        raise BadInput(f"{what}; {_remedy(known, classify)}")
    return f"the StylEx was trained against {name}: its images may not show what this other classifier looks at"


def _remedy(known: Mapping[str, Any], classify: Classifier) -> str:
    if isinstance(classify.module, PretrainedNetwork):
        return "leave --classifier out: the StylEx has it"
    if classify.weights is not None:  # the file of the training, which holds others by now
        return "put those of the training back, or give them by another file's name where others are meant"
    return f"give those of the training by --weights {shlex.quote(str(known.get('weights') or 'FILE'))}"


def labels_of_training(model: Explained, classify: Classify) -> tuple[str, ...]:
    """The StylEx's label names where the classifier is the one of its training; else none."""
    known = trained_against(model)
    if not known or not isinstance(model, StylExModel) or not isinstance(classify, Classifier):
        return ()
    return model.stylex.labels if digest(classify.module) == known["sha256"] else ()


def _preprocessing(known: dict[str, Any], key: str, default: Any) -> Any:
    record = known.get("preprocessing")
    return _plain(record.get(key, default) if isinstance(record, dict) else default)


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value
