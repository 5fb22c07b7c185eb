"""Archives as TF-Slim ships them are read, leave nothing behind, and are refused where they would do more than hold files."""

from __future__ import annotations

import gc
import gzip
import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.converter.formats.registry import open_all, open_artefact
from stylexport.converter.formats.tar_archive import Unpacked, looks_like_tar
from tests.conftest import run
from tests.converter.bundles import write_bundle
from tests.converter.formats.damage import read_all, refusals

TENSORS = {"net/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "net/bias": np.float32([1, 2, 3, 4])}
TABLE = "{network: n, tensors: [{tf: net/kernel, torch: w, layout: dense}, {tf: net/bias, torch: b}]}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders are made below the test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def archive(path: Path, mode: str = "w:gz", **members: bytes) -> Path:
    """A checkpoint in a folder of a tar, and other members."""
    write_bundle(path.parent / "files" / "model.ckpt", TENSORS)
    with tarfile.open(path, mode) as tar:
        tar.add(path.parent / "files", "slim")
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(("name", "mode"), [("m.tgz", "w:gz"), ("m.tar.bz2", "w:bz2"), ("m.tar.xz", "w:xz"), ("m.tar", "w")])
def test_a_checkpoint_in_an_archive_is_read_and_nothing_is_left(tmp_path: Path, name: str, mode: str) -> None:
    artefact = open_artefact(archive(tmp_path / name, mode))
    values = {variable.name: np.array(artefact.read(variable)) for variable in artefact.variables}
    np.testing.assert_array_equal(values["net/kernel"], TENSORS["net/kernel"])
    artefact.close()
    del artefact
    gc.collect()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_member_is_named_behind_the_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.tgz")
    for inside in ("slim", "slim/model.ckpt", "slim/model.ckpt.index"):
        assert len(open_artefact(path / inside).variables) == 2
    with pytest.raises(BadInput, match="no such file"):
        open_artefact(path / "other")


def test_two_networks_in_one_are_named_so_that_one_can_be_chosen(tmp_path: Path) -> None:
    np.savez(tmp_path / "again.npz", **TENSORS)
    path = archive(tmp_path / "m.tgz", **{"other/again.npz": (tmp_path / "again.npz").read_bytes()})
    (tmp_path / "t.yaml").write_text(TABLE)
    error = run("convert", path, "-o", tmp_path / "out", "--mapping", tmp_path / "t.yaml").one_line_error()
    assert "m.tgz/other/again.npz" in error
    assert run("convert", path / "slim/model.ckpt", "-o", tmp_path / "out", "--mapping", tmp_path / "t.yaml").code == 0


@pytest.mark.parametrize("name", ["../out.pb", "/etc/out.pb", "a/../../out.pb", "a\\..\\out.pb"])
def test_a_member_outside_of_the_folder_is_hostile(tmp_path: Path, name: str) -> None:
    with pytest.raises(HostileFile, match="outside"):
        Unpacked(archive(tmp_path / "m.tgz", **{name: b"x"}))
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "m.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("saved_model.pb")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(HostileFile, match="link"):
        open_all(tmp_path / "m.tgz")


def test_bombs_are_refused_before_they_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylexport.converter.formats.tar_archive.LARGE", 1 << 20)
    with pytest.raises(HostileFile, match="100 to 1"):
        Unpacked(archive(tmp_path / "m.tgz", zeros=bytes(30 << 20)))
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2**40  # a header that says it is a terabyte long
    with gzip.open(tmp_path / "pax.tgz", "wb") as file:
        file.write(header.tobuf() + bytes(20 << 20))
    with pytest.raises((HostileFile, DamagedFile)):
        Unpacked(tmp_path / "pax.tgz")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_damage_is_answered_with_a_sentence(tmp_path: Path) -> None:
    messages = refusals(archive(tmp_path / "m.tgz"), 80, 4, lambda path: read_all(open_artefact(path)))
    assert len(messages) > 70
    assert all("damaged.tgz" in message for message in messages)


def test_other_compressed_files_are_no_tar(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"hello" * 200))
    assert not looks_like_tar(tmp_path / "a.gz")
    assert not looks_like_tar(tmp_path / "missing")
