"""What `stylexport` exports: every name, with the base install alone wherever that suffices."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys

import pytest

import stylexport
from stylexport.common.errors import BadInput
from tests.conftest import ROOT

NEEDS_EXTRA = {"record", "train"}
IMPORT_NAMES = {"pytest-xdist": "xdist", "torch-fidelity": "torch_fidelity", "tensorflow-cpu": "tensorflow", "tf-keras": "tf_keras"}


def packages_of_extras() -> set[str]:
    """The import names of the packages that extras alone install."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    found = re.findall(r"^([\w-]+)[<>=]", "\n".join(setup["options.extras_require"].values()), re.MULTILINE)
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in found} - {"setuptools", "filelock"}


def test_every_public_name_is_there() -> None:
    for name in stylexport.__all__:
        assert getattr(stylexport, name) is not None
    assert set(dir(stylexport)) == set(stylexport.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        stylexport.paint  # noqa: B018


def test_the_base_install_suffices_for_all_but_recording_and_training() -> None:
    names = sorted(set(stylexport.__all__) - NEEDS_EXTRA)
    absent = f"import sys\nfor name in {sorted(packages_of_extras())!r}: sys.modules[name] = None"
    program = f"{absent}\nfrom stylexport import {', '.join(names)}"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("originals", [{}, {"against": "a", "release": "b"}])
def test_the_original_is_named_once(originals: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="name the original once"):
        stylexport.verify("folder", **originals)


def test_a_folder_that_is_not_there_is_named_before_anything_is_recorded() -> None:
    with pytest.raises(BadInput, match="nowhere: no such folder"):
        stylexport.verify("nowhere", release="anything")
    with pytest.raises(BadInput, match="nowhere: no such folder"):
        stylexport.selftest("nowhere", against="anything")
