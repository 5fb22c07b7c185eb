"""A zip is read as it was written, or refused with a sentence; no flipped bit changes what is read."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile, HostileFile, StylexportError
from stylexport.converter.formats import archive as module
from stylexport.converter.formats.archive import Archive, looks_like_zip
from stylexport.converter.formats.files import Zipped

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
    with Archive(write(tmp_path / "a.zip", CONTENTS, method)) as archive:
        assert list(archive.members) == list(CONTENTS)
        for name, data in CONTENTS.items():
            assert archive.read(name) == data
            with archive.open(name) as stream:
                assert b"".join(iter(lambda: stream.read(7), b"")) == data
            with archive.seekable(name) as file:
                assert file.seek(0, io.SEEK_END) == len(data)
                file.seek(len(data) // 3)
                assert file.read() == data[len(data) // 3 :]


def test_streams_of_one_archive_do_not_move_each_other(tmp_path: Path) -> None:
    with Archive(write(tmp_path / "a.zip", CONTENTS)) as archive:
        first, second = (archive.open(name) for name in list(CONTENTS)[:2])
        assert first.read(5) == b"graph"
        assert second.read(8) == np.float32([0, 1]).tobytes()
        assert first.read(7) == b"graphgr"


def test_an_archive_written_to_a_pipe_with_data_descriptors_is_read(tmp_path: Path) -> None:
    with _Unseekable(tmp_path / "a.zip") as sink, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in CONTENTS.items():
            archive.writestr(name, data)
    with Archive(tmp_path / "a.zip") as archive:
        assert {name: archive.read(name) for name in archive.members} == CONTENTS


def test_sixty_four_bit_sizes_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("big", "w", force_zip64=True) as member:
        member.write(b"12345")
    with Archive(tmp_path / "a.zip") as archive:
        assert archive.read("big") == b"12345"


def test_it_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert looks_like_zip(write(tmp_path / "named.pkl", CONTENTS))
    (tmp_path / "b.zip").write_bytes(b"not a zip")
    assert not looks_like_zip(tmp_path / "b.zip")
    assert not looks_like_zip(tmp_path / "absent.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m", b"one")
        archive.writestr("m", b"two")
    with pytest.raises(DamagedFile, match="two members of one name"):
        Archive(tmp_path / "a.zip")


def test_encryption_and_rare_methods_are_named(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.zip", {"m": b"x"}).read_bytes())
    data[data.rindex(b"PK\x03\x04") + 6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(BadInput, match="encrypted"):
        Archive(tmp_path / "a.zip")
    with pytest.raises(BadInput, match="method 14; repack"):
        Archive(write(tmp_path / "b.zip", {"m": b"x"}, zipfile.ZIP_LZMA))


def test_a_bomb_is_refused_by_its_declaration_and_a_small_one_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = write(tmp_path / "a.zip", {"m": bytes(3 << 20)})
    with Archive(bomb) as archive:
        assert archive.read("m") == bytes(3 << 20)
    monkeypatch.setattr(module, "LARGE", 1 << 20)
    with pytest.raises(HostileFile, match="more than 100 to 1"):
        Archive(bomb)


def test_a_member_of_another_size_than_declared_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"m": bytes(5000)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 5000), struct.pack("<L", 4000)))
    with Archive(path) as archive, pytest.raises(DamagedFile, match="CRC-32"):
        archive.read("m")
    path.write_bytes(data.replace(struct.pack("<L", 5000), struct.pack("<L", 6000)))
    with Archive(path) as archive, pytest.raises(DamagedFile, match="has 5000 bytes, not the declared 6000"):
        archive.read("m")
    with Archive(path) as archive, pytest.raises(DamagedFile, match="ends 1000 bytes early"):
        Zipped(archive).pieces("m").take(0, 6000)


def test_no_flipped_bit_and_no_cut_changes_what_a_member_holds(tmp_path: Path) -> None:
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
                with Archive(tmp_path / "b.zip") as archive:
                    assert all(archive.read(name) == CONTENTS.get(name) for name in archive.members)
            except StylexportError as error:
                messages.append(str(error))
    assert all("b.zip" in message for message in messages)
    assert len(messages) > 300  # the rest turned times, versions and other bytes that nobody reads
