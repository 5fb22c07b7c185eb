"""The settings of a classifier's training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from pydantic import ConfigDict, TypeAdapter

from stylexport.training.data.open import DataConfig
from stylexport.training.settings import STRICT, read_settings

MOBILENET = "mobilenet"


@dataclass(frozen=True)
class ClassifierTraining:
    """A classifier's training: AdamW ("adam"), or SGD with momentum 0.9, with a learning rate that falls as a cosine to 0.

    `architecture` is mobilenet (MobileNetV1 of a `width`), torchvision:NAME, or PACKAGE:BUILD. `size` is what images are resized to for
    it, by default what its kind takes: 224 for torchvision's, else as they come. `momentum` is that of MobileNetV1's BatchNorm. `shift`
    moves each batch by up to so many pixels. `batch` counts over all processes.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    data: DataConfig = field(default_factory=DataConfig)
    architecture: str = MOBILENET
    width: Annotated[float, Gt(0), Le(4)] = 1.0
    dropout: Annotated[float, Ge(0), Le(1)] = 0.001
    momentum: Annotated[float, Gt(0), Le(1)] = 0.05
    size: Annotated[int, Ge(1)] | None = None
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 0.0
    batch: Annotated[int, Ge(1)] = 64
    epochs: Annotated[int, Ge(1)] = 10
    shift: Annotated[int, Ge(0)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: Annotated[int, Ge(0)] = 0

    def to_json(self) -> dict[str, Any]:
        """The settings as a run records them."""
        found: dict[str, Any] = _PARSER.dump_python(self, mode="json")
        return found


_PARSER = TypeAdapter(ClassifierTraining)


def read_training(path: Path | None, overrides: Sequence[str] = ()) -> ClassifierTraining:
    """The settings in a YAML file, with `name=value` on top. Raises BadInput, naming the setting."""
    return read_settings(_PARSER, path or {}, overrides)
