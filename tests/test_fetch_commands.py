"""``nas data fetch``: what it prints, and every way in which it can fail as one line."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

import trainers.fetching
from nas.cli import main
from search_space import InputError
from tests.images import left
from tests.serving import ARCHIVE, quickly, raw, served, serving, stalled, status
from trainers.fetching import PUBLISHED, Published

pytest_plugins = ["tests.serving"]


@pytest.fixture
def nas(server, item: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """The exit code of ``nas data fetch cifar10``, and what it wrote."""
    monkeypatch.setitem(PUBLISHED, "cifar10", item)
    monkeypatch.setattr(trainers.fetching, "fetch", quickly)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(
            sys, "argv", ["nas", "data", "fetch", *(words or ("cifar10", "--url", server.url))]
        )
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_the_command_says_what_it_did_and_what_comes_next(nas, server, item: Published) -> None:
    code, printed, error = nas()
    assert code == 0
    assert f"data/{ARCHIVE}: fetched in 0:00, {item.size:,} bytes, SHA-256 {item.sha256}\n" in printed
    assert "cite: Krizhevsky" in printed
    assert printed.endswith(f"next: nas data prepare data/{ARCHIVE} --image-size 32 -o data/cifar10-32\n")
    assert f"{ARCHIVE}: 0.1 of 0.1 MB, " in error
    assert "there already" in nas()[1]
    code, printed, _ = nas("cifar10", "-o", "my data", "--url", f"{server.url}?key=secret", "--json")
    facts = json.loads(printed)
    assert (code, facts["file"], facts["sha256"]) == (0, f"my data/{ARCHIVE}", item.sha256)
    assert (facts["bytes"], facts["received"], facts["resumed_from"]) == (item.size, item.size, 0)
    assert facts["next"].startswith(f"nas data prepare 'my data/{ARCHIVE}' --image-size 32")


MOVED = {"Location": "file:///etc/passwd"}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (status(404), "file.tar.gz: there is no such file (404 Not Found); --url takes another address"),
        (status(403), "file.tar.gz: the server refuses (403 Forbidden)"),
        (status(206, Content_Range="bytes 5-9/10"), "was asked for bytes from 0 on and answers with others"),
        (status(302, **MOVED), "the server refuses (302 Found"),
        (status(302, Location="ftp://127.0.0.1/x"), "leads to ftp://127.0.0.1/x, which is no https or http"),
        (status(503), "the server cannot answer now (503 Service Unavailable); the same command goes on"),
        (status(200, Content_Type="text/html; charset=utf-8"), "answers with a web page, not with the file"),
        (status(200), "holds 0 bytes, cifar10 has "),
        (raw(b"\x00garbage\r\n"), "the answer is no HTTP (BadStatusLine)"),
        (raw(b""), "the connection was cut; the same command goes on"),
        (stalled, "nothing came for 0.3 s; the same command goes on"),
        (served(1_000), "the connection was cut; 0.0 of 0.1 MB are there, the same command goes on"),
    ],
)
def test_what_a_server_can_do_is_one_line(nas, server, act, message: str) -> None:
    server.acts = [act] * 3
    code, printed, error = nas()
    lines = error.splitlines()
    assert (code, printed) == (2, "")
    assert lines[-1].startswith("nas: http://127.0.0.1")
    assert message in lines[-1]
    assert all("trying again" in line for line in lines[:-1])
    assert left(Path()) == (["data"] if " MB are there" in message else [])


def test_wrong_bytes_of_the_right_number_are_removed(nas, server, archive: bytes) -> None:
    server.content = archive[:-1] + bytes([archive[-1] ^ 1])
    code, _, error = nas()
    assert code == 2
    assert f"got {hashlib.sha256(server.content).hexdigest()}; it is removed" in error.splitlines()[-1]
    assert left(Path()) == []
    server.content = archive
    assert nas()[0] == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "nas: --url must be an address such as https://HOST/FILE, got 'ftp://host/x'"),
        ("file:///etc/passwd", "nas: --url must be an address"),
        ("http://host/a b", "nas: --url must be an address"),
        ("http://[::1/x", "nas: --url is no address: Invalid IPv6 URL"),
        ("http://host:port/x", "nas: --url is no address: Port could not be cast"),
        ("https://me:word@host/x", "nas: --url must hold no user name and no password"),
        ("http://127.0.0.1:1/x", "nas: http://127.0.0.1:1/x: the connection is refused"),
        ("http://no.such.host.invalid/x?key=1", "nas: http://no.such.host.invalid/x: nobody knows the name"),
    ],
)
def test_addresses_that_lead_nowhere_are_one_line(nas, url: str, message: str) -> None:
    code, printed, error = nas("cifar10", "--url", url)
    assert (code, printed, error.count("\n")) == (2, "", 1)
    assert error.startswith(message)
    assert "key=1" not in error
    assert left(Path()) == []


def test_a_proxy_that_fails_is_named_without_its_password(nas, server, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:word@127.0.0.1:1")
    code, _, error = nas()
    assert (code, error.count("\n")) == (2, 1)
    assert "the connection is refused (through the proxy 127.0.0.1:1)" in error
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{server.server_port}")
    _, _, error = nas("cifar10", "--url", "https://no.such.host.invalid/x")
    assert "connection failed: Tunnel connection failed: 501 " in error
    assert f"(through the proxy 127.0.0.1:{server.server_port})" in error


def test_secrets_of_an_address_are_not_written(nas, server) -> None:
    server.acts = [served(1_000)] * 3
    _, _, error = nas("cifar10", "--url", f"{server.url}?key=secret")
    assert "secret" not in error
    assert all(b"secret" not in path.read_bytes() for path in Path("data").iterdir())


def test_a_full_disk_keeps_what_came(nas, server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        code, _, error = nas()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (
        code,
        error.splitlines()[-1].count("part: there is no room for 0.1 MB more (File too large)"),
    ) == (2, 1)
    assert nas()[0] == 0
    assert server.ranges == [None, "bytes=40000-"]


def test_a_disk_without_room_is_told_before_the_first_byte(nas, monkeypatch) -> None:
    monkeypatch.setattr(trainers.fetching.shutil, "disk_usage", lambda path: SimpleNamespace(free=9))
    code, _, error = nas()
    assert (code, error.count("\n")) == (2, 1)
    assert "there is no room for 0.1 MB more (the disk has less)" in error


def test_a_place_that_cannot_be_written_is_one_line(nas, server) -> None:
    Path("file").write_text("mine")
    for where, message in (("file", "nas: file: is no folder; -o names"), ("file/x", "nas: file/x/cifar")):
        code, _, error = nas("cifar10", "-o", where, "--url", server.url)
        assert (code, error.count("\n"), error.startswith(message)) == (2, 1, True), error
    if os.geteuid():
        Path("closed").mkdir(mode=0o500)
        _, _, error = nas("cifar10", "-o", "closed", "--url", server.url)
        assert error == f"nas: closed/{ARCHIVE}: cannot be written: Permission denied\n"
    assert server.seen == []


def test_two_at_once_do_not_write_one_file(nas, server) -> None:
    Path("data").mkdir()
    with FileLock(f"data/{ARCHIVE}.part.lock"):
        code, _, error = nas()
    assert (code, server.seen) == (2, [])
    assert error == (
        f"nas: data/{ARCHIVE}.part: another process is fetching it; wait for it, or give another -o\n"
    )
    assert nas()[0] == 0


# --- https -------------------------------------------------------------------------------------------------


def test_https_leads_to_https_only_and_to_whom_it_trusts(
    server, item: Published, tmp_path: Path, archive: bytes, monkeypatch
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl for a certificate")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.pem -out c.pem"
    words += " -subj /CN=x -days 2 -addext subjectAltName=DNS:localhost"
    subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    with serving(archive) as secure:
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        url = f"https://localhost:{secure.server_port}/x"
        with pytest.raises(InputError, match="certificate cannot be trusted: self.signed certificate"):
            quickly(item, tmp_path / "data", url=url)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
        secure.acts = [status(302, Location=server.url)]
        with pytest.raises(InputError, match="leads to http://127.0.0.1:.*, which is no https address"):
            quickly(item, tmp_path / "data", url=url)
        assert server.seen == []
        secure.acts = [served(30_000), status(302, Location=f"{url}y")]
        assert quickly(item, tmp_path / "data", url=url).path.read_bytes() == archive
        assert secure.ranges[-2:] == ["bytes=30000-"] * 2
    server.acts = [status(301, Location=server.url)] * 20
    with pytest.raises(InputError, match="infinite loop"):
        quickly(item, tmp_path / "other", url=server.url)
