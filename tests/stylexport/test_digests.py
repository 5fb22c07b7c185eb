"""A digest is SHA-256 over the whole file, of any size."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from stylexport.common.digests import sha256_each


def test_a_digest_is_sha256_over_the_whole_file(tmp_path: Path) -> None:
    data = os.urandom(2**21 + 17)
    (tmp_path / "big").write_bytes(data)
    (tmp_path / "empty").write_bytes(b"")
    found = sha256_each(tmp_path, ["empty", "big", "absent"])
    assert found == {"big": hashlib.sha256(data).hexdigest(), "empty": hashlib.sha256(b"").hexdigest()}
    assert sha256_each(tmp_path / "big", ["inside"]) == {"big": found["big"]}
