"""A checkpoint gives back what it was given, and one that is damaged or of another run says so in a line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.torch_models.stylex import StylEx
from stylexport.training import ema
from stylexport.training.checkpoint import checkpoints, prune, restore, save
from stylexport.training.step import Step
from tests.conftest import Ran, run
from tests.digits import digits_folder
from tests.training.small_run import settings as run_settings
from tests.training.steps import CONFIG, images, settings, step_of, weights

FACTS = {"path_mean": 1.5, "watch": {"stuck": {"classifier": 2}, "best_l1": 0.5}, "scaler": None, "ramp": 0.05}


def averages(step: Step) -> dict[str, nn.Module]:
    return {name: ema.copy_of(step.networks[name]) for name in ("generator", "encoder")}


def saved(step: Step, folder: Path, number: int = 3, keep: int = 3) -> Path:
    own = averages(step)
    stylex = StylEx(own["generator"], own["encoder"], step.networks["discriminator"], labels=("8", "9"))
    return save(folder, number, stylex, step.networks, step.optimisers, FACTS, keep)


@pytest.fixture(scope="module")
def trained() -> Step:
    step = step_of()
    for number in range(2):
        step(number, images())
    return step


def test_the_next_step_after_it_is_the_next_step(trained: Step, tmp_path: Path) -> None:
    folder, other = saved(trained, tmp_path), step_of()
    facts = restore(folder, other.networks, averages(other), other.optimisers)
    other.path_mean.copy_(trained.path_mean)
    assert (facts["step"], facts["path_mean"]) == (3, 1.5)
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(trained).items())
    before = {name: tensor.clone() for name, tensor in weights(trained).items()}
    one, two = trained(7, images()), other(7, images())
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(trained).items())
    assert any(not torch.equal(tensor, weights(trained)[name]) for name, tensor in before.items())


def test_the_last_few_are_kept_in_their_order(trained: Step, tmp_path: Path) -> None:
    for number in (2, 9, 10, 11):
        saved(trained, tmp_path, number, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["0000010", "0000011"]


def test_a_folder_without_training_json_is_no_checkpoint(trained: Step, tmp_path: Path) -> None:
    saved(trained, tmp_path, 4)
    (saved(trained, tmp_path, 5) / "training.json").unlink()
    assert [path.name for path in checkpoints(tmp_path)] == ["0000004"]


@pytest.mark.parametrize("name", ["weights.safetensors", "optimisers.safetensors", "training.json", "encoder/model.safetensors"])
@pytest.mark.parametrize("left", [0, 40, 0.9])
def test_a_truncated_file_is_a_damaged_checkpoint_with_a_remedy(trained: Step, tmp_path: Path, name: str, left: float) -> None:
    folder = saved(trained, tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: left if left != 0.9 else int(0.9 * len(content))])
    step = step_of()
    with pytest.raises(DamagedFile, match=r"0000003.*remove that folder, so that --resume takes the checkpoint before it"):
        restore(folder, step.networks, averages(step), step.optimisers)


@pytest.mark.parametrize("text", ["[]", "{}", '{"step": 3, "path_mean": 0.5, "watch": {}}'])
def test_a_training_json_that_lacks_what_a_run_needs_is_damaged(trained: Step, tmp_path: Path, text: str) -> None:
    folder = saved(trained, tmp_path)
    (folder / "training.json").write_text(text)
    step = step_of()
    with pytest.raises(DamagedFile, match=r"training\.json"):
        restore(folder, step.networks, averages(step), step.optimisers)


@pytest.mark.parametrize("model", [{"channels": (12, 8, 6)}, {"latent": 9}, {"mapping_layers": 3}, {"hidden": 20}])
def test_other_networks_are_refused_with_a_remedy(trained: Step, tmp_path: Path, model: dict[str, object]) -> None:
    folder, step = saved(trained, tmp_path), step_of(settings(model=model))
    with pytest.raises(BadInput, match=r"0000003: holds other networks .* resume with the run's own settings"):
        restore(folder, step.networks, averages(step), step.optimisers)


def test_a_checkpoint_with_a_network_more_is_refused_too(trained: Step, tmp_path: Path) -> None:
    """Else an adversary that was trained would be dropped without a word."""
    folder, step = saved(trained, tmp_path), step_of(settings(losses={"adversarial_weight": 0.0}))
    with pytest.raises(BadInput, match="holds other networks"):
        restore(folder, step.networks, averages(step), step.optimisers)


# -- on the command line


@pytest.fixture(scope="module")
def finished(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str | Path]]:
    folder = tmp_path_factory.mktemp("checkpoint")
    short = "{steps: 2, batch: 4, log_every: 1, checkpoint_every: 1, stuck_after: 0, noise: const}"
    config = run_settings(folder, digits_folder(folder / "data", 16), run=short, metrics="{images: 4}")
    command: list[str | Path] = ["train", config, "-o", folder / "run", f"classifier.spec={converted}", "--device", "cpu"]
    done = run(*command)
    assert done.code == 0, done.err
    return folder / "run", command


def resumed(finished: tuple[Path, list[str | Path]], copy: Path, damage: str, *more: str) -> Ran:
    """`--resume` on a copy of the run, of whose last checkpoint a file was cut in half."""
    source, command = finished
    shutil.copytree(source, copy)
    if damage:
        path = copy / "checkpoints" / "0000002" / damage
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return run(*(copy if part == source else part for part in command), "--resume", *more)


def test_a_damaged_checkpoint_ends_in_a_line_and_leaves_the_run_as_it_was(finished: tuple[Path, list[str | Path]], tmp_path: Path) -> None:
    found = resumed(finished, tmp_path / "run", "weights.safetensors", "run.steps=3")
    assert found.code == 2
    assert "0000002" in found.err
    assert "remove that folder" in found.err
    assert "Traceback" not in found.err
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "0000002")
    source, command = finished
    again = run(*(tmp_path / "run" if part == source else part for part in command), "--resume", "run.steps=3")
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "run" / "checkpoints" / "0000003" / "training.json").read_text())["step"] == 3


def test_other_settings_end_in_a_line(finished: tuple[Path, list[str | Path]], tmp_path: Path) -> None:
    found = resumed(finished, tmp_path / "run", "", "model.hidden=17")
    assert found.code == 2
    assert "cannot become ModelConfig(" in found.err
    assert "resume with the run's own settings" in found.err
    assert "Traceback" not in found.err
    assert CONFIG.model.hidden != 17


def test_a_refused_resume_leaves_the_settings_that_would_have_gone_on(finished: tuple[Path, list[str | Path]], tmp_path: Path) -> None:
    before = (finished[0] / "settings.yaml").read_text()
    resumed(finished, tmp_path / "run", "", "model.hidden=17")
    assert (tmp_path / "run" / "settings.yaml").read_text() == before


def test_a_checkpoint_that_was_being_removed_goes_and_the_last_ones_stay(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for name in ("0000000", "0000002", "0000004"):
        (folder / name).mkdir(parents=True)
        (folder / name / "training.json").write_text("{}")
    (folder / "0000000" / "training.json").unlink()
    (folder / ".0000006.partial").mkdir()
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in folder.iterdir()) == ["0000002", "0000004"]
