"""Digests are SHA-256, begin early on what will be asked for, and are given up when nobody waits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from stylexport.common.digests import Digests, _likely, sha256


def test_a_digest_is_sha256_over_the_whole_file(tmp_path: Path) -> None:
    data = os.urandom(2**24 + 17)
    (tmp_path / "big").write_bytes(data)
    (tmp_path / "empty").write_bytes(b"")
    with Digests() as digests:
        found = digests.of(tmp_path, ["big", "empty"])
    assert found == {"big": hashlib.sha256(data).hexdigest(), "empty": hashlib.sha256(b"").hexdigest()}


def test_only_savedmodels_and_zips_are_begun_early(tmp_path: Path) -> None:
    (tmp_path / "model" / "variables").mkdir(parents=True)
    for name in ("model/saved_model.pb", "model/variables/variables.index", "other.zip", "holiday.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    begun = {path.relative_to(tmp_path).as_posix() for path in _likely(tmp_path)}
    assert begun == {"model/saved_model.pb", "model/variables/variables.index", "other.zip"}
    assert list(_likely(tmp_path / "nowhere")) == []


def test_a_digest_nobody_waits_for_ends_early(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 2**25)
    looks = iter([False, True])
    assert sha256(tmp_path / "big", lambda: next(looks)) == hashlib.sha256(b"x" * 2**24).hexdigest()
