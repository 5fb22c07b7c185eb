"""A server on this machine that misbehaves on request."""

from __future__ import annotations

import email.utils
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server has and how it serves it; tests change it between requests. `requests`: the Range of each, or None."""

    data: bytes
    etag: str | None = '"one"'
    modified: str | None = email.utils.formatdate(1_600_000_000, usegmt=True)
    cut_after: int | None = None  # bytes of a body, then the line is closed
    cuts: int = 10**9  # how often
    announce: int | None = None  # Content-Length, if not the truth
    ranges: bool = True
    heed_if_range: bool = True
    content_range: str | None = None  # instead of the truth
    status: int | None = None  # instead of the file
    statuses: int = 10**9  # how often
    pause: float = 0.0  # seconds before each piece
    silent_length: bool = False
    requests: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve(behaviour: Behaviour) -> Iterator[Behaviour]:
    """Runs the server; `behaviour.url` is the address of its folder."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):  # the client may leave early
                answer(self, behaviour)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    behaviour.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield behaviour
    finally:
        server.shutdown()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, how: Behaviour) -> None:
    asked = request.headers.get("Range")
    how.requests.append(asked)
    if how.status is not None and how.statuses > 0:
        how.statuses -= 1
        request.send_error(how.status)
        return
    match = re.fullmatch(r"bytes=(\d+)-", asked or "")
    start, condition = int(match[1]) if match else 0, request.headers.get("If-Range")
    partial = bool(match) and how.ranges and (not how.heed_if_range or condition in (None, how.etag, how.modified))
    if partial and start >= len(how.data):
        request.send_error(416)
        return
    body = how.data[start:] if partial else how.data
    request.send_response(206 if partial else 200)
    if partial:
        request.send_header("Content-Range", how.content_range or f"bytes {start}-{len(how.data) - 1}/{len(how.data)}")
    for name, value in (("ETag", how.etag), ("Last-Modified", how.modified)):
        if value:
            request.send_header(name, value)
    if not how.silent_length:
        request.send_header("Content-Length", str(len(body) if how.announce is None else how.announce))
    request.end_headers()
    if how.cut_after is not None and how.cuts > 0:
        how.cuts -= 1
        body = body[: how.cut_after]
    for at in range(0, len(body), 4096):
        time.sleep(how.pause)
        request.wfile.write(body[at : at + 4096])
        request.wfile.flush()
    request.close_connection = True
