"""A conversion accounts for every variable, writes the same bytes each time, and writes nothing when anything is wrong."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from stylexport.common.errors import BadInput, IncompleteCoverage, MappingError
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.mapping.layout_names import by_description
from stylexport.converter.mapping.recognise import recognise, table
from stylexport.converter.mapping.rules import pattern
from stylexport.converter.output.convert import convert
from stylexport.converter.output.ledger import read_ledger
from stylexport.converter.output.safetensors_file import read
from stylexport.torch_models.config import EncoderConfig, GeneratorConfig
from tests.converter.bundles import write_bundle

NETWORKS = ("classifier", "discriminator", "encoder", "generator")


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def small_encoder(dtype: str = "float32") -> dict[str, np.ndarray]:
    """Random variables of a 16 px encoder under their released names, biases with the axes that TensorFlow keeps."""
    rng = np.random.default_rng(3)
    variables = {}
    for rule in table(EncoderConfig(16, (6, 5, 4), hidden=7, latent=8)):
        tf = {4: lambda s: (s[2], s[3], s[1], s[0]), 2: lambda s: (s[1], s[0]), 1: lambda s: (1, *s)}[len(rule.shape)](rule.shape)
        values = rng.normal(size=tf)
        variables[rule.tf.replace("*", "")] = values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    return variables


def test_every_variable_stands_in_the_ledger_once(demo: Path, converted: Path) -> None:
    for network, file in zip(NETWORKS, ("mobilenet", "discriminator", "encoder", "generator"), strict=True):
        ledger = read_ledger(converted / network / "conversion.json")
        artefact = open_artefact(demo / f"{file}.savedmodel.zip")
        keys = [row.key for row in ledger.tensors] + [row.key for row in ledger.left_out]
        assert sorted(keys) == sorted(v.key for v in artefact.variables)
        tensors = read(converted / network / "model.safetensors")
        assert [row.tensor for row in ledger.tensors] == list(tensors)


def test_the_ledger_alone_leads_from_variable_to_tensor(demo: Path, converted: Path) -> None:
    ledger, tensors = read_ledger(converted / "generator" / "conversion.json"), read(converted / "generator" / "model.safetensors")
    artefact = open_artefact(demo / "generator.savedmodel.zip")
    by_key = {v.key: v for v in artefact.variables}
    for row in ledger.tensors:
        layout = by_description(row.layout, len(row.shape))
        np.testing.assert_array_equal(layout.forward(artefact.read(by_key[row.key])), tensors[row.tensor])
        assert by_key[row.key].checksum == row.checksum


def test_converting_twice_gives_the_same_bytes(demo: Path, converted: Path, tmp_path: Path) -> None:
    convert(demo, tmp_path / "again")
    assert files(tmp_path / "again") == files(converted)


def test_a_folder_and_a_zip_of_it_give_the_same_tensors(demo: Path, converted: Path, tmp_path: Path) -> None:
    for network in ("generator", "encoder"):
        with zipfile.ZipFile(demo / f"{network}.savedmodel.zip") as archive:
            archive.extractall(tmp_path / "in")
    convert([tmp_path / "in" / "generator.savedmodel", tmp_path / "in" / "encoder.savedmodel"], tmp_path / "out")
    for network in ("generator", "encoder"):
        for file in ("model.safetensors", "config.json"):
            assert (tmp_path / "out" / network / file).read_bytes() == (converted / network / file).read_bytes()


def test_a_network_is_recognised_by_what_it_holds(demo: Path, converted: Path, tmp_path: Path) -> None:
    shutil.copy(demo / "encoder.savedmodel.zip", tmp_path / "generator.bin")
    assert list(convert(tmp_path / "generator.bin", tmp_path / "out").ledgers) == ["encoder"]


def test_constants_are_read_from_the_graph(converted: Path) -> None:
    facts = {fact["field"]: fact for fact in read_ledger(converted / "generator" / "conversion.json").config}
    for field in ("leaky_slope", "gain", "demodulation_epsilon", "normalize_epsilon", "fir", "mapping_lr_multiplier"):
        assert facts[field]["from"].startswith("graph: "), field
    facts = {fact["field"]: fact for fact in read_ledger(converted / "discriminator" / "conversion.json").config}
    for field in ("residual_scale", "mbstd_group", "mbstd_epsilon"):
        assert facts[field]["from"].startswith("graph: "), field


def test_a_second_conversion_adds_to_the_folder(demo: Path, tmp_path: Path) -> None:
    convert(demo / "generator.savedmodel.zip", tmp_path / "out", labels=["8", "9"])
    convert(demo / "encoder.savedmodel.zip", tmp_path / "out")
    index = json.loads((tmp_path / "out" / "stylex.json").read_text())
    assert index["networks"] == {"encoder": "encoder", "generator": "generator"}
    assert index["labels"] == ["8", "9"]
    assert set(index["sources"]) == {"encoder", "generator"}


def test_a_folder_that_is_no_conversion_is_not_written_to(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        convert(demo, tmp_path)
    assert files(tmp_path) == {"thesis.tex": b"mine"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_keep_their_values(tmp_path: Path, dtype: str) -> None:
    variables = small_encoder(dtype)
    convert(write_bundle(tmp_path / "model", variables), tmp_path / "out")
    tensors = read(tmp_path / "out" / "encoder" / "model.safetensors")
    name = "encoder/EncoderBlock16x16/Conv0/weight"
    assert tensors["b16.conv0.weight"].dtype == variables[name].dtype
    np.testing.assert_array_equal(tensors["b16.conv0.weight"], variables[name].transpose(3, 2, 0, 1))


def test_a_cast_is_said_in_the_ledger(tmp_path: Path) -> None:
    convert(write_bundle(tmp_path / "model", small_encoder("float64")), tmp_path / "out", dtype="float32")
    ledger = read_ledger(tmp_path / "out" / "encoder" / "conversion.json")
    assert {(row.tf_dtype, row.dtype) for row in ledger.tensors} == {("float64", "float32")}
    assert ledger.dtype == "float32"


def test_a_cast_that_overflows_is_refused(tmp_path: Path) -> None:
    variables = small_encoder()
    variables["encoder/Conv4x4/weight"] = variables["encoder/Conv4x4/weight"] * np.float32(1e6)
    with pytest.raises(MappingError, match=r"Conv4x4/weight.*overflow float16"):
        convert(write_bundle(tmp_path / "model", variables), tmp_path / "out", dtype="float16")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_value_is_refused_and_named(tmp_path: Path, value: float) -> None:
    variables = small_encoder()
    variables["encoder/EncoderBlock8x8/Skip/weight"][0, 0, 2, 1] = value
    with pytest.raises(MappingError, match=r"EncoderBlock8x8/Skip/weight holds 1 non-finite values .* at \[0, 0, 2, 1\]"):
        convert(write_bundle(tmp_path / "model", variables), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    variables = small_encoder()
    del variables["encoder/EncoderBlock8x8/Conv0Bias/BiasAct0"]
    with pytest.raises(MappingError, match="lacks encoder/EncoderBlock8x8/Conv0Bias/BiasAct0"):
        convert(write_bundle(tmp_path / "model", variables), tmp_path / "out")


def test_a_variable_that_no_rule_answers_for_is_incomplete_coverage(tmp_path: Path) -> None:
    variables = {**small_encoder(), "encoder/Surprise": np.float32([1, 2])}
    with pytest.raises(IncompleteCoverage, match=r"encoder/Surprise \[2\]"):
        convert(write_bundle(tmp_path / "model", variables), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_optimiser_slot_is_left_out_by_name(tmp_path: Path) -> None:
    variables = {**small_encoder(), "global_step": np.int64(5)}
    variables["encoder/Conv4x4/weight/Adam"] = variables["encoder/Conv4x4/weight"]
    convert(write_bundle(tmp_path / "model", variables), tmp_path / "out")
    left = {row.variable: row.reason for row in read_ledger(tmp_path / "out" / "encoder" / "conversion.json").left_out}
    assert left == {
        "encoder/Conv4x4/weight/Adam": "optimiser slot or counter (Adam)",
        "global_step": "optimiser slot or counter (global_step)",
    }


def test_a_shape_that_would_only_broadcast_is_refused(tmp_path: Path) -> None:
    variables = small_encoder()
    variables["encoder/EncoderConvBiasAct4x4/ConvBiasAct4x4"] = np.float32([0.5])
    with pytest.raises(MappingError, match=r"ConvBiasAct4x4 has shape \[1\].*b4.conv.bias needs \[6\]"):
        convert(write_bundle(tmp_path / "model", variables), tmp_path / "out")


def test_two_variables_of_one_name_are_never_chosen_between(tmp_path: Path) -> None:
    variables = small_encoder()
    variables["ema/encoder/Conv4x4/weight"] = variables["encoder/Conv4x4/weight"] + 1
    with pytest.raises(MappingError, match="2 variables answer to encoder/Conv4x4/weight and differ"):
        convert(write_bundle(tmp_path / "model", variables), tmp_path / "out")


def test_the_wrong_network_is_refused(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"encoder\.savedmodel\.zip"):
        convert([], tmp_path / "out", networks={"generator": demo / "encoder.savedmodel.zip"})


def test_two_of_the_same_network_are_refused(demo: Path, tmp_path: Path) -> None:
    shutil.copy(demo / "encoder.savedmodel.zip", tmp_path / "other.zip")
    with pytest.raises(BadInput, match="two encoders"):
        convert([demo, tmp_path / "other.zip"], tmp_path / "out")


def test_a_network_that_is_named_outright_is_the_one(demo: Path, converted: Path, tmp_path: Path) -> None:
    shutil.copy(demo / "encoder.savedmodel.zip", tmp_path / "other.zip")
    done = convert([demo, tmp_path / "other.zip"], tmp_path / "out", networks={"encoder": tmp_path / "other.zip"})
    assert set(done.ledgers) == set(NETWORKS)
    assert done.ledgers["encoder"].source["file"] == "other.zip"
    assert [passed for passed in done.passed_over if "--network names another encoder" in passed]


def test_a_file_that_is_not_what_its_name_says_is_no_bystander(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo, tmp_path / "in")
    (tmp_path / "in" / "README.md").write_text("a note")
    convert(tmp_path / "in", tmp_path / "out")
    for content in (b"", b"<html>404</html>", b"\0" + (demo / "generator.savedmodel.zip").read_bytes()[1:]):
        (tmp_path / "in" / "generator.savedmodel.zip").write_bytes(content)
        with pytest.raises(BadInput, match=r"generator\.savedmodel\.zip: .*whatever its name says; fetch it again"):
            convert(tmp_path / "in", tmp_path / "again")
        assert not (tmp_path / "again").exists()


def test_a_savedmodel_without_its_graph_is_no_bystander(demo: Path, tmp_path: Path) -> None:
    for network in ("generator", "encoder"):
        with zipfile.ZipFile(demo / f"{network}.savedmodel.zip") as archive:
            archive.extractall(tmp_path / "in")
    (tmp_path / "in" / "encoder.savedmodel" / "saved_model.pb").unlink()
    with pytest.raises(BadInput, match=r"encoder\.savedmodel: holds variables/ but no saved_model\.pb"):
        convert(tmp_path / "in", tmp_path / "out")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is a pipe, socket or device"):
        convert(tmp_path / "pipe", tmp_path / "out")


@pytest.mark.parametrize("text", ['{"networks": [1, 2]}', '{"networks": 3}', '{"sources": []}', '{"labels": "ab"}', '{"labels": 2}'])
def test_a_damaged_index_is_not_added_to(text: str, demo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stylex.json").write_text(text)
    with pytest.raises(BadInput, match=r"stylex\.json: `\w+` is a"):
        convert(demo / "encoder.savedmodel.zip", tmp_path / "out")
    assert files(tmp_path / "out") == {"stylex.json": text.encode()}


def test_label_names_of_another_count_are_not_kept(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stylex.json").write_text('{"labels": ["a", "b", "c"]}')
    convert(demo / "mobilenet.savedmodel.zip", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "stylex.json").read_text())["labels"] == ["0", "1"]


def test_a_folder_that_is_there_is_written_from_inside(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a file system of its own, to which nothing can be moved from beside it."""
    (tmp_path / "out").mkdir()
    replace = os.replace

    def within(source: Path, target: Path) -> None:
        assert (tmp_path / "out") in Path(source).parents
        replace(source, target)

    monkeypatch.setattr(os, "replace", within)
    for _ in range(2):
        convert(demo / "encoder.savedmodel.zip", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["encoder", "stylex.json"]


def test_a_rule_accepts_keras_counters_and_outer_scopes_only() -> None:
    rule = pattern("discriminator*/style_gan2_dense*/weight")
    for name in (
        "discriminator/style_gan2_dense/weight",
        "discriminator_1/style_gan2_dense_4/weight",
        "a/b/discriminator_2/style_gan2_dense/weight",
    ):
        assert rule.fullmatch(name)
    for name in (
        "discriminator_x/style_gan2_dense/weight",
        "discriminator/style_gan2_dense/bias",
        "my_discriminator/style_gan2_dense/weight",
    ):
        assert not rule.fullmatch(name)


def test_every_resolution_and_schedule_has_its_table() -> None:
    for resolution in (16, 64, 1024):
        channels = tuple(range(3, 3 + resolution.bit_length() - 2))
        rules = table(GeneratorConfig(resolution, channels, latent=6, labels=5, z=4))
        names = [rule.tf for rule in rules]
        assert len(names) == len(set(names))
        assert len({rule.torch for rule in rules}) == len(rules)
        assert names[-1].startswith("generator_synthesis*/ToRGB")


def test_the_embedded_release_is_recognised_whole(demo: Path) -> None:
    for file, network in (
        ("generator", "generator"),
        ("encoder", "encoder"),
        ("discriminator", "discriminator"),
        ("mobilenet", "classifier"),
    ):
        found, _ = recognise(open_artefact(demo / f"{file}.savedmodel.zip"))
        assert [n.network for n in found] == [network]
        assert not found[0].remarks


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one after the other"])
def test_networks_that_cannot_work_together_are_refused(demo: Path, tmp_path: Path, together: bool) -> None:
    encoder = write_bundle(tmp_path / "encoder", small_encoder())
    if not together:
        convert(demo / "generator.savedmodel.zip", tmp_path / "out")
    paths = [encoder, *([demo / "generator.savedmodel.zip"] if together else [])]
    with pytest.raises(MappingError, match="the generator has resolution 32, the encoder 16"):
        convert(paths, tmp_path / "out")
    assert (tmp_path / "out" / "generator").exists() is not together
    assert not (tmp_path / "out" / "encoder").exists()


def test_an_empty_label_name_is_refused(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="empty"):
        convert(demo / "generator.savedmodel.zip", tmp_path / "out", labels=["eight", ""])
