"""Each known network is declared once; role and architecture are two things, and files without an architecture mean the released one."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest

from stylexport.torch_models.config import RELEASED, EncoderConfig, MobileNetV1Config, NetworkConfig, mobilenet_layers
from stylexport.torch_models.kinds import (
    KINDS,
    Lazy,
    NetworkKind,
    config_from_json,
    kind_from_json,
    kind_named_by,
    kind_of,
    kinds_called,
    register,
)


@dataclass(frozen=True)
class OtherConfig(NetworkConfig):
    """Another architecture in the role of the classifier."""

    network: ClassVar[str] = "classifier"
    architecture: ClassVar[str] = "other"

    labels: int = 2


OTHER = NetworkKind(OtherConfig, "nowhere", Lazy("nowhere:Other"), Lazy("nowhere:RECOGNITION"), "other.savedmodel")


@pytest.fixture
def other() -> Iterator[NetworkKind]:
    register(OTHER)
    yield OTHER
    del KINDS["other"]


def test_the_roles_of_a_stylex_are_filled_by_what_was_released() -> None:
    assert {role: KINDS[architecture].role for role, architecture in RELEASED.items()} == {role: role for role in RELEASED}
    assert [kind.architecture for kind in KINDS.values()][: len(RELEASED)] == list(RELEASED.values())


def test_a_released_configuration_is_written_without_its_architecture() -> None:
    config = EncoderConfig(8, (6, 4), hidden=5, latent=3)
    assert "architecture" not in config.to_json()
    assert config_from_json(config.to_json()) == config


def test_another_architecture_is_written_and_found_again(other: NetworkKind) -> None:
    values = OtherConfig(3).to_json()
    assert list(values)[:2] == ["network", "architecture"]
    assert config_from_json(values) == OtherConfig(3)
    assert kind_of(OtherConfig(3)) is other
    assert kinds_called("classifier") == [KINDS["mobilenet_v1"], other]
    assert kinds_called("other") == [other]
    assert (other.label, KINDS["mobilenet_v1"].label) == ("other", "classifier")


def test_a_file_without_an_architecture_means_the_released_one_still(other: NetworkKind) -> None:
    values = MobileNetV1Config(mobilenet_layers(0.25)).to_json()
    assert kind_from_json(values).architecture == "mobilenet_v1"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "names no network of generator, encoder, discriminator, classifier: None"),
        ({"network": "digits"}, "'digits'"),
        ({"network": "classifier", "architecture": "resnet9000"}, "of the architecture 'resnet9000'"),
        ({"network": "encoder", "architecture": "mobilenet_v1"}, "of the architecture 'mobilenet_v1'"),
        ({"network": ["classifier"]}, "names no network"),
    ],
)
def test_what_no_kind_is_has_a_clear_message(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind_from_json(values)
    assert kind_named_by(values) is None


def test_a_configuration_of_one_architecture_is_not_read_as_another() -> None:
    with pytest.raises(ValueError, match="of the architecture other, not of mobilenet_v1"):
        MobileNetV1Config.from_json({"network": "classifier", "architecture": "other", "layers": []})


def test_an_architecture_is_registered_once(other: NetworkKind) -> None:
    with pytest.raises(ValueError, match="other is registered already"):
        register(other)
    with pytest.raises(ValueError, match="needs `network`"):
        register(dataclasses.replace(other, config=NetworkConfig))


def test_the_declarations_cost_no_framework() -> None:
    check = "import stylexport.torch_models.kinds, sys; assert not {'torch', 'tensorflow', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
