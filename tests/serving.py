"""A web server in a thread that serves one file, well or badly, and remembers what it was asked.

With the fixtures of a small CIFAR-10 that is published there.
"""

from __future__ import annotations

import functools
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.images import archive_of, cifar
from trainers.fetching import PUBLISHED, Published, fetch

ARCHIVE = "cifar-10-binary.tar.gz"
quickly = functools.partial(fetch, timeout=0.3, waits=(0.01, 0.01))
Act = Callable[["Handler"], None]


class FileServer(ThreadingHTTPServer):
    """Serves `content`; the first requests as `acts` say, all others well.

    Attributes:
        seen: the headers of each request, in order.
        released: what `stalled` waits for.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.acts: list[Act] = []
        self.seen: list[dict[str, str]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mirror/file.tar.gz"

    @property
    def ranges(self) -> list[str | None]:
        """The bytes that each request asked for."""
        return [headers.get("Range") for headers in self.seen]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is none of our errors."""


class Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers))
        act = self.server.acts.pop(0) if self.server.acts else served()
        act(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def served(
    upto: int | None = None,
    *,
    ranges: bool = True,
    length: bool = True,
    validator: str = "ETag",
    end: Act | None = None,
) -> Act:
    """Serve the file, but stop after so many bytes of it; `end` is what comes then."""

    def act(handler: Handler) -> None:
        content = handler.server.content
        versions = {"ETag": tag(content), "Last-Modified": "Wed, 03 Jun 2009 00:00:00 GMT", "": ""}
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        partial = ranges and asked is not None and condition in (None, versions[validator])
        start = int(asked[1]) if asked is not None and partial else 0
        if partial and start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if partial else 200)
        if partial:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if length:
            handler.send_header("Content-Length", str(len(content) - start))
        if validator:
            handler.send_header(validator, versions[validator])
        handler.end_headers()
        handler.wfile.write(content[start:] if upto is None else content[start:upto])
        if end is not None:
            end(handler)

    return act


def stalled(handler: Handler) -> None:
    handler.server.released.wait(60)


def reset(handler: Handler) -> None:
    """End the connection as a machine that fell over does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def status(code: int, **headers: str) -> Act:
    def act(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return act


def raw(answer: bytes) -> Act:
    return lambda handler: handler.wfile.write(answer) and None


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    server = FileServer(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small CIFAR-10 as it is published."""
    root = tmp_path_factory.mktemp("published")
    cifar(root / "s" / "cifar-10-batches-bin")
    return archive_of(root / "s", root / ARCHIVE).read_bytes()


@pytest.fixture
def item(archive: bytes) -> Published:
    """It in the table."""
    return replace(PUBLISHED["cifar10"], size=len(archive), sha256=hashlib.sha256(archive).hexdigest())


@pytest.fixture
def server(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Serves it, and no proxy is in the way."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving(archive) as server:
        yield server
