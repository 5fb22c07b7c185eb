"""Settings: what is left out has its default, what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stylexport.common.errors import BadInput
from stylexport.training.config import LossConfig, OptimiserConfig, RunConfig, load


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("data: {kind: mnist}\n")
    return path


def test_what_is_left_out_has_its_default(minimal: Path) -> None:
    config = load(minimal)
    assert config.regimen == "alternating"
    assert config.data.digits == (8, 9)
    assert (config.losses, config.optimiser, config.run) == (LossConfig(), OptimiserConfig(), RunConfig())


@pytest.mark.parametrize(
    ("override", "group", "name", "value"),
    [
        ("optimiser.learning_rate=1e-3", "optimiser", "learning_rate", 1e-3),  # YAML 1.1 reads a text here
        ("optimiser.learning_rate=2", "optimiser", "learning_rate", 2.0),
        ("run.compile=true", "run", "compile", True),
        ("run.batch=32", "run", "batch", 32),
        ("run.noise=const", "run", "noise", "const"),
        ("model.channels=[8, 4]", "model", "channels", (8, 4)),
        ("model.channels=null", "model", "channels", None),
        ("data.path=/some/where", "data", "path", Path("/some/where")),
        ("classifier.labels=[eight, nine]", "classifier", "labels", ("eight", "nine")),
    ],
)
def test_an_override_has_its_settings_type(minimal: Path, override: str, group: str, name: str, value: Any) -> None:
    found = getattr(getattr(load(minimal, [override]), group), name)
    assert (found, type(found)) == (value, type(value))


def test_the_last_override_counts_and_stands_above_the_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("data: {}\nrun: {steps: 5, batch: 4}\n")
    run = load(path, ["run.steps=6", "run.steps=7"]).run
    assert (run.steps, run.batch) == (7, 4)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optimizer.learning_rate=1", "optimizer: unexpected keyword argument"),
        ("losses.image_l2=1", r"losses\.image_l2"),
        ("regimen=both", "regimen"),
        ("run.batch=0", r"run\.batch: input should be greater than 0"),
        ("run.batch=1.5", r"run\.batch"),
        ("losses.r1=-1", r"losses\.r1"),
        ("losses.r1=nan", r"losses\.r1"),
        ("run.precision=fp8", r"run\.precision"),
        ("optimiser.decay=0", r"optimiser\.decay"),
        ("data.kind=cifar", r"data\.kind"),
        ("run.steps.more=1", "run.steps"),
        ("run=4", "run"),
    ],
)
def test_a_wrong_setting_is_named(minimal: Path, override: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"(?i){said}"):
        load(minimal, [override])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["losses.adversarial_weight=0"], "nothing teaches images of random w"),
        (["regimen=random", "losses.adversarial_weight=0"], "nothing teaches images of random w"),
        (["losses.adversarial=wgan", "losses.r1=0"], "gradient_penalty"),
        (["run.batch=10", "run.accumulate=4"], "not 4 equal parts"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(minimal: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load(minimal, overrides)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "data: [1, 2\n", "run: {steps: 5}\n"])
def test_a_file_without_settings_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"broken\.yaml"):
        load(path)


def test_what_a_run_records_reads_as_the_same_settings(minimal: Path, tmp_path: Path) -> None:
    import yaml

    config = load(minimal, ["model.channels=[8, 4]", "classifier.weights=/a/b.pt", "optimiser.learning_rate=1e-3", "regimen=random"])
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(config.to_json()))
    assert load(again) == config
