"""Training: a StylEx for one's own classifier, from the start or from converted weights (Lang et al. 2021, section 3).

    from stylexport import train
    train("settings.yaml", "run", ["run.steps=1000"], release="converted")

`config` has the settings, `setup` brings data, classifier and networks together, `step` is one step, `loop` is the whole, `checkpoint` what
a killed run is resumed from. Names are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylexport.common.lazy_names import lazy_names

if TYPE_CHECKING:
    from stylexport.training.classifier.train_classifier import train_classifier
    from stylexport.training.config import TrainConfig, load
    from stylexport.training.data.open import DataConfig, open_data
    from stylexport.training.logging.divergence import Stopped
    from stylexport.training.loop import Trained, train
    from stylexport.training.metrics import measure, open_meters, sufficiency

# public name -> the module that holds it
_HOME = {
    "train": "loop",
    "Trained": "loop",
    "Stopped": "logging.divergence",
    "TrainConfig": "config",
    "load": "config",
    "DataConfig": "data.open",
    "open_data": "data.open",
    "train_classifier": "classifier.train_classifier",
    "measure": "metrics",
    "open_meters": "metrics",
    "sufficiency": "metrics",
}
__all__ = [
    "DataConfig",
    "Stopped",
    "TrainConfig",
    "Trained",
    "load",
    "measure",
    "open_data",
    "open_meters",
    "sufficiency",
    "train",
    "train_classifier",
]

__getattr__ = lazy_names(__name__, _HOME)
