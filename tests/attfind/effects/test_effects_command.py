"""`stylexport attfind effects`: any source, any classifier, and the same bytes however often it was killed and whoever did the work."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stylexport.attfind import Effects
from stylexport.common.json_files import read_json
from stylexport.demonstration import LABELS
from stylexport.torch_models.config import GeneratorConfig, MobileNetV1Config
from stylexport.torch_models.kinds import config_from_json
from stylexport.torch_models.layers.styles import conv_layers
from tests.conftest import ROOT, run
from tests.digits import digits_folder
from tests.torch_models.test_classifiers import Small


def arguments(converted: Path, demo: Path, out: Path, images: int) -> list[str]:
    """Every process computes with one thread and the same batch: then the same effects are the same bits."""
    source = ["--latents", str(demo / "dlatents.pkl"), "--limit", str(images)]
    return ["attfind", "effects", str(converted), *source, "-o", str(out), "--batch", "80"]


def parts(out: Path) -> int:
    return len(list((out / "parts").glob("0*.npy")))


@pytest.fixture(scope="module")
def uninterrupted(demo: Path, converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images, measured in one go in a process of its own."""
    out = tmp_path_factory.mktemp("effects") / "run"
    command = [sys.executable, "-m", "stylexport", *arguments(converted, demo, out, 5)]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
    return out


def test_a_run_killed_twice_ends_in_the_bytes_of_one_that_was_not(demo: Path, converted: Path, tmp_path: Path, uninterrupted: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "stylexport", *arguments(converted, demo, out, 5)]
    kept: dict[str, int] = {}
    for wanted in (1, 3):
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
        while parts(out) < wanted:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (out / "effects.h5").exists()
        assert all((out / "parts" / name).stat().st_mtime_ns == when for name, when in kept.items()), "finished work was done again"
        kept = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("0*.npy")}
    last = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True)
    assert f"measured 5 images ({5 - len(kept)} of them now)" in last.stdout
    assert (out / "effects.h5").read_bytes() == (uninterrupted / "effects.h5").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["effects.h5", "latents.npz", "run.json"]


