"""A fetched file is whole and the right one, whatever line and server do; and what came once is not fetched again."""

from __future__ import annotations

import errno
import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stylexport.checkpoints.fetch import BytesProgress, Fetched, TransferError, fetch
from stylexport.checkpoints.registry import Entry
from stylexport.common.errors import BadInput, DamagedFile
from tests.checkpoints.server import Behaviour, serve
from tests.conftest import ROOT

DATA = random.Random(2).randbytes(300_000)
OTHER = random.Random(3).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server() -> Iterator[Behaviour]:
    with serve(Behaviour(DATA)) as behaviour:
        yield behaviour


def entry(server: Behaviour, size: int | None = len(DATA), sha256: str | None = SHA256) -> Entry:
    return Entry("r/file", f"{server.url}/file.bin", size, sha256, "bytes", "none")


def get(server: Behaviour, folder: Path, known: bool = True, **options: float) -> Fetched:
    """Fetches the one file, without waiting between tries."""
    return one(entry(server) if known else entry(server, None, None), folder, **({"timeout": 5.0} | options))


def one(of: Entry, folder: Path, progress: BytesProgress | None = None, **options: float) -> Fetched:
    """Fetches this file."""
    found = fetch(["r"], folder, registry={"r": of}, progress=lambda _: progress, **({"backoff": 0.0} | options))  # type: ignore[arg-type]
    return found[0]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_is_known_by_its_hash(server: Behaviour, tmp_path: Path) -> None:
    result = get(server, tmp_path / "new" / "folder")
    assert result.path.read_bytes() == DATA
    assert (result.how, result.verified, result.size) == ("fetched", "size and sha256 of the registry", 300_000)
    assert leftovers(tmp_path / "new" / "folder") == ["fetched.json", "file.bin"]


def test_a_file_that_is_there_and_right_is_not_fetched_again(server: Behaviour, tmp_path: Path) -> None:
    get(server, tmp_path)
    assert get(server, tmp_path).how == "kept"
    assert len(server.requests) == 1


