"""A zip is read as it was written, or refused with a sentence; no bit of it can turn without notice."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile, HostileFile, StylexportError
from stylexport.converter.formats import ziptable
from stylexport.converter.formats.zips import looks_like_zip, open_zip

CONTENTS = {
    "m/saved_model.pb": b"graph" * 40,
    "m/variables/v.data": np.arange(300, dtype=np.float32).tobytes(),
    "m/empty": b"",
}


def write(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("m") if hasattr(archive, "mkdir") else None
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


class _Unseekable(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        return self.file.write(data)

    def close(self) -> None:
        self.file.close()
        super().close()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_whole_in_pieces_and_at_any_place(tmp_path: Path, method: int) -> None:
    with open_zip(write(tmp_path / "a.zip", CONTENTS, method)) as archive:
        assert list(archive.members) == list(CONTENTS)
        for name, data in CONTENTS.items():
            assert archive.read(name) == data
            with archive.stream(name) as stream:
                assert b"".join(iter(lambda: stream.read(7), b"")) == data
            with archive.seekable(name) as file:
                assert file.seek(0, io.SEEK_END) == len(data)
                file.seek(len(data) // 3)
                assert file.read() == data[len(data) // 3 :]


def test_streams_of_one_archive_do_not_move_each_other(tmp_path: Path) -> None:
    with open_zip(write(tmp_path / "a.zip", CONTENTS)) as archive:
        first, second = (archive.stream(name) for name in list(CONTENTS)[:2])
        assert first.read(5) == b"graph"
        assert second.read(8) == np.float32([0, 1]).tobytes()
        assert first.read(7) == b"graphgr"


def test_an_archive_written_to_a_pipe_with_data_descriptors_is_read(tmp_path: Path) -> None:
    with _Unseekable(tmp_path / "a.zip") as sink, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in CONTENTS.items():
            archive.writestr(name, data)
    with open_zip(tmp_path / "a.zip") as archive:
        assert {name: archive.read(name) for name in archive.members} == CONTENTS


def test_sixty_four_bit_sizes_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("big", "w", force_zip64=True) as member:
        member.write(b"12345")
    with open_zip(tmp_path / "a.zip") as archive:
        assert archive.read("big") == b"12345"


def test_it_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert looks_like_zip(write(tmp_path / "named.pkl", CONTENTS))
    (tmp_path / "b.zip").write_bytes(b"not a zip")
    assert not looks_like_zip(tmp_path / "b.zip")
    assert not looks_like_zip(tmp_path / "absent.zip")


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "m/../../up", "m\\..\\up", "C:up", "m//a"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(HostileFile, match="leave its folder"):
        open_zip(write(tmp_path / "a.zip", {name: b"x"}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m", b"one")
        archive.writestr("m", b"two")
    with pytest.raises(HostileFile, match="two members named 'm'"):
        open_zip(tmp_path / "a.zip")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("m")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(HostileFile, match="link"):
        open_zip(tmp_path / "a.zip")


def test_encryption_and_rare_methods_are_named(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.zip", {"m": b"x"}).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(BadInput, match="encrypted"):
        open_zip(tmp_path / "a.zip")
    with pytest.raises(BadInput, match="method 14; repack"):
        open_zip(write(tmp_path / "b.zip", {"m": b"x"}, zipfile.ZIP_LZMA))


def test_a_bomb_is_refused_by_its_declaration_and_a_small_one_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = write(tmp_path / "a.zip", {"m": bytes(3 << 20)})
    with open_zip(bomb) as archive:
        assert archive.read("m") == bytes(3 << 20)
    monkeypatch.setattr(ziptable, "LARGE", 1 << 20)
    with pytest.raises(HostileFile, match="more than 100 to 1"):
        open_zip(bomb)
    monkeypatch.setattr(ziptable, "MAX_TOTAL", 2 << 20)
    with pytest.raises(HostileFile, match="more than 2097152"):
        open_zip(bomb)


def test_a_member_that_expands_past_its_declared_size_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"m": bytes(5000)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 5000), struct.pack("<L", 4000)))
    with open_zip(path) as archive, pytest.raises(HostileFile, match="past its declared 4000"):
        archive.read("m")
    path.write_bytes(data.replace(struct.pack("<L", 5000), struct.pack("<L", 6000)))
    with open_zip(path) as archive, pytest.raises(DamagedFile, match="ends 1000 bytes before its declared size of 6000"):
        archive.read("m")


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a": b"12345678", "b": b"12345678"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    path.write_bytes(data)
    with pytest.raises(HostileFile, match="shares bytes"):
        open_zip(path)


def test_a_read_beyond_the_callers_limit_is_refused(tmp_path: Path) -> None:
    with open_zip(write(tmp_path / "a.zip", CONTENTS)) as archive:
        assert archive.read("m/empty", limit=0) == b""
        with pytest.raises(HostileFile, match="200 bytes where at most 199"):
            archive.read("m/saved_model.pb", limit=199)
        with pytest.raises(BadInput, match=r"no member 'x'; it holds m/saved_model\.pb"):
            archive.read("x")


def test_no_flipped_bit_and_no_cut_changes_what_is_read(tmp_path: Path) -> None:
    chance = random.Random(5)
    messages: list[str] = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        good = write(tmp_path / "a.zip", CONTENTS, method).read_bytes()
        for trial in range(400):
            data = bytearray(good)
            if trial % 8:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            else:
                del data[chance.randrange(len(data)) :]
            (tmp_path / "b.zip").write_bytes(data)
            try:
                with open_zip(tmp_path / "b.zip") as archive:
                    assert {name: archive.read(name) for name in archive.members} == CONTENTS
            except StylexportError as error:
                messages.append(str(error))
    assert all("b.zip" in message for message in messages)
    assert len(messages) > 400  # the rest turned times, versions and other bytes that nobody reads