def test_two_processes_of_accelerate_give_the_bytes_of_one(demo: Path, converted: Path, tmp_path: Path, uninterrupted: Path) -> None:
    out = tmp_path / "run"
    # --multi_gpu is accelerate's word for several processes on one machine; it starts them without a GPU too.
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_cpu_threads_per_process", "1"]
    command = [sys.executable, "-m", *launch, "--main_process_port", "0", "-m", "stylexport", *arguments(converted, demo, out, 5), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # the main process speaks for both
    assert (said["processes"], said["images"]) == (2, 5)
    assert (out / "effects.h5").read_bytes() == (uninterrupted / "effects.h5").read_bytes()


def test_the_run_says_what_was_measured(uninterrupted: Path, converted: Path) -> None:
    about = Effects.load(uninterrupted).about
    assert about == json.loads((uninterrupted / "run.json").read_text())
    assert about["model"]["name"] == converted.name
    assert len(about["model"]["sha256"]) == 64
    assert about["images"]["latents"] == "dlatents.pkl"
    assert (about["names"], about["shift"], about["search"], about["precision"]) == (["0", "1", "2", "3", "4"], 1.0, "exhaustive", "fp32")
    generator = config_from_json(read_json(converted / "generator" / "config.json"))
    assert isinstance(generator, GeneratorConfig)
    assert about["layers"] == [list(layer) for layer in conv_layers(generator).items()]
    assert Effects.load(uninterrupted).effects.shape == (5, 2, sum(conv_layers(generator).values()), 2)


def test_a_finished_run_is_left_as_it_is(demo: Path, converted: Path, uninterrupted: Path) -> None:
    before = (uninterrupted / "effects.h5").stat().st_mtime_ns
    again = run(*arguments(converted, demo, uninterrupted, 5), "--json")
    assert (again.code, json.loads(again.out)["measured_now"]) == (0, 0)
    assert (uninterrupted / "effects.h5").stat().st_mtime_ns == before


def test_other_settings_do_not_go_on_with_a_run(demo: Path, converted: Path, uninterrupted: Path) -> None:
    refused = run(*arguments(converted, demo, uninterrupted, 5), "--shift", "2")
    assert refused.code == 2
    assert refused.one_line_error().endswith("holds a run that differs in shift; name another folder, or delete this one")


def test_pictures_misclassified_by_a_classifier_of_the_users_are_measured_with_it(
    converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits_folder(tmp_path / "digits", 12)
    judge = Small(2)
    nn.init.zeros_(judge.head.weight)
    judge.head.weight.data[1] = 0.5  # by brightness alone, and as good as always "8"
    judge.head.bias.data = torch.tensor([3.0, 0.0])
    save_file(judge.state_dict(), tmp_path / "judge.safetensors")
    (tmp_path / "own.py").write_text("from tests.torch_models.test_classifiers import Small\n\n\ndef build():\n    return Small(2)\n")
    monkeypatch.chdir(tmp_path)
    given = ["--classifier", "own:build", "--weights", "judge.safetensors", "--labels", ",".join(LABELS), "--range", "0,1"]
    found = run(
        "attfind", "effects", converted, "--images", "digits", "-o", "run", *given, "--interesting", "misclassified", "--limit", "2"
    )
    assert found.code == 0, found.err
    effects = Effects.load("run")
    assert effects.labels == LABELS
    assert all(name.startswith("9/") for name in effects.about["names"])
    assert effects.about["classifier"]["preprocessing"]["range"] == [0.0, 1.0]
    # Its first logit never moves, and its second moves by half of the mean brightness in [0, 1].
    assert not effects.effects[..., 0].any()
    assert 0.001 < np.abs(effects.effects[..., 1]).max() < 0.5
    np.testing.assert_allclose(effects.base_logits[:, 0], 3.0)


def rounding_in_sixteen_bits(converted: Path) -> float:
    """How far an effect may be off in bfloat16, as a share of the logits' span.

    Each layer rounds what enters it, its weights and what leaves it to 8 bits: errors of at most u = 2^-8, independent, u / sqrt(3) each on
    average (uniform). n of them make a logit's error sqrt(n / 3) u, an effect is the difference of two logits, and the largest of some
    hundred normal numbers lies at 3.5 standard deviations. How a processor orders its sums changes the errors, not their size.
    """
    configs = [config_from_json(read_json(converted / name / "config.json")) for name in ("generator", "classifier")]
    assert isinstance(configs[0], GeneratorConfig)
    assert isinstance(configs[1], MobileNetV1Config)
    layers = len(conv_layers(configs[0])) + len(configs[1].layers) + 1
    return float(3.5 * np.sqrt(2 * 3 * layers / 3) * 2**-8)


def test_sixteen_bits_measure_nearly_the_same(demo: Path, converted: Path, tmp_path: Path, uninterrupted: Path) -> None:
    given = arguments(converted, demo, tmp_path / "run", 1)
    assert run(*given, "--precision", "bf16").code == 0
    found, full = Effects.load(tmp_path / "run"), Effects.load(uninterrupted)
    error = np.abs(found.effects[0] - full.effects[0]).max() / np.ptp(full.base_logits)
    bound = rounding_in_sixteen_bits(converted)
    assert 0 < error < bound < 0.2
    np.testing.assert_array_equal(found.styles[0], full.styles[0])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--latents", "nowhere.pkl"], "nowhere.pkl: No such file or directory; check the path"),
        (["--images", "."], "holds no PNG or JPEG file"),
        (["--latents", "LATENTS", "--labels", "a,b,c"], "3 label names (a, b, c) for a classifier of 2 logits"),
        (["--latents", "LATENTS", "--interesting", "flips"], "needs the pictures themselves"),
        (["--latents", "LATENTS", "--classifier", "torchvision:resnet18"], "name its weights by --weights FILE"),
        (["--latents", "LATENTS", "--device", "cuda:77"], "--device cuda:77: "),
    ],
)
def test_bad_input_is_one_line(
    demo: Path, converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(demo / "dlatents.pkl") if word == "LATENTS" else word for word in given]
    found = run("attfind", "effects", converted, *given, "-o", "run")
    assert found.code == 2
    assert says in found.one_line_error()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "name the images by --latents FILE, by --images DIR or by --random N"),
        (["--latents", "a", "--images", "b"], "name the images by --latents FILE, by --images DIR or by --random N"),
        (["--latents", "a", "--weights", "w"], "--weights is for a classifier that --classifier names"),
        (["--latents", "a", "--batch", "0"], "--batch 0: give a number from 1, or auto"),
        (["--latents", "a", "--range", "0"], "'0' is not a range: 0,1"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_loaded(given: list[str], says: str, tmp_path: Path) -> None:
    found = run("attfind", "effects", tmp_path / "model", *given, "-o", tmp_path / "run")
    assert found.code == 2
    assert says in found.err