def test_a_file_that_is_there_and_wrong_is_an_error_and_is_left_alone(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(OTHER)
    with pytest.raises(DamagedFile, match=r"has sha256 .*, not .*; delete it and fetch again"):
        get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == OTHER
    assert server.requests == []


def test_a_line_that_is_cut_goes_on_where_it_was(server: Behaviour, tmp_path: Path) -> None:
    server.cut_after, server.cuts = 100_000, 2
    assert get(server, tmp_path).path.read_bytes() == DATA
    assert server.requests == [None, "bytes=100000-", "bytes=200000-"]


def test_a_line_that_is_always_cut_ends_with_what_to_do_and_the_next_run_goes_on(server: Behaviour, tmp_path: Path) -> None:
    server.cut_after = 50_000
    server.ranges = False
    with pytest.raises(TransferError, match="it continues after 50000 bytes"):
        get(server, tmp_path, retries=2)
    assert leftovers(tmp_path) == [".file.bin.part"]
    server.ranges, server.cut_after = True, None
    server.requests.clear()
    assert get(server, tmp_path).path.read_bytes() == DATA
    assert server.requests == ["bytes=50000-"]


def test_a_server_that_ignores_ranges_sends_it_anew(server: Behaviour, tmp_path: Path) -> None:
    server.cut_after, server.cuts, server.ranges = 100_000, 1, False
    assert get(server, tmp_path, known=False).path.read_bytes() == DATA


def test_changed_bytes_are_never_spliced(server: Behaviour, tmp_path: Path) -> None:
    cut_once(server, tmp_path)
    server.data, server.modified = OTHER, "Tue, 01 Dec 2020 00:00:00 GMT"
    assert get(server, tmp_path, known=False).path.read_bytes() == OTHER
    assert server.requests == [None, "bytes=100000-"]


def cut_once(server: Behaviour, folder: Path) -> None:
    """Leaves a part of 100,000 bytes behind, as a run that is interrupted."""

    def stop(so_far: int, total: int | None) -> None:
        if so_far >= 100_000:
            raise KeyboardInterrupt

    server.cut_after, server.cuts = 100_000, 1
    with pytest.raises(KeyboardInterrupt):
        one(entry(server, None, None), folder, progress=stop)
    assert (folder / ".file.bin.part").stat().st_size == 100_000


def test_a_server_that_does_not_heed_if_range_is_found_out(server: Behaviour, tmp_path: Path) -> None:
    cut_once(server, tmp_path)
    server.data, server.modified, server.heed_if_range = OTHER, "Tue, 01 Dec 2020 00:00:00 GMT", False
    assert get(server, tmp_path, known=False).path.read_bytes() == OTHER
    assert server.requests == [None, "bytes=100000-", None]


def test_a_part_without_a_date_of_the_servers_is_begun_anew(server: Behaviour, tmp_path: Path) -> None:
    server.modified = None
    cut_once(server, tmp_path)
    assert get(server, tmp_path, known=False).path.read_bytes() == DATA


@pytest.mark.parametrize("said", ["bytes 0-299999/300000", "bytes 99999-299999/300000", "words"])
def test_the_rest_from_another_byte_than_asked_is_not_appended(server: Behaviour, tmp_path: Path, said: str) -> None:
    cut_once(server, tmp_path)
    server.content_range = said
    assert get(server, tmp_path, known=False).path.read_bytes() == DATA
    assert server.requests == [None, "bytes=100000-", None]


def test_a_length_that_lies_is_found(server: Behaviour, tmp_path: Path) -> None:
    server.announce = 200_000
    with pytest.raises(TransferError, match="offers 200000 bytes, the registry says 300000"):
        get(server, tmp_path)
    with pytest.raises(DamagedFile, match="has sha256"):
        one(entry(server, None), tmp_path, backoff=0.0)
    server.announce = 400_000
    with pytest.raises(TransferError, match=r"without progress \(the server answered 416"):
        get(server, tmp_path / "long", known=False, retries=2)
    assert not (tmp_path / "file.bin").exists()


def test_a_length_that_is_not_announced_is_no_hindrance(server: Behaviour, tmp_path: Path) -> None:
    server.silent_length = True
    totals = set()
    result = one(entry(server), tmp_path, progress=lambda so_far, total: totals.add(total))
    assert (result.path.read_bytes(), totals) == (DATA, {None})


def test_what_came_with_the_wrong_hash_is_thrown_away(server: Behaviour, tmp_path: Path) -> None:
    server.data = OTHER
    with pytest.raises(DamagedFile, match=r"/file\.bin: has sha256"):
        get(server, tmp_path)
    assert leftovers(tmp_path) == []


def test_without_a_published_hash_what_came_is_recorded_and_held_against_later(server: Behaviour, tmp_path: Path) -> None:
    result = get(server, tmp_path, known=False)
    assert "no sha256 is published" in result.verified
    record = json.loads((tmp_path / "fetched.json").read_text())["file.bin"]
    assert record == {"url": f"{server.url}/file.bin", "size": 300_000, "sha256": SHA256}
    assert "recorded in fetched.json" in get(server, tmp_path, known=False).verified
    result.path.unlink()
    server.data = OTHER
    with pytest.raises(DamagedFile, match=r"recorded in fetched\.json"):
        get(server, tmp_path, known=False)


def test_a_file_put_there_by_hand_is_recorded_too(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(OTHER)
    assert get(server, tmp_path, known=False).how == "kept"
    (tmp_path / "file.bin").write_bytes(OTHER[:-1])
    with pytest.raises(DamagedFile, match="has 299999 bytes, not 300000"):
        get(server, tmp_path, known=False)


@pytest.mark.parametrize(("status", "why"), [(404, "answered 404 Not Found; check the name"), (403, "answered 403 Forbidden")])
def test_what_is_not_there_is_said_at_once(server: Behaviour, tmp_path: Path, status: int, why: str) -> None:
    server.status = status
    with pytest.raises(TransferError, match=why):
        get(server, tmp_path)
    assert len(server.requests) == 1
    assert leftovers(tmp_path) == []


def test_a_busy_server_is_asked_again(server: Behaviour, tmp_path: Path) -> None:
    server.status, server.statuses = 503, 3
    assert get(server, tmp_path).path.read_bytes() == DATA
    assert len(server.requests) == 4


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Sign in</title>", b"\n <HTML><body>quota"])
def test_a_web_page_is_not_taken_for_the_file(server: Behaviour, tmp_path: Path, page: bytes) -> None:
    server.data = page
    with pytest.raises(TransferError, match="a web page instead of the file"):
        get(server, tmp_path, known=False)
    assert not (tmp_path / "file.bin").exists()


def test_a_silent_server_is_given_up_after_the_timeout(server: Behaviour, tmp_path: Path) -> None:
    server.pause = 2.0  # before every piece of 4096 bytes: the whole file would take two minutes
    start = time.monotonic()
    with pytest.raises(TransferError, match="cut 1 times without progress"):
        get(server, tmp_path, timeout=0.2, retries=0)
    assert time.monotonic() - start < 30


def test_nobody_at_the_address_is_a_cut_line(tmp_path: Path) -> None:
    with serve(Behaviour(DATA)) as server:
        pass
    with pytest.raises(TransferError, match="refused"):
        get(server, tmp_path, retries=1)


def test_a_slow_line_is_reported_as_it_comes(server: Behaviour, tmp_path: Path) -> None:
    server.pause, server.data = 0.005, DATA[:40_000]
    seen: list[tuple[int, int | None]] = []
    one(entry(server, None, None), tmp_path, progress=lambda *so_far: seen.append(so_far))
    assert seen == sorted(seen)
    assert seen[-1] == (40_000, 40_000)
    assert len(seen) > 3


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://host/file.bin", "http://127.0.0.1:port/file.bin", "http://bad host/file.bin", "http://[::bad/file.bin"],
)
def test_an_address_that_is_none_is_bad_input(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput, match="check the registry or the base address"):
        one(Entry("r/file", url, None, None, "w", "l"), tmp_path, backoff=0.0, retries=0)


def test_a_full_disk_is_named_and_the_part_is_kept(server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("stylexport.checkpoints.fetch.os.fsync", full)
        with pytest.raises(BadInput, match=r"file\.bin: cannot be written \(No space left on device\); make room"):
            get(server, tmp_path)
    assert get(server, tmp_path).path.read_bytes() == DATA
    (tmp_path / "a file").write_text("")
    with pytest.raises(BadInput, match="name another folder"):
        get(server, tmp_path / "a file" / "below")


def test_a_damaged_record_is_named(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "fetched.json").write_text('{"file.bin": 3}')
    with pytest.raises(BadInput, match=r"fetched\.json: does not record the size and sha256 of files; delete it"):
        get(server, tmp_path)


def test_what_a_killed_run_left_does_no_harm(server: Behaviour, tmp_path: Path) -> None:
    server.pause = 0.01
    program = (
        "from stylexport.checkpoints.fetch import fetch; from stylexport.checkpoints.registry import Entry; "
        f"fetch(['r'], {str(tmp_path)!r}, registry={{'r': Entry('r', {entry(server).url!r}, None, None, '', '')}})"
    )
    run = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    part = tmp_path / ".file.bin.part"
    while not (part.exists() and part.stat().st_size > 30_000):
        assert run.poll() is None
        time.sleep(0.01)
    run.kill()
    run.wait()
    server.pause = 0
    assert leftovers(tmp_path) == [".file.bin.part"]
    assert get(server, tmp_path).path.read_bytes() == DATA
    assert leftovers(tmp_path) == ["fetched.json", "file.bin"]


def test_names_groups_and_a_mirror(server: Behaviour, tmp_path: Path) -> None:
    registry = {
        name: Entry(name, f"https://released.invalid/x/{name.replace('/', '_')}.bin", None, SHA256, "w", "l")
        for name in ("r/one", "r/two", "other/three")
    }
    asked: list[str] = []

    def bar(entry: Entry) -> None:
        asked.append(entry.name)

    results = fetch(["other/three", "r"], tmp_path, registry=registry, base_url=f"{server.url}/mirror/", progress=bar)
    assert [result.entry.name for result in results] == asked == ["other/three", "r/one", "r/two"]
    assert results[1].path == tmp_path / "r_one.bin"
    assert replace(results[0].entry, url="") == replace(registry["other/three"], url="")
