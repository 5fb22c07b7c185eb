"""A recording holds what the original graphs gave: every layer in both precisions, on inputs that can be given again."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stylexport.common.errors import BadInput
from stylexport.converter.calls import generator_calls
from stylexport.converter.formats.pickled.dlatents import read_dlatents
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.formats.savedmodel.functions import Function, functions
from stylexport.converter.output.recording import Recording
from stylexport.converter.output.safetensors_file import read
from stylexport.reference_tf.networks import forward
from stylexport.reference_tf.record import record, record_network
from stylexport.reference_tf.record.__main__ import main
from stylexport.reference_tf.record.record_network import distance, stored_rows
from stylexport.reference_tf.release.random_release import configs, export_release
from stylexport.torch_models.kinds import config_from_json

pytestmark = pytest.mark.tensorflow

FIELDS = {"generator": "image", "encoder": "w", "discriminator": "score", "classifier": "logits"}


@pytest.fixture(scope="module")
def recording(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The embedded release, recorded with the defaults."""
    path = tmp_path_factory.mktemp("recording") / "demo.recording"
    return record(demo, path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of 8 px, as folders."""
    folder = tmp_path_factory.mktemp("tiny")
    export_release(folder, configs(8, base=40, most=6, latent=5, width=0.05), 3, zipped=False)
    return folder


def inputs_of(recording: Recording, network: str) -> dict[str, np.ndarray]:
    return {name: recording.tensor(tensor) for name, tensor in recording.networks[network].inputs.items()}


def tap(recording: Recording, network: str, layer: str) -> np.ndarray:
    """The first tap of a layer in float64."""
    return recording.exact(next(t for t in recording.networks[network].taps if t.layer == layer).tensor)


def test_all_four_networks_are_recorded_with_their_outputs(recording: Recording) -> None:
    assert list(recording.networks) == ["generator", "encoder", "discriminator", "classifier"]
    for network, output in FIELDS.items():
        assert list(recording.networks[network].outputs) == [output]
        assert recording.tensor(recording.networks[network].outputs[output]).dtype == np.float32


@pytest.mark.parametrize("network", FIELDS)
def test_every_tensor_of_the_port_belongs_to_a_layer_with_a_tap(recording: Recording, network: str) -> None:
    found = recording.networks[network]
    layers = {t.layer for t in found.taps if t.declared}
    used = {name.rpartition(".")[0] or name for name, weight in found.weights.items() if weight.used}
    assert used <= layers
    assert not [t for t in found.taps if t.floor > 1e-5]


def test_only_the_mean_of_w_is_used_by_no_call(recording: Recording) -> None:
    unused = [(n, name) for n, network in recording.networks.items() for name, weight in network.weights.items() if not weight.used]
    assert unused == [("generator", "w_avg")]


@pytest.mark.parametrize("network", ["encoder", "discriminator", "classifier"])
def test_float64_is_the_reference_networks(recording: Recording, demo: Path, network: str) -> None:
    expected = reference(recording, demo, network, inputs_of(recording, network))[FIELDS[network]]
    found = tap(recording, network, "output")
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)


def test_the_generators_parts_are_joined_as_the_authors_join_them(recording: Recording, demo: Path) -> None:
    given = inputs_of(recording, "generator")
    labels = given["dlatent"].shape[1] - tap(recording, "generator", "mapping.fc3").shape[1]
    expected = reference(recording, demo, "generator", {"z": given["z"], "probabilities": given["dlatent"][:, -labels:]})
    for name, found in (("w", tap(recording, "generator", "mapping.fc3")), ("image", tap(recording, "generator", "output"))):
        assert np.linalg.norm(found - expected[name]) < 1e-5 * np.linalg.norm(expected[name]), name


def reference(recording: Recording, demo: Path, network: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    source = recording.networks[network]
    artefact = open_artefact(demo / source.source["file"])
    values = {v.name: artefact.read(v) for v in artefact.variables if v.slot is None}
    return forward.outputs(config_from_json(dict(source.config or {})), values, inputs, "float64")


def test_the_dlatent_begins_with_the_mappings_w_in_float32(recording: Recording) -> None:
    w = tap(recording, "generator", "mapping.fc3")
    dlatent = inputs_of(recording, "generator")["dlatent"]
    np.testing.assert_allclose(dlatent[:, : w.shape[1]], w, rtol=0, atol=1e-5 * np.abs(w).max())
    np.testing.assert_allclose(dlatent[:, w.shape[1] :].sum(axis=1), 1, atol=2e-7)


def test_outputs_are_the_originals_own_float32(recording: Recording) -> None:
    for network, output in FIELDS.items():
        single, found = recording.tensor(recording.networks[network].outputs[output]), recording.networks[network].taps[-1]
        assert found.stage == "output"
        exact = recording.exact(found.tensor)
        assert distance(single.astype(np.float64), exact) == pytest.approx((found.floor, found.max32), rel=1e-2)
        assert found.floor > 0


def test_images_are_kept_with_channels_first_and_the_graphs_layout_is_told(recording: Recording) -> None:
    assert {n: dict(network.layouts) for n, network in recording.networks.items()} == {
        "generator": {"z": "", "dlatent": ""},
        "encoder": {"image": "NCHW"},
        "discriminator": {"image": "NCHW", "probabilities": ""},
        "classifier": {"image": "NHWC"},
    }
    images = [recording.tensor(recording.networks[n].inputs["image"]) for n in ("encoder", "discriminator", "classifier")]
    assert images[0].shape == (8, 3, 32, 32)
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    made = recording.tensor(recording.networks["generator"].outputs["image"])
    np.testing.assert_array_equal(images[0][:4], made[:4].clip(-1, 1))


@pytest.mark.parametrize("network", FIELDS)
def test_weights_are_those_of_the_conversion_to_the_bit(recording: Recording, converted: Path, network: str) -> None:
    tensors = read(converted / network / "model.safetensors")
    found = recording.networks[network].weights
    assert set(found) == set(tensors)
    for name, weight in found.items():
        np.testing.assert_array_equal(recording.tensor(weight.tensor), tensors[name], err_msg=name)


def test_the_learned_constant_is_kept_as_the_variable(recording: Recording) -> None:
    const = recording.tensor(recording.networks["generator"].weights["synthesis.b4.const"].tensor)
    np.testing.assert_array_equal(tap(recording, "generator", "synthesis.b4").reshape(const.shape), const)


def test_the_file_says_what_it_was_made_of_and_neither_when_nor_where(recording: Recording, demo: Path) -> None:
    assert recording.about["settings"] == {"inputs": "seed", "seed": 0, "samples": 8, "store": 2**21, "mapping": None}
    assert set(recording.about["versions"]) == {"tensorflow", "numpy", "python"}
    assert re.fullmatch("[0-9a-f]{64}", recording.about["release"]["encoder.savedmodel.zip"]["encoder.savedmodel.zip"])
    header = recording.path.read_bytes()[:200_000]
    assert str(demo).encode() not in header


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tiny: Path, tmp_path: Path) -> None:
    files = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        record([tiny], tmp_path / name, seed=seed, samples=4)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_a_whole_call_is_cut_at_the_dlatent_where_the_members_are_missing(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record([tiny], tmp_path / "members", samples=3, networks=["generator"])
    monkeypatch.setattr(generator_calls, "callables", lambda artefact: (f for f in functions(artefact) if f.path == "" and not f.training))
    record([tiny], tmp_path / "whole", samples=3, networks=["generator"])
    members, whole = Recording(tmp_path / "members"), Recording(tmp_path / "whole")
    assert "cut in two at the dlatent" in whole.networks["generator"].remarks[0]
    layers = [{t.layer for t in r.networks["generator"].taps} for r in (members, whole)]
    assert layers[0] == layers[1]
    np.testing.assert_array_equal(tap(whole, "generator", "output"), tap(members, "generator", "output"))
    np.testing.assert_array_equal(inputs_of(whole, "generator")["dlatent"], inputs_of(members, "generator")["dlatent"])


def test_a_mapping_that_nothing_calls_has_weights_that_are_not_used(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: Callable[[Function], bool] = lambda f: f.path in ("style_vector_calculator", "g_synthesis")  # noqa: E731
    monkeypatch.setattr(generator_calls, "callables", lambda artefact: filter(shown, functions(artefact)))
    monkeypatch.setattr(generator_calls, "inference", lambda artefact, path: None)
    record([tiny], tmp_path / "out", samples=2, networks=["generator"])
    network = Recording(tmp_path / "out").networks["generator"]
    assert list(network.inputs) == ["dlatent"]
    assert "its mapping was not run" in network.remarks[0]
    assert {name.split(".")[0] for name, weight in network.weights.items() if not weight.used} == {"mapping", "w_avg"}


def test_given_tensors_go_in_as_they_are(tiny: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(1).uniform(-1, 1, (3, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "given.npz", image=image)
    recording = record([tiny], tmp_path / "out", inputs=tmp_path / "given.npz", networks=["classifier", "encoder"])
    assert list(recording.networks) == ["encoder", "classifier"]
    for network in recording.networks:
        np.testing.assert_array_equal(inputs_of(recording, network)["image"], image)
    assert list(recording.about["inputs"]) == ["given.npz"]


def test_latents_are_the_releases_own(tiny: Path, tmp_path: Path) -> None:
    recording = record([tiny], tmp_path / "out", latents=tiny / "dlatents.pkl", networks=["generator", "discriminator"])
    latents = read_dlatents(tiny / "dlatents.pkl").values
    np.testing.assert_array_equal(inputs_of(recording, "generator")["dlatent"], latents[:8])
    np.testing.assert_array_equal(inputs_of(recording, "discriminator")["probabilities"], latents[:8, 5:])


def test_a_tensor_is_kept_whole_or_if_large_by_its_first_sample() -> None:
    assert stored_rows((4, 512, 32, 32)) == 4
    assert stored_rows((4, 512, 32, 33)) == 1
    assert stored_rows((8, 2**18)) == 8
    assert stored_rows((9, 2**18)) == 1
    assert stored_rows(()) == 1
    assert [stored_rows((8, 40, 4, 4), store) for store in (5119, 5120)] == [1, 8]


def test_a_small_recording_keeps_whole_what_mixes_samples(tiny: Path, tmp_path: Path) -> None:
    record([tiny], tmp_path / "out", samples=8, networks=["discriminator"], store=100)
    rows = {t.layer: t.rows for t in Recording(tmp_path / "out").networks["discriminator"].taps}
    assert rows == {
        "b8.fromrgb": 1,
        "b8.conv0": 1,
        "b8.conv1": 1,
        "b8.skip": 1,
        "b8": 8,
        "b4.mbstd": 8,
        "b4.conv": 1,
        "b4.fc": 8,
        "b4.out": 8,
        "output": 8,
    }


def test_the_floor_is_a_relative_error_and_of_zeros_tells_whether_both_are() -> None:
    assert distance(np.array([3.0, 4.1]), np.array([3.0, 4.0])) == pytest.approx((0.02, 0.1))
    assert distance(np.zeros(2), np.zeros(2)) == (0.0, 0.0)
    assert distance(np.array([0.0, 0.5]), np.zeros(2)) == (1.0, 0.5)


def test_a_users_network_is_recorded_by_its_table(tmp_path: Path) -> None:
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(4)
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 12, 3)),
            layers.Conv2D(5, 3, padding="same", activation="relu", name="first"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, name="last"),
        ]
    )
    tf.saved_model.save(model, str(tmp_path / "model"))
    (tmp_path / "table.yaml").write_text(
        "network: shapes\n"
        "tensors:\n"
        "  - {tf: '{n}/bias', torch: '{n}.bias', for: {n: [first, last]}}\n"
        "  - {tf: first/kernel, torch: first.weight, layout: conv}\n"
        "  - {tf: last/kernel, torch: last.weight, layout: dense}\n"
    )
    record([tmp_path / "model"], tmp_path / "out", mapping=tmp_path / "table.yaml")
    recording = Recording(tmp_path / "out")
    network = recording.networks["shapes"]
    assert network.config is None
    assert [(t.layer, t.stage, t.declared) for t in network.taps] == [
        ("first", "parameters", True),
        ("first", "activation", False),
        ("last", "parameters", True),
        ("output", "output", True),
    ]
    ((name, tensor),) = network.inputs.items()
    image = recording.tensor(tensor)
    assert (image.shape, network.layouts[name]) == ((8, 3, 8, 12), "NHWC")
    expected = model(image.transpose(0, 2, 3, 1)).numpy()
    np.testing.assert_allclose(tap(recording, "shapes", "output"), expected, atol=1e-6)
    record([tmp_path / "model"], tmp_path / "unmapped")
    unmapped = Recording(tmp_path / "unmapped").networks["model"]
    assert [(t.layer, t.tf, t.stage) for t in unmapped.taps][:3] == [
        ("", "first", "parameters"),
        ("", "first", "activation"),
        ("", "last", "parameters"),
    ]
    assert not unmapped.weights


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 6}, "6 samples: the discriminator's minibatch standard deviation takes them in groups of 4"),
        ({"networks": ["painter"]}, "no painter here; --network names one of generator, encoder, discriminator, classifier"),
        ({"samples": 0}, "--samples 0: at least one is needed"),
        ({"store": 0}, "--store 0: at least one element is kept"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(options: dict[str, object], words: str, demo: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=re.escape(words)):
        record([demo], tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_an_artefact_without_a_graph_is_refused(demo: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(demo / "encoder.savedmodel.zip") as archive:
        archive.extractall(tmp_path)
    variables = tmp_path / "encoder.savedmodel" / "variables"
    moved = variables.rename(tmp_path / "checkpoint_alone")
    with pytest.raises(BadInput, match=r"checkpoint_alone.* \(checkpoint\): holds no graph"):
        record([moved], tmp_path / "out")


def test_two_releases_at_once_are_refused(tiny: Path, demo: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two discriminators"):
        record([tiny, demo], tmp_path / "out")


def test_an_interrupted_recording_leaves_nothing(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record_network, "_weights", interrupt)
    with pytest.raises(KeyboardInterrupt):
        record([tiny], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_command_for_programs_tells_its_progress_and_its_end(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tiny), "-o", str(tmp_path / "out"), "--network", "encoder", "--samples", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    steps = [(line["done"], line["total"]) for line in lines[:-1]]
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1] > 50
    assert lines[-1]["networks"]["encoder"]["outputs"] == ["w"]
    assert main(["nowhere", "-o", str(tmp_path / "other")]) == 2
    assert json.loads(capsys.readouterr().out)["error"].startswith("nowhere: no such file")
