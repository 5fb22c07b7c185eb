"""Files of NVIDIA's StyleGAN2 programs are known networks: the average is converted, nothing is run, what is not known is named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylexport.common.errors import DamagedFile, HostileFile, MappingError
from stylexport.converter.formats.pickled.pickles import open_pickle
from stylexport.converter.formats.pickled.torch_storage import strided
from stylexport.converter.formats.pickled.unpickler import StandIn
from stylexport.converter.output.convert import convert
from stylexport.converter.output.safetensors_file import read
from stylexport.loading import load
from stylexport.torch_models import Generator, StyleGAN2Generator
from stylexport.torch_models.config import GeneratorConfig
from tests.conftest import run
from tests.converter.bundles import write_bundle
from tests.converter.formats.damage import read_all, refusals
from tests.nvidia_pickles import tensorflow_pickle, tf_discriminator, tf_generator, torch_discriminator, torch_generator, torch_pickle

CLASSES = {"classes": 3, "depth": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pickles of both programs with the same networks, converted: tf, torch."""
    folder, g, d = tmp_path_factory.mktemp("nvidia"), tf_generator(), tf_discriminator()
    tensorflow_pickle(folder / "tf.pkl", g, d, resolution=32, num_channels=3, label_size=0)
    torch_pickle(folder / "torch.pkl", torch_generator(g), torch_discriminator(d))
    for name in ("tf", "torch"):
        convert(folder / f"{name}.pkl", folder / name)
    return folder


def sizes(folder: Path, role: str) -> dict[str, Any]:
    return json.loads((folder / role / "config.json").read_text())


@pytest.mark.parametrize(("name", "average"), [("tf", "Gs"), ("torch", "G_ema")])
def test_the_average_and_the_discriminator_are_converted_and_no_labels_are_invented(folder: Path, name: str, average: str) -> None:
    assert json.loads((folder / name / "stylex.json").read_text())["labels"] == []
    assert sizes(folder / name, "generator")["architecture"] == "stylegan2_generator"
    assert sizes(folder / name, "discriminator")["architecture"] == "stylegan2_discriminator"
    ledger = json.loads((folder / name / "generator" / "conversion.json").read_text())
    assert {row["variable"].split("/")[0] for row in ledger["tensors"]} == {average}
    reasons = {row["variable"].split("/")[0]: row["reason"] for row in ledger["left_out"] if "filter" not in row["reason"]}
    assert f"{average} is taken" in reasons["G"]
    opened = load(folder / name)
    assert isinstance(opened.generator, StyleGAN2Generator)
    assert opened.labels == ()
    assert opened.generator.w_avg.norm() > 0


def test_both_programs_files_give_one_function(folder: Path) -> None:
    tf, torch_ = load(folder / "tf").double(), load(folder / "torch").double()
    z, image = torch.randn(4, 7, dtype=torch.float64), torch.randn(8, 3, 32, 32, dtype=torch.float64)
    for psi in (1.0, 0.5):
        torch.testing.assert_close(tf.generator.sample(z, truncation_psi=psi), torch_.generator.sample(z, truncation_psi=psi))
    torch.testing.assert_close(tf.discriminator(image), torch_.discriminator(image))


def test_it_is_the_generator_of_a_stylex_without_label_probabilities(folder: Path) -> None:
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in read(folder / "tf" / "generator" / "model.safetensors").items()}
    values = sizes(folder / "tf", "generator")
    known = {name: values[name] for name in ("resolution", "channels", "latent", "labels", "z", "mapping_layers")}
    plain = Generator(GeneratorConfig(**known))
    plain.load_state_dict(tensors)
    ours, z = load(folder / "tf").generator, torch.randn(2, 7)
    torch.testing.assert_close(plain(plain.mapping(z)), ours.sample(z), rtol=0, atol=0)


def test_what_modulated_weights_weigh_against_epsilon_is_kept(tmp_path: Path) -> None:
    small = {name: value * np.float32(1e-4) if name.endswith("Conv1/weight") else value for name, value in tf_generator(8, depth=2).items()}
    torch_pickle(tmp_path / "torch.pkl", torch_generator(small), None)
    convert(tmp_path / "torch.pkl", tmp_path / "out")
    layer = load(tmp_path / "out").double().generator.synthesis.b8.conv1
    x, style = torch.randn(2, 8, 8, 8, dtype=torch.float64), torch.rand(2, 8, dtype=torch.float64) + 0.5
    weight = layer.weight[None] * style[:, None, :, None, None]  # stylegan2-ada-pytorch scales these by nothing
    weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    plain = torch.cat([torch.nn.functional.conv2d(x[i : i + 1], weight[i], padding=1) for i in range(2)])
    plain = plain + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
    expected = (torch.nn.functional.leaky_relu(plain, 0.2) * 2**0.5).clamp(-256, 256)
    torch.testing.assert_close(layer(x, style), expected)


