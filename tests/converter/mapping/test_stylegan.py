"""A StyleGAN2 release whose constants, sizes and names are not the paper's converts to the same function."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import torch

from stylexport.common.types import Array
from stylexport.converter.output.convert import Conversion, convert
from stylexport.reference_tf.networks import build, forward
from stylexport.reference_tf.networks.variables import assign, draw
from stylexport.reference_tf.release.random_release import export_release
from stylexport.torch_models import StylEx
from stylexport.torch_models.config import DiscriminatorConfig, EncoderConfig, GeneratorConfig, NetworkConfig

pytestmark = pytest.mark.tensorflow

Configs = dict[str, NetworkConfig]
# Float32 rounding as a share of the norm, through up to 13 layers.
ROUNDING = 1e-5

# Nothing at its default; the filter is not symmetric, so that turning it round is seen.
CHANGED: Configs = {
    "generator": GeneratorConfig(
        16,
        (7, 5, 3),
        latent=4,
        labels=3,
        z=6,
        image_channels=2,
        mapping_layers=3,
        mapping_lr_multiplier=0.03,
        normalize_epsilon=0.02,
        demodulation_epsilon=0.05,
        leaky_slope=0.3,
        gain=1.25,
        fir=(1.0, 2.0, 4.0, 1.0),
    ),
    "encoder": EncoderConfig(
        16, (7, 5, 3), hidden=9, latent=4, image_channels=2, leaky_slope=0.1, gain=1.5, residual_scale=0.6, fir=(2.0, 1.0, 1.0, 3.0)
    ),
    "discriminator": DiscriminatorConfig(
        16,
        (7, 5, 3),
        hidden=9,
        labels=3,
        image_channels=2,
        leaky_slope=0.4,
        gain=1.125,
        residual_scale=0.8,
        fir=(1.0, 1.0, 5.0, 2.0),
        mbstd_group=3,
        mbstd_epsilon=0.25,
    ),
}


def inputs(configs: Configs, count: int = 12) -> dict[str, Array]:
    generator = configs["generator"]
    assert isinstance(generator, GeneratorConfig)
    rng = np.random.default_rng(11)
    shapes = {
        "z": (count, generator.z),
        "image": (count, generator.image_channels, generator.resolution, generator.resolution),
        "probabilities": (count, generator.labels),
    }
    drawn = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return {**drawn, "probabilities": forward.softmax(drawn["probabilities"])}


def variables(configs: Configs) -> dict[str, dict[str, Array]]:
    return {name: draw(config, build.build(config), 21) for name, config in configs.items()}


def torch_outputs(folder: Path, given: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    stylex = StylEx.from_pretrained(folder)
    assert stylex.generator is not None
    assert stylex.encoder is not None
    assert stylex.discriminator is not None
    z, image, probabilities = (torch.tensor(given[name]) for name in ("z", "image", "probabilities"))
    with torch.no_grad():
        w = stylex.generator.mapping(z)
        return {
            "generator": {"w": w.numpy(), "image": stylex.generator(torch.cat([w, probabilities], 1)).numpy()},
            "encoder": {"w": stylex.encoder(image).numpy()},
            "discriminator": {"score": stylex.discriminator(image, probabilities).numpy()},
        }


def check_outputs(configs: Configs, values: Mapping[str, Mapping[str, Array]], folder: Path) -> None:
    given = inputs(configs)
    ours = torch_outputs(folder, given)
    for name, config in configs.items():
        theirs = forward.outputs(config, values[name], given)
        for output, found in ours[name].items():
            error = np.linalg.norm(found - theirs[output]) / np.linalg.norm(theirs[output])
            assert error < ROUNDING, f"{name}: {output}"


def sources(conversion: Conversion, network: str) -> dict[str, str]:
    return {str(fact["field"]): str(fact["from"]) for fact in conversion.ledgers[network].config}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Conversion, dict[str, dict[str, Array]]]:
    """The changed networks as NCHW SavedModels, converted."""
    folder = tmp_path_factory.mktemp("changed")
    values = variables(CHANGED)
    export_release(folder / "release", CHANGED, 0, zipped=False, variables=values)
    return convert(folder / "release", folder / "out"), values


CONSTANTS = {
    "generator": ("leaky_slope", "gain", "fir", "normalize_epsilon", "demodulation_epsilon", "mapping_lr_multiplier"),
    "encoder": ("leaky_slope", "gain", "fir", "residual_scale"),
    "discriminator": ("leaky_slope", "gain", "fir", "residual_scale", "mbstd_group", "mbstd_epsilon"),
}


@pytest.mark.parametrize("network", CONSTANTS)
def test_every_changed_constant_is_read_from_the_graph(network: str, changed: tuple[Conversion, Any]) -> None:
    conversion, _ = changed
    found = {str(fact["field"]): fact["value"] for fact in conversion.ledgers[network].config}
    expected = asdict(CHANGED[network])
    for field in CONSTANTS[network]:
        assert found[field] == pytest.approx(expected[field], rel=1e-6), field
        assert sources(conversion, network)[field].startswith("graph: "), field
    for field in expected.keys() - set(CONSTANTS[network]):
        assert found[field] == expected[field], field
        assert sources(conversion, network)[field] == "shapes", field
    assert not [remark for remark in conversion.ledgers[network].remarks if "tensor bundle" not in remark]


def test_a_release_with_other_constants_computes_the_same(changed: tuple[Conversion, dict[str, dict[str, Array]]]) -> None:
    conversion, values = changed
    check_outputs(CHANGED, values, conversion.folder)


SIZES: dict[str, Configs] = {
    "64 px, channels that rise and fall": {
        "generator": GeneratorConfig(64, (3, 8, 2, 5, 4), latent=9, labels=1, z=2, mapping_layers=1),
        "encoder": EncoderConfig(64, (3, 8, 2, 5, 4), hidden=2, latent=9),
        "discriminator": DiscriminatorConfig(64, (3, 8, 2, 5, 4), hidden=11, labels=1),
    },
    "16 px, seven labels": {
        "generator": GeneratorConfig(16, (4, 1, 6), latent=1, labels=7, z=3, mapping_layers=2),
        "encoder": EncoderConfig(16, (4, 1, 6), hidden=5, latent=1),
        "discriminator": DiscriminatorConfig(16, (4, 1, 6), hidden=5, labels=7),
    },
}


class Renamed(tf.Module):
    """Networks whose variables bear scopes and counters of another process."""

    def __init__(self, values: Mapping[str, Array], rename: Mapping[str, str]) -> None:
        super().__init__()
        self.weights = []
        for name, value in values.items():
            for old, new in rename.items():
                name = name.replace(old, new)
            self.weights.append(tf.Variable(value, name=name))


@pytest.mark.parametrize("size", SIZES)
def test_any_sizes(size: str, tmp_path: Path) -> None:
    configs = SIZES[size]
    values = variables(configs)
    for name, value in values.items():
        module = Renamed(value, {})
        tf.train.Checkpoint(network=module).write(str(tmp_path / name))
    conversion = convert([tmp_path / name for name in configs], tmp_path / "out")
    for name, config in configs.items():
        assert type(config).from_json({str(f["field"]): f["value"] for f in conversion.ledgers[name].config}) == config
    check_outputs(configs, values, tmp_path / "out")


COUNTERS = {
    "generator_synthesis/": "replica/generator_synthesis_2/",
    "generator_style_calculator/": "generator_style_calculator_1/",
    "generator/generator_mapping/": "ema/generator_3/generator_mapping_1/",
    "encoder/": "stylex/encoder_5/",
    "style_gan2_dense/": "style_gan2_dense_11/",
    "discriminator_1/": "discriminator/",
    "style_gan2_dense_4/": "style_gan2_dense/",
    "ModulatedConv2D/": "ModulatedConv2D_7/",
}


def test_scopes_and_counters_of_another_process(tmp_path: Path) -> None:
    values = variables(CHANGED)
    for name, value in values.items():
        module = Renamed(value, COUNTERS)
        tf.saved_model.save(module, str(tmp_path / name))
    conversion = convert([tmp_path / name for name in values], tmp_path / "out")
    assert any(row.variable.startswith("replica/generator_synthesis_2/") for row in conversion.ledgers["generator"].tensors)
    for name, ledger in conversion.ledgers.items():
        assert len(ledger.tensors) == len(values[name])
        # No graph: what shapes do not tell keeps the paper's value, and the ledger says so.
        assert sources(conversion, name)["leaky_slope"] == "default: StyleGAN2 (Karras et al. 2020)"


def test_a_training_checkpoint_of_three_networks_and_their_optimisers(tmp_path: Path) -> None:
    values = variables(CHANGED)
    built, optimizers = {}, {}
    for name, config in CHANGED.items():
        built[name] = build.build(config)
        assign(built[name], values[name])
        optimizers[f"{name}_optimizer"] = tf_keras.optimizers.Adam()
        trainable = built[name].trainable_variables
        optimizers[f"{name}_optimizer"].apply_gradients([(tf.ones_like(v), v) for v in trainable])
        assign(built[name], values[name])
    tf.train.Checkpoint(step=tf.Variable(1200, dtype=tf.int64), **built, **optimizers).save(str(tmp_path / "training" / "ckpt"))
    conversion = convert(tmp_path / "training", tmp_path / "out")
    assert sorted(conversion.ledgers) == ["discriminator", "encoder", "generator"]
    slots = sum(2 * len(built[name].trainable_variables) for name in built)
    reasons = [row.reason for row in conversion.ledgers["generator"].left_out]
    assert len(reasons) == slots + 3 * 2 + 2  # each Adam's iterations and learning rate; save_counter and step
    assert all("optimiser slot or counter" in reason for reason in reasons)
    for name, ledger in conversion.ledgers.items():
        assert sorted(row.variable for row in ledger.tensors) == sorted(values[name])


@pytest.mark.parametrize("network", CHANGED)
def test_a_pickled_list_of_variables(network: str, tmp_path: Path) -> None:
    values = variables({network: CHANGED[network]})[network]
    (tmp_path / "variables.pkl").write_bytes(pickle.dumps([tf.Variable(value, name=name) for name, value in values.items()]))
    ledger = convert(tmp_path / "variables.pkl", tmp_path / "out").ledgers[network]
    assert sorted(row.variable for row in ledger.tensors) == sorted(values)
