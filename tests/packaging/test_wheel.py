"""The wheel, installed without the repository, in a working directory that has packages named like StylExport's rooms.

Every StyleGAN repository has a `training/`. An editable install hides what goes wrong there, so the wheel is built, installed into a
fresh environment that shares the installed dependencies, and run as a user would run it (`make test-wheel`).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.digits import digits_folder
from tests.packaging.test_packages import IGNORED, ROOMS
from tests.training.small_run import settings

pytestmark = pytest.mark.wheel
NAMES = ("training", "converter", "checkpoints", "parity", "attfind", "reference_tf", "torch_models")
# A package of the user's: it must never be imported by StylExport, which then fails, and always be the one that the user imports.
DECOY = """
import os
WHOSE = "the user's"
if os.environ.get("DECOYS") == "raise" and __name__ != "training":
    raise RuntimeError(f"StylExport imported the user's own {__name__}")
"""
# A classifier of the user's, whose module imports the user's own `training`.
NETWORK = """
import torch
from torch import nn

from training.networks import CHANNELS


def build():
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, CHANNELS, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * CHANNELS, 2))
"""


@dataclass(frozen=True)
class Site:
    """The fresh environment and the user's working directory."""

    environment: Path
    directory: Path

    @property
    def packages(self) -> Path:
        """Where the wheel's files lie."""
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.environment), "platbase": str(self.environment)}))

    def run(self, *command: str | Path, python: bool = True, decoys: str = "raise") -> str:
        """The output of a command, of this environment's interpreter or a script beside it, in the user's directory."""
        first = [self.environment / "bin" / "python"] if python else [self.environment / "bin" / command[0]]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [*first, *(command if python else command[1:])],
            cwd=self.directory,
            env={**variables, "OMP_NUM_THREADS": "1", "DECOYS": decoys},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stylexport(self, *arguments: str | Path) -> str:
        """The output of the console script."""
        return self.run("stylexport", *arguments, python=False)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the tree: an older build beside the sources would leave its files in it."""
    copy, out = tmp_path_factory.mktemp("source") / "tree", tmp_path_factory.mktemp("wheel")
    copy.mkdir()
    for folder in ROOMS.values():
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns(*IGNORED))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    program = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", program], cwd=copy, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The wheel installed, and the user's directory with packages of these names, pictures and a network."""
    found = Site(tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("user"))
    venv.create(found.environment, with_pip=False, symlinks=True)
    install = [sys.executable, "-m", "pip", "--python", str(found.environment / "bin" / "python"), "install", "-q"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    # The dependencies of the environment that runs the tests; its own .pth files, which name StylExport, are not read from here.
    shared = [path for path in sys.path if path.endswith("site-packages")]
    (found.packages / "shared.pth").write_text("\n".join(shared) + "\n")
    for name in NAMES:
        (found.directory / name).mkdir()
        (found.directory / name / "__init__.py").write_text(DECOY)
    (found.directory / "training" / "networks.py").write_text("CHANNELS = 6\n")
    (found.directory / "mynet.py").write_text(NETWORK)
    digits_folder(found.directory / "digits")
    return found


@pytest.fixture(scope="session")
def converted(site: Site) -> str:
    """The embedded release, converted in the user's directory."""
    site.stylexport("convert", embedded(site), "-o", "converted", "--labels", "8,9")
    return "converted"


def embedded(site: Site) -> Path:
    """The release in the installed package."""
    return site.packages / "stylexport" / "checkpoints" / "demo"


def test_nothing_but_stylexport_lies_at_the_top_of_site_packages(site: Site) -> None:
    version = importlib.metadata.version("stylexport")
    assert sorted(path.name for path in site.packages.iterdir()) == sorted(["stylexport", f"stylexport-{version}.dist-info", "shared.pth"])


def test_the_wheel_holds_every_file_of_the_rooms(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        inside = {name for name in file.namelist() if ".dist-info/" not in name}
    expected = set()
    for package, folder in ROOMS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix != ".pyc" and not IGNORED & set(path.parts):
                expected.add(f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}")
    assert inside == expected


def test_the_installed_package_is_the_one_that_runs(site: Site) -> None:
    assert site.run("-c", "import stylexport; print(stylexport.__file__)").strip() == str(site.packages / "stylexport" / "__init__.py")


@pytest.mark.parametrize("order", ["stylexport first", "stylexport second"])
def test_the_users_packages_are_imported_as_before(site: Site, order: str) -> None:
    ours = f"import stylexport; stylexport.convert({str(embedded(site))!r}, 'from_python'); stylexport.load('from_python')\n"
    theirs = f"import {', '.join(NAMES)}\nfrom training.networks import CHANNELS\n"
    check = f'assert all(m.WHOSE == "the user\'s" for m in ({", ".join(NAMES)})) and CHANNELS == 6\n'
    program = ours + theirs if order == "stylexport first" else theirs + ours
    site.run("-c", program + check, decoys="keep quiet")


@pytest.mark.parametrize("names", ["", "from stylexport import StylEx, Generator, Encoder, Discriminator, MobileNetV1, AttFind, convert"])
def test_importing_stylexport_imports_none_of_the_users_packages(site: Site, names: str) -> None:
    site.run("-c", f"import stylexport\n{names}\nimport sys\nassert not set(sys.modules) & set({NAMES!r})")


@pytest.mark.parametrize("launcher", [(), ("-m", "accelerate.commands.accelerate_cli", "launch")], ids=["python", "accelerate"])
def test_train_explains_itself(site: Site, launcher: tuple[str, ...]) -> None:
    assert "Train a StylEx" in site.run(*launcher, "-m", "stylexport", "train", "--help")


def test_convert_and_inspect(site: Site, converted: str) -> None:
    found = json.loads(site.stylexport("inspect", embedded(site) / "encoder.savedmodel.zip", "--json"))
    assert found["network"] == "encoder"
    assert (site.directory / converted / "stylex.json").is_file()


def test_verify_against_the_embedded_recording(site: Site, converted: str) -> None:
    recording = embedded(site).with_name("demo.recording.safetensors")
    found = json.loads(site.stylexport("verify", converted, "--against", recording, "--json"))
    assert (found["verdict"], found["coverage"]["matched"]) == ("pass", found["coverage"]["taps"])


@pytest.mark.parametrize("start", ["console script", "python -m"])
def test_verify_records_a_release_in_a_process_that_imports_nothing_of_the_users(site: Site, converted: str, start: str) -> None:
    # A module of the name of one that TensorFlow imports: only a working directory on the recorder's path would find it.
    decoy = site.directory / "astunparse.py"
    if start == "console script":
        decoy.write_text("raise RuntimeError('the recorder imported a module of the working directory')\n")
    arguments = ("verify", converted, "--release", embedded(site), "--samples", "4", "--json")
    try:
        found = json.loads(site.stylexport(*arguments) if start == "console script" else site.run("-m", "stylexport", *arguments))
    finally:
        decoy.unlink(missing_ok=True)
    assert found["verdict"] == "pass"


def test_attfind_from_effects_to_a_page(site: Site, converted: str) -> None:
    latents = embedded(site) / "dlatents.pkl"
    site.stylexport("attfind", "effects", converted, "--latents", latents, "--limit", "4", "-o", "effects")
    site.stylexport("attfind", "select", "effects")
    site.stylexport("attfind", "show", "effects", "-o", "shown")
    assert (site.directory / "shown" / "index.html").is_file()


def test_attfind_with_a_classifier_whose_module_imports_the_users_own_training(site: Site, converted: str) -> None:
    arguments = ("--images", "digits", "--limit", "2", "--classifier", "mynet:build", "--size", "32", "--labels", "a,b")
    site.stylexport("attfind", "effects", converted, *arguments, "-o", "effects_of_mine")
    assert (site.directory / "effects_of_mine" / "effects.h5").is_file()


@pytest.mark.parametrize("spec", ["converted", "mynet:build"])
def test_a_short_training(site: Site, converted: str, spec: str) -> None:
    out = f"trained_{spec.partition(':')[0]}"
    config = settings(site.directory, Path("digits"), run="{steps: 2, batch: 8, checkpoint_every: 2}")
    labels = () if spec == "converted" else ("classifier.labels=[a, b]",)
    site.stylexport("train", config.name, "-o", out, "--device", "cpu", f"classifier.spec={spec}", *labels)
    assert (site.directory / out / "stylex.json").is_file()


def test_a_short_training_in_two_processes(site: Site, converted: str) -> None:
    config = settings(site.directory, Path("digits"), run="{steps: 2, batch: 8, checkpoint_every: 2}")
    launch = (
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_cpu_threads_per_process",
        "1",
        "--main_process_port",
        "0",
    )
    arguments = ("train", config.name, "-o", "trained_together", "--device", "cpu", f"classifier.spec={converted}")
    site.run(*launch, "-m", "stylexport", *arguments)
    assert (site.directory / "trained_together" / "stylex.json").is_file()
