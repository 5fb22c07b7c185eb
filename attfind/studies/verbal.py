"""The second study: do people describe an attribute in the same words? Its animations, and a field for one to four words.

Lang et al. 2021, section 5.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.select.attributes import Attribute
from stylexport.attfind.studies.animations import Gallery, best_images, changes
from stylexport.attfind.studies.form import Question, Study, write

KIND = "verbal"


def verbal(
    subject: Subject, attributes: Iterable[Attribute], out: Path, *, first: int | None = None, examples: int = 4, seed: int = 0
) -> Study:
    """Writes the second study into `out`: a question for each attribute, shuffled by `seed`, with the images where its effect is largest.

    Raises BadInput where attributes or images are too few.
    """
    shown = list(changes(attributes, first))
    random.Random(seed).shuffle(shown)
    gallery, asked = Gallery(subject), []
    for change in shown:
        images = best_images(subject.effects, change, examples, examples)
        places = {"asked": [gallery.animation(i, change) for i in images]}
        asked.append(Question(places, {"attribute": change.facts, "images": list(images)}))
    return write(out, KIND, asked, gallery.pictures, {"seed": seed, "labels": list(subject.effects.labels)})
