"""`stylexport classifier train`: what it learns, what it leaves, and how it goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.torch_models import StylEx
from stylexport.torch_models.classifiers.open import open_classifier, recorded
from stylexport.training.classifier.classifier_config import ClassifierTraining, read_training
from stylexport.training.classifier.train_classifier import shifted, train_classifier
from stylexport.training.data.open import DataConfig, open_data
from stylexport.training.logging.divergence import Stopped
from tests.conftest import run
from tests.digits import digits_folder
from tests.training.classifier.pictures import bright_and_dark

OWN = "tests.training.classifier.networks"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_and_dark(tmp_path_factory.mktemp("pictures") / "lights")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def config(pictures: Path) -> ClassifierTraining:
    data = DataConfig("folder", pictures, resolution=16, held_out=0.3, workers=0)
    return ClassifierTraining(data, width=0.0625, dropout=0.2, learning_rate=0.02, batch=8, epochs=3, shift=1, momentum=0.2)


def weights(out: Path) -> bytes:
    return (out / "classifier" / "model.safetensors").read_bytes()


class Interrupted(BaseException):
    """What a terminal's Ctrl-C, or a kill, does to a program."""


def interrupt_at(images: int) -> Any:
    def progress(what: str, done: int, total: int) -> None:
        if what == "training" and done >= images:
            raise Interrupted

    return progress


