"""The command that explains a StylEx: a finished training suggests it, and it must name the classifier that was trained against."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from stylexport.torch_models.classifiers.open import OWN, Classifier, usual_preprocessing
from stylexport.torch_models.pretrained import PretrainedNetwork
from stylexport.torch_models.stylex import StylEx


def explaining_command(folder: Path, stylex: StylEx, classifier: Classifier) -> str:
    """A line for a shell, with DIR or FILE and EFFECTS for a user to fill in; `folder` is where the StylEx lies.

    Example:
        >>> from torch import nn
        >>> own = Classifier(nn.Flatten(), usual_preprocessing("mine:build", nn.Flatten()), (-1, 1), "mine:build", "my weights.pt")
        >>> print(explaining_command(Path("run"), StylEx(labels=("old", "young")), own))
        stylexport attfind effects run --latents FILE --classifier mine:build --weights 'my weights.pt' --labels old,young -o EFFECTS

    """
    images = ["--latents", "FILE"] if stylex.encoder is None else ["--images", "DIR"]
    # One of this project's networks lies in the folder, and is its own.
    named = [] if isinstance(classifier.module, PretrainedNetwork) else naming_options(classifier, classifier.weights, stylex.labels)
    return shlex.join(["stylexport", "attfind", "effects", str(folder), *images, *named, "-o", "EFFECTS"])


def naming_options(classifier: Classifier, weights: str | None, labels: Sequence[str]) -> list[str]:
    """The options that name a classifier to `stylexport attfind effects`, with whatever of its preprocessing is not its kind's."""
    options = ["--classifier", classifier.spec] if classifier.spec != OWN else []
    options += ["--weights", weights] if weights is not None else []
    if list(labels) != [str(i) for i in range(len(labels))] and not any("," in label for label in labels):
        options += ["--labels", ",".join(labels)]
    own, usual = classifier.preprocessing, usual_preprocessing(classifier.spec, classifier.module)
    if own.size is not None and own.size != usual.size:
        options += ["--size", "x".join(map(str, own.size))]
    for name in ("range", "mean", "std"):
        if (values := getattr(own, name)) and values != getattr(usual, name):
            options.append(f"--{name}={','.join(f'{value!r}' for value in values)}")
    if own.channels != usual.channels:
        options += ["--channels", own.channels]
    return options
