"""Whatever is done to a release, the command ends with exit code 2 and one clear line, and writes nothing.

The inputs are made by hypothesis from the embedded release: truncations, flipped bits, swapped files, lies in headers.
"""

from __future__ import annotations

import pickle
import shutil
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylexport.converter.output.convert import convert
from tests.conftest import DEMO, run

NETWORKS = ("generator", "encoder", "discriminator", "mobilenet")
DATA, INDEX, PB = "variables/variables.data-00000-of-00001", "variables/variables.index", "saved_model.pb"
SETTINGS = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def refused(source: Path, work: Path) -> str:
    """The one-line error of converting `source`, which must leave nothing behind."""
    before = set(work.rglob("*"))
    ran = run("convert", source, "-o", work / "out")
    assert ran.code == 2, (ran.code, ran.out, ran.err)
    assert set(work.rglob("*")) == before
    return ran.one_line_error()


def refused_or_same(source: Path, work: Path) -> None:
    """`source` is refused with one line that names it, or converts to the weights in `work`/whole."""
    ran = run("convert", source, "-o", work / "out")
    if ran.code:
        assert ran.code in (2, 3), (ran.code, ran.out, ran.err)
        assert source.name in ran.one_line_error()
        return
    for file in (work / "whole").glob("*/model.safetensors"):
        assert file.read_bytes() == (work / "out" / file.relative_to(work / "whole")).read_bytes()


def flip(path: Path, where: float, bit: int) -> None:
    """Turn one bit of a file, at `where` of its length."""
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)


@settings(SETTINGS, max_examples=80)
@given(network=st.sampled_from(NETWORKS), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_zip_is_refused_or_leaves_the_weights_as_they_are(network: str, where: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy(DEMO / f"{network}.savedmodel.zip", work / "release.zip")
        convert(work / "release.zip", work / "whole")
        flip(work / "release.zip", where, bit)  # headers hold hints that no reader reads, and deflate bits that only fill up
        refused_or_same(work / "release.zip", work)


@settings(SETTINGS, max_examples=40)
@given(network=st.sampled_from(NETWORKS), where=st.floats(0, 1, exclude_max=True))
def test_a_truncated_zip(network: str, where: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = (DEMO / f"{network}.savedmodel.zip").read_bytes()
        (work / "release.zip").write_bytes(data[: int(where * len(data))])
        assert "release.zip" in refused(work / "release.zip", work)


def unpacked(network: str, work: Path) -> Path:
    with zipfile.ZipFile(DEMO / f"{network}.savedmodel.zip") as archive:
        archive.extractall(work)
    return work / f"{network}.savedmodel"


@settings(SETTINGS, max_examples=70)
@given(
    network=st.sampled_from(NETWORKS),
    file=st.sampled_from([DATA, INDEX]),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_in_the_variables_of_a_folder(network: str, file: str, where: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        path = unpacked(network, work) / file
        flip(path, where, bit)
        assert f"{network}.savedmodel" in refused(path.parents[file.count("/")], work)


@settings(SETTINGS, max_examples=70)
@given(network=st.sampled_from(NETWORKS), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_graph_is_refused_or_leaves_the_weights_as_they_are(network: str, where: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = unpacked(network, work)
        convert(source, work / "whole")
        flip(source / PB, where, bit)  # the format has no checksum of the graph
        refused_or_same(source, work)


@settings(SETTINGS, max_examples=40)
@given(network=st.sampled_from(NETWORKS), file=st.sampled_from([DATA, INDEX, PB]), where=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_in_a_folder(network: str, file: str, where: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        path = unpacked(network, work) / file
        data = path.read_bytes()
        path.write_bytes(data[: int(where * len(data))])
        assert f"{network}.savedmodel" in refused(path.parents[file.count("/")], work)


@settings(SETTINGS, max_examples=20)
@given(pair=st.permutations(NETWORKS).map(lambda p: p[:2]), file=st.sampled_from([DATA, INDEX, PB]))
def test_files_of_two_networks_swapped(pair: list[str], file: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        one, other = (unpacked(network, work) for network in pair)
        shutil.copy(other / file, one / file)
        assert one.name in refused(one, work)


@pytest.mark.parametrize("missing", [DATA, INDEX, PB])
def test_a_missing_file(tmp_path: Path, missing: str) -> None:
    folder = unpacked("encoder", tmp_path)
    (folder / missing).unlink()
    assert "encoder.savedmodel" in refused(folder, tmp_path)


class Evil:
    """What a hostile pickle does when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch stolen",)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps([("generator/w", Evil())]))
    assert "weights.pkl" in refused(tmp_path / "weights.pkl", tmp_path)
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("name", ["../escaped.pb", "/etc/escaped.pb", "a/../../escaped.pb", "C:\\escaped.pb"])
def test_a_zip_that_would_leave_its_folder(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("model/saved_model.pb", b"\x08\x01")
        archive.writestr(name, b"x")
    assert "evil.zip" in refused(tmp_path / "evil.zip", tmp_path)


def test_a_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/saved_model.pb", b"\0" * 300_000_000)
    assert "bomb.zip" in refused(tmp_path / "bomb.zip", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"not a model",
        b"PK\x03\x04",
        b"\x89HDF\r\n\x1a\n",
        b"\x80\x04.",
        b"\x93NUMPY",
        struct.pack("<Q", 2**60) + b"x" * 40,
    ],
)
@pytest.mark.parametrize("name", ["x.zip", "x.h5", "x.keras", "x.pb", "x.pkl", "x.npz", "x.index", "x.tfrecord", "saved_model.pb"])
def test_a_file_that_is_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert name.removesuffix(".index") in refused(tmp_path / name, tmp_path)
