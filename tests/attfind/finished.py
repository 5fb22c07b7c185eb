"""A finished run of the embedded release whose effects are made up: what is shown and counted is made anew by the networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stylexport.attfind.effects.create_run import create_run
from stylexport.attfind.effects.load_run import model_facts, open_model
from stylexport.attfind.select.attributes import Attribute, Selection, write_attributes
from stylexport.checkpoints import EMBEDDED
from stylexport.converter.formats.pickled.dlatents import read_dlatents
from stylexport.torch_models.classifiers.open import open_classifier

WHERE = (("b8.conv0", 11), ("b32.conv1", 3), ("b4.conv1", 9))  # layer and channel of the attributes, in the order of their scores


def finished(folder: Path, converted: Path, images: int = 4) -> Path:
    """The run, its attributes selected: the coordinates at `WHERE` to their maximum, minimum and maximum, towards label 0.

    Label 0's own list has the first two of them, label 1's all three reversed.
    """
    model = open_model(converted)
    classify = open_classifier("own", own=model.stylex.classifier, image_range=model.image_range)
    latents = read_dlatents(EMBEDDED / "dlatents.pkl").values[:images]
    about = {**model_facts(model, converted), "classifier": classify.to_json()}
    run = create_run(folder, model, classify, latents, labels=("8", "9"), about=about)
    made_up = np.random.default_rng(3).normal(size=(images, 2, run.arrays["styles"].shape[1], 2)).astype(np.float32)
    for image in range(images):
        run.add(image, made_up[image])
    run.finish()
    first = {layer.name: layer.first for layer in model.layers}
    rows = zip((1, 0, 1), WHERE, (4.0, 2.5, 0.5), strict=True)
    chosen = tuple(Attribute(d, first[layer] + channel, layer, channel, score, 0) for d, (layer, channel), score in rows)
    write_attributes(folder, Selection(chosen, {0: chosen[:2], 1: tuple(a.reversed() for a in chosen)}))
    return folder
