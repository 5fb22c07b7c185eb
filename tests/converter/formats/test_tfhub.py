"""A TF-Hub handle becomes a local folder, or a sentence."""

from __future__ import annotations

import io
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stylexport.common.errors import BadInput
from stylexport.converter.formats.tfhub import looks_like_handle, resolve_handle


def archive(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


MODELS = {
    "/good/1": archive({"saved_model.pb": b"\x08\x01", "variables/": b"", "variables/variables.index": b"i"}),
    "/other/1": archive({"readme": b"text"}),
}


class _Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        data = MODELS.get(path)
        self.send_response(200 if data and query == "tf-hub-format=compressed" else 404)
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_addresses_are_handles_and_paths_are_not() -> None:
    assert looks_like_handle("https://tfhub.dev/google/imagenet/mobilenet_v1_100_224/classification/5")
    assert looks_like_handle("HTTP://localhost/x")
    assert not looks_like_handle("C:/models/x")
    assert not looks_like_handle("generator.savedmodel.zip")
    with pytest.raises(BadInput, match="not a TF-Hub handle"):
        resolve_handle("generator.savedmodel.zip")


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    with pytest.raises(BadInput, match=r"pip install 'stylexport\[tensorflow\]'"):
        resolve_handle("https://tfhub.dev/x/1")


@pytest.mark.tensorflow
def test_a_handle_is_downloaded_and_unpacked(hub: str) -> None:
    folder = resolve_handle(f"{hub}/good/1")
    assert (folder / "saved_model.pb").read_bytes() == b"\x08\x01"
    assert (folder / "variables" / "variables.index").read_bytes() == b"i"


@pytest.mark.tensorflow
def test_what_cannot_be_fetched_or_is_no_savedmodel_is_named(hub: str) -> None:
    with pytest.raises(BadInput, match=r"absent/1: cannot be fetched \(.*404"):
        resolve_handle(f"{hub}/absent/1")
    with pytest.raises(BadInput, match="what came is not a SavedModel"):
        resolve_handle(f"{hub}/other/1")