def test_it_learns_digits_and_leaves_a_converted_folder(tmp_path: Path) -> None:
    data = DataConfig("folder", digits_folder(tmp_path / "digits", 600), held_out=0.3, flip=False, workers=0)
    config = ClassifierTraining(data, width=0.125, learning_rate=0.01, batch=16, epochs=6, momentum=0.1)
    found = train_classifier(config, tmp_path / "out")
    stylex = StylEx.from_pretrained(tmp_path / "out")
    held_out = open_data(data, "held_out")
    images, targets = zip(*(held_out[i] for i in range(len(held_out))), strict=True)
    answers = stylex.classify(torch.stack(images)).argmax(1)
    assert stylex.labels == ("8", "9")
    assert found["accuracy"] == (answers == torch.tensor(targets)).double().mean()
    assert found["accuracy"] >= 0.8
    assert found["images"] == 180
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["classifier", "metrics.json", "stylex.json"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == json.loads(json.dumps(found))


def test_an_interrupted_training_goes_on_to_the_same_bytes(config: ClassifierTraining, tmp_path: Path) -> None:
    whole = train_classifier(config, tmp_path / "whole")
    with pytest.raises(Interrupted):  # in the third epoch: 56 images, 7 steps of 8, an epoch
        train_classifier(config, tmp_path / "cut", progress=interrupt_at(2 * 56 + 16))
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["checkpoint.safetensors"]
    again = train_classifier(config, tmp_path / "cut", resume=True)
    assert again["curve"] == whole["curve"]
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_another_seed_is_another_classifier(config: ClassifierTraining, tmp_path: Path) -> None:
    config = dataclasses.replace(config, epochs=1)
    train_classifier(config, tmp_path / "one")
    train_classifier(dataclasses.replace(config, seed=1), tmp_path / "two")
    assert weights(tmp_path / "one") != weights(tmp_path / "two")


def test_a_finished_training_is_not_done_again(config: ClassifierTraining, tmp_path: Path) -> None:
    config = dataclasses.replace(config, epochs=1)
    found = train_classifier(config, tmp_path / "out")
    assert train_classifier(config, tmp_path / "out", resume=True, progress=interrupt_at(0))["accuracy"] == found["accuracy"]


def test_a_folder_that_is_there_is_left_alone_unless_told_to_go_on(config: ClassifierTraining, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train_classifier(config, tmp_path / "out", progress=interrupt_at(60))
    with pytest.raises(BadInput, match="is there already; --resume goes on"):
        train_classifier(config, tmp_path / "out")
    with pytest.raises(BadInput, match=r"begun with other settings \(data\.seed, learning_rate\)"):
        train_classifier(
            dataclasses.replace(config, learning_rate=1.0, data=dataclasses.replace(config.data, seed=9)), tmp_path / "out", resume=True
        )
    (tmp_path / "out" / "checkpoint.safetensors").write_bytes(b"cut")
    with pytest.raises(DamagedFile, match=r"checkpoint\.safetensors: is not a checkpoint"):
        train_classifier(config, tmp_path / "out", resume=True)


def test_a_classifier_of_ones_own_is_opened_again_as_its_record_says(config: ClassifierTraining, tmp_path: Path) -> None:
    config = dataclasses.replace(config, architecture=f"{OWN}:lone_logit", optimiser="sgd", learning_rate=1.0)
    found = train_classifier(config, tmp_path / "out")
    classifier = open_classifier(**recorded(found["classifier"]))
    held_out = open_data(config.data, "held_out")
    logits = classifier(torch.stack([held_out[i][0] for i in range(len(held_out))]))
    targets = np.array([held_out[i][1] for i in range(len(held_out))])
    assert found["accuracy"] == float((logits.argmax(1).numpy() == targets).mean()) >= 0.9
    assert found["use"] == f"--classifier {OWN}:lone_logit --weights {tmp_path / 'out' / 'model.safetensors'} --labels bright,dark"


def test_torchvisions_densenet_is_trained_at_a_size_of_its_own(config: ClassifierTraining, tmp_path: Path) -> None:
    data = dataclasses.replace(config.data, limit=4)
    config = dataclasses.replace(config, data=data, architecture="torchvision:densenet121", size=32, batch=4, epochs=1)
    found = train_classifier(config, tmp_path / "out")
    record = recorded(found["classifier"])
    assert record["preprocessing"].size == (32, 32)
    assert open_classifier(**record).module.classifier.out_features == 2


def test_a_loss_that_is_no_number_stops_it(config: ClassifierTraining, tmp_path: Path) -> None:
    with pytest.raises(Stopped, match=r"epoch 1: the loss became nan.*smaller learning_rate"):
        train_classifier(dataclasses.replace(config, architecture=f"{OWN}:no_number"), tmp_path / "out")


def test_a_classifier_that_always_says_the_same_is_called_so(config: ClassifierTraining, tmp_path: Path) -> None:
    found = train_classifier(dataclasses.replace(config, architecture=f"{OWN}:decided", learning_rate=1e-9), tmp_path / "out")
    assert np.array(found["confusion"]).sum(0).tolist() == [0, 24]
    assert "it says dark of every image" in found["remarks"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": f"{OWN}:five_logits"}, "gives 5 logits for 2 labels"),
        ({"architecture": f"{OWN}:six_logits"}, "has no attribute 'six_logits'"),
        ({"architecture": "torchvision:densenet12"}, "torchvision has no 'densenet12'"),
        ({"architecture": "vgg"}, "'vgg' is not mobilenet, torchvision:NAME or PACKAGE:BUILD"),
        ({"size": 8}, "a MobileNetV1 takes images of data.resolution, 16"),
    ],
)
def test_an_architecture_that_does_not_fit_is_refused(
    config: ClassifierTraining, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        train_classifier(dataclasses.replace(config, **change), tmp_path / "out")


def test_pictures_without_labels_train_no_classifier(config: ClassifierTraining, pictures: Path, tmp_path: Path) -> None:
    flat = dataclasses.replace(config, data=dataclasses.replace(config.data, path=pictures / "dark"))
    with pytest.raises(BadInput, match="dark: has no labels; a classifier needs two"):
        train_classifier(flat, tmp_path / "out")


def test_a_shift_moves_all_images_alike_and_repeats_the_border() -> None:
    images = torch.arange(2 * 3 * 5 * 5.0).reshape(2, 3, 5, 5)
    found = {shifted(images, 1, np.random.default_rng(seed))[1, 2, 2, 2].item() - images[1, 2, 2, 2].item() for seed in range(60)}
    assert found == {-6, -5, -4, -1, 0, 1, 4, 5, 6}  # one row is five


def test_settings_come_from_yaml_and_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("epochs: 4\ndata: {digits: [3, 5]}\n")
    found = read_training(tmp_path / "c.yaml", ["epochs=7", "data.limit=10"])
    assert (found.epochs, found.data.digits, found.data.limit) == (7, (3, 5), 10)
    with pytest.raises(BadInput, match=r"c\.yaml: data\.digit: .*"):
        read_training(tmp_path / "c.yaml", ["data.digit=7"])
    with pytest.raises(BadInput, match=r"settings: width: Input should be greater than 0"):
        read_training(None, ["width=0"])


def test_the_command_trains_on_a_folder_and_answers_in_json(pictures: Path, tmp_path: Path) -> None:
    options = ("width=0.0625", "learning_rate=0.02", "batch=8", "epochs=1", "data.resolution=16", "data.workers=0", "--json")
    ran = run("classifier", "train", "--data", pictures, "-o", tmp_path / "out", *options)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["settings"]["data"]["kind"] == "folder"


def test_the_commands_errors_are_one_line(tmp_path: Path) -> None:
    ran = run("classifier", "train", "--data", tmp_path / "nowhere", "-o", tmp_path / "out")
    assert ran.code == 2
    assert "nowhere: no such folder; data.path names one" in ran.one_line_error()
