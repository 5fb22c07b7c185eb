"""Configurations that differ are told, whether or not a layer's values show it."""

from __future__ import annotations

from stylexport.parity.compare.config_fields import other_settings

LAYERS: tuple[dict[str, object], ...] = (
    {"out": 4, "epsilon": 0.001, "padding": "same"},
    {"out": 8, "epsilon": 0.001, "padding": (0, 1, 0, 1)},
)
RECORDED: dict[str, object] = {
    "network": "classifier",
    "image_scale": 0.5,
    "momentum": 0.01,
    "layers": LAYERS,
}


def with_layer(number: int, **fields: object) -> dict[str, object]:
    layers = [dict(layer) for layer in LAYERS]
    layers[number].update(fields)
    return {**RECORDED, "layers": layers}


def test_the_same_configuration_has_nothing_to_tell() -> None:
    assert other_settings(RECORDED, RECORDED) == []


def test_a_constant_that_float32_rounded_is_the_same() -> None:
    assert other_settings(with_layer(0, epsilon=0.0010000000474974513), RECORDED) == []


def test_tuples_and_lists_of_the_same_numbers_are_the_same() -> None:
    assert other_settings(with_layer(1, padding=[0, 1, 0, 1]), RECORDED) == []


def test_a_field_of_one_layer_is_named_by_its_place() -> None:
    assert other_settings(with_layer(1, epsilon=1e-5), RECORDED) == [
        "config.json says layers[1].epsilon 1e-05, the recorded release has 0.001"
    ]


def test_a_padding_of_another_kind_is_told() -> None:
    assert other_settings(with_layer(0, padding=(1, 1, 1, 1)), RECORDED) == [
        "config.json says layers[0].padding (1, 1, 1, 1), the recorded release has same"
    ]


def test_what_training_alone_uses_does_not_count() -> None:
    assert other_settings({**RECORDED, "momentum": 0.1}, RECORDED) == []


def test_a_network_without_a_configuration_has_nothing_to_tell() -> None:
    assert other_settings(None, RECORDED) == other_settings(RECORDED, None) == []
