"""What is wrong in a file is reported as the file's fault; a mistake of this program is not."""

from __future__ import annotations

from typing import Any

import pytest

from stylexport.checkpoints import EMBEDDED
from stylexport.converter.formats.base import Variable
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.mapping.classifier import from_keras
from stylexport.converter.mapping.classifier.layer_chain import Conv, NotAChain
from stylexport.converter.mapping.recognise import recognise
from stylexport.converter.mapping.stylegan import graph_constants

KERNEL = Variable("stem/kernel", "stem/kernel", (3, 3, 3, 8), "float32", 864)
STEM = {"name": "stem", "strides": [2, 2], "padding": "same", "use_bias": False}


def chain(*configs: Any) -> dict[str, Any]:
    """Keras's configuration of a Sequential model of convolutions."""
    return {"class_name": "Sequential", "config": {"layers": [{"class_name": "Conv2D", "config": config} for config in configs]}}


def mistake(error: type[Exception]) -> Any:
    def raising(*arguments: Any, **options: Any) -> Any:
        raise error("a mistake of ours")

    return raising


@pytest.mark.parametrize("error", [AttributeError, TypeError, AssertionError, RuntimeError])
def test_a_mistake_in_the_reading_of_a_graph_is_not_told_as_a_damaged_file(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    monkeypatch.setattr(graph_constants, "flattens_hwc", mistake(error))
    with pytest.raises(error, match="a mistake of ours"):
        recognise(open_artefact(EMBEDDED / "encoder.savedmodel.zip"))


@pytest.mark.parametrize("error", [AttributeError, TypeError, KeyError, ValueError])
def test_a_mistake_in_the_reading_of_kerass_configuration_is_not_told_as_another_network(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(from_keras, "Conv", mistake(error))
    with pytest.raises(error, match="a mistake of ours"):
        from_keras.read_steps(chain(STEM), [KERNEL])


def test_a_chain_is_read_from_kerass_configuration() -> None:
    assert from_keras.read_steps(chain(STEM), [KERNEL]) == ([Conv("stem/kernel", stride=(2, 2))], None)


@pytest.mark.parametrize(
    "model",
    [
        chain({**STEM, "strides": "two"}),
        chain({**STEM, "strides": [2]}),
        chain({**STEM, "dilation_rate": {}}),
        chain({**STEM, "padding": 3}),
        chain({**STEM, "name": ["stem"]}),
        chain({name: value for name, value in STEM.items() if name != "padding"}),
        chain(None),
        {"class_name": "Sequential", "config": {"layers": {"first": STEM}}},
        {"class_name": "Sequential", "config": {"layers": ["Conv2D"]}},
        {"class_name": "Functional", "config": {"layers": [{"class_name": "Conv2D", "config": STEM}]}},
        {"class_name": "Sequential"},
        {},
    ],
)
def test_a_configuration_that_keras_never_writes_is_no_chain(model: dict[str, Any]) -> None:
    with pytest.raises(NotAChain):
        from_keras.read_steps(model, [KERNEL])