@pytest.mark.parametrize("joint", [True, False])
def test_classes_enter_the_mapping_as_each_program_lets_them(tmp_path: Path, joint: bool) -> None:
    variables = tf_generator(8, joint=joint, **CLASSES)
    file = tensorflow_pickle(tmp_path / "tf.pkl", variables, tf_discriminator(8, outputs=3), label_size=3, resolution=8)
    convert(file, tmp_path / "out")
    stylex = load(tmp_path / "out").double()
    z, c = torch.randn(5, 7, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[[0, 2, 1, 1, 0]]

    def normal(x: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    v = {name: torch.from_numpy(np.array(value)).double() for name, value in variables.items()}
    if joint:
        x = normal(torch.cat([z, c @ v["G_mapping/LabelConcat/weight"]], 1))
    else:
        x = torch.cat([normal(z), normal(c @ v["G_mapping/LabelEmbed/weight"] / 3**0.5 + v["G_mapping/LabelEmbed/bias"])], 1)
    for i in range(2):
        weight = v[f"G_mapping/Dense{i}/weight"] * 0.01 / len(v[f"G_mapping/Dense{i}/weight"]) ** 0.5
        x = torch.nn.functional.leaky_relu(x @ weight + 0.01 * v[f"G_mapping/Dense{i}/bias"], 0.2) * 2**0.5
    torch.testing.assert_close(stylex.generator.mapping(z, c), x)
    image = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    scores = torch.cat([stylex.discriminator(image, torch.eye(3).double()[[k]].expand(4, -1)) for k in range(3)], 1)
    torch.testing.assert_close(scores, stylex.discriminator.trunk(image))
    with pytest.raises(ValueError, match="3 classes"):
        stylex.generator.sample(z)


def test_clamping_no_noise_and_other_depths_are_read(tmp_path: Path) -> None:
    variables = tf_generator(16, depth=3, noise=False, most=5, lrmul=0.02)
    torch_pickle(tmp_path / "w.pkl", torch_generator(variables), torch_discriminator(tf_discriminator(16, most=5)), clamp=0.5, lrmul=0.02)
    convert(tmp_path / "w.pkl", tmp_path / "out")
    config = sizes(tmp_path / "out", "generator")
    assert (config["channels"], config["mapping_layers"], config["has_noise"], config["conv_clamp"]) == ([5, 5, 5], 3, False, 0.5)
    assert config["mapping_lr_multiplier"] == 0.02
    generator = load(tmp_path / "out").generator
    seen = generator.synthesis.b8.conv0(torch.randn(1, 5, 4, 4) * 10, torch.randn(1, 5) * 10)
    assert seen.abs().max() == 0.5
    torch.testing.assert_close(generator.sample(torch.ones(1, 7), noise="random"), generator.sample(torch.ones(1, 7)))


@pytest.mark.parametrize("program", ["tf", "torch"])
def test_a_generator_of_another_architecture_is_refused_by_its_name(tmp_path: Path, program: str) -> None:
    variables, file = tf_generator(8, depth=2), tmp_path / "w.pkl"
    if program == "torch":
        torch_pickle(file, torch_generator(variables), None, architecture="resnet")
    else:
        tensorflow_pickle(file, variables | {"G_synthesis/8x8/Skip/weight": np.ones((1, 1, 10, 8), np.float32)}, None)
    with pytest.raises(MappingError, match="architecture 'resnet'"):
        convert(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"nonlinearity": "relu"}, "nonlinearity='relu'"),
        ({"normalize_latents": False}, "normalize_latents=False"),
        ({"resample_kernel": [1, 2, 1]}, r"resample_kernel=\[1, 2, 1\]"),
    ],
)
def test_an_argument_that_changes_the_function_is_refused_by_its_name(tmp_path: Path, kwargs: dict[str, Any], named: str) -> None:
    tensorflow_pickle(tmp_path / "w.pkl", tf_generator(8, depth=2), None, **kwargs)
    with pytest.raises(MappingError, match=named):
        convert(tmp_path / "w.pkl", tmp_path / "out")


def test_orig_and_progressive_growing_are_told_by_their_variables(tmp_path: Path) -> None:
    variables = tf_generator(8, depth=2)
    orig = {name: value for name, value in variables.items() if "4x4/ToRGB" not in name}
    with pytest.raises(MappingError, match="architecture 'orig'"):
        convert(tensorflow_pickle(tmp_path / "a.pkl", orig, None), tmp_path / "out")
    grown = {name.replace("8x8/ToRGB", "ToRGB_lod0").replace("4x4/ToRGB", "ToRGB_lod1"): value for name, value in variables.items()}
    with pytest.raises(MappingError, match="progressive growing"):
        convert(tensorflow_pickle(tmp_path / "b.pkl", grown, None), tmp_path / "out")


@pytest.mark.parametrize(
    ("discriminator", "options", "named"),
    [
        (torch_discriminator(tf_discriminator(8, skip=False)), {"discriminator_architecture": "orig"}, "architecture 'orig'"),
        (
            torch_discriminator(tf_discriminator(8)) | {"mapping.embed.weight": np.ones((4, 3), np.float32)},
            {},
            "a projection on embedded classes",
        ),
    ],
)
def test_a_discriminator_that_is_not_known_is_left_out_and_named(tmp_path: Path, discriminator: Any, options: Any, named: str) -> None:
    torch_pickle(tmp_path / "w.pkl", torch_generator(tf_generator(8, depth=2)), discriminator, **options)
    done = run("convert", tmp_path / "w.pkl", "-o", tmp_path / "out")
    assert done.code == 0
    assert named in done.out
    assert "left out" in done.out
    assert not (tmp_path / "out" / "discriminator").exists()


def checkpoint(prefix: Path, averages: bool = True) -> Path:
    """A TensorFlow checkpoint of the whole program: the average's parts are counted scopes."""
    tensors = {}
    for count, name in enumerate(("G", "Gs") if averages else ("G",)):
        for variable, value in tf_generator(8, depth=2, seed=count).items():
            scope, _, rest = variable.partition("/")
            tensors[f"{scope}{'_1' * count}/{rest}" if rest else f"{name}/{variable}"] = np.asarray(value)
    tensors |= {f"D/{name}": value for name, value in tf_discriminator(8).items()}
    return write_bundle(prefix, tensors)


def test_a_checkpoint_gives_the_average_where_it_has_one(tmp_path: Path) -> None:
    for averages in (True, False):
        out = tmp_path / str(averages)
        ledgers = convert(checkpoint(tmp_path / f"{averages}.ckpt", averages), out).ledgers
        assert sorted(ledgers) == ["discriminator", "generator"]
        assert any("arguments" in remark for remark in ledgers["generator"].remarks)
        expected = tf_generator(8, depth=2, seed=int(averages))
        tensors = read(out / "generator" / "model.safetensors")
        np.testing.assert_array_equal(tensors["w_avg"], expected["dlatent_avg"])
        np.testing.assert_array_equal(tensors["synthesis.b4.const"], expected["G_synthesis/4x4/Const/const"][0])
        np.testing.assert_array_equal(tensors["mapping.fc1.bias"], expected["G_mapping/Dense1/bias"])


def test_a_pickle_of_one_generator_alone_is_read(tmp_path: Path) -> None:
    file = tensorflow_pickle(tmp_path / "w.pkl", tf_generator(8, depth=2), None, alone=True)
    assert list(convert(file, tmp_path / "out").ledgers) == ["generator"]


def test_inspect_says_what_it_is(folder: Path) -> None:
    found = run("inspect", folder / "torch.pkl").out
    assert "G_ema (Generator)" in found
    assert "conv_clamp: 256.0" in found


def test_damage_is_answered_with_a_sentence(tmp_path: Path) -> None:
    file = torch_pickle(tmp_path / "w.pkl", torch_generator(tf_generator(8, depth=1)), None)
    assert len(refusals(file, 150, 5, lambda path: read_all(open_pickle(path)))) > 30


@pytest.mark.parametrize(
    ("good", "bad", "error"),
    [
        (b"ctorch\nFloatStorage\n", b"cos\nsystem\n" + b" " * 2, (HostileFile, DamagedFile)),
        (b"ctorch\nFloatStorage\n", b"ctorch\nFloatStoragf\n", HostileFile),
    ],
)
def test_a_storage_that_names_anything_else_is_refused(tmp_path: Path, good: bytes, bad: bytes, error: Any) -> None:
    file = torch_pickle(tmp_path / "w.pkl", torch_generator(tf_generator(8, depth=1)), None)
    assert good in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(good, bad.ljust(len(good))[: len(good)]))
    with pytest.raises(error):
        open_pickle(file)


@pytest.mark.parametrize("sizes", [(2**40,), (7,), (2, 4), (3, 2**61)])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    raw = io.BytesIO()
    torch.save(
        torch.storage.TypedStorage(wrap_storage=torch.arange(6.0).untyped_storage(), dtype=torch.float32, _internal=True),
        raw,
        _use_new_zipfile_serialization=False,
    )
    storage = StandIn(raw.getvalue())
    storage.__class__ = type("_load_from_bytes", (StandIn,), {})
    np.testing.assert_array_equal(strided(tmp_path, storage, 1, (2, 2), (1, 2)), [[1, 3], [2, 4]])
    for strides in ((1,) * len(sizes), (0,) * len(sizes)):
        with pytest.raises(DamagedFile, match="storage holds 6 values"):
            strided(tmp_path, storage, 0, sizes, strides)
