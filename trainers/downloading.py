"""One request for a file, or for what is missing of it, and every way in which it can fail, in words.

A file is asked for from a byte on by ``Range``; ``If-Range`` with the validator that came with the first
bytes makes a server whose file has changed since send all of it (RFC 9110, sections 13.1.5 and 14.2). Whether
the bytes are the right ones is for the caller to decide: a checksum is the only proof.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, getproxies, proxy_bypass

from search_space import InputError

_MAY_PASS = (408, 425, 429)  # and all of 500 and above: the server may do better in a while


class BrokenError(Exception):
    """A try that came to nothing, or to less than all, and that another one may better.

    Attributes:
        answered: whether the server had answered; where it had not, there may be no network.
    """

    def __init__(self, text: str, *, answered: bool) -> None:
        super().__init__(text)
        self.answered = answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server sends.

    Attributes:
        start: the first byte of the file that comes.
        total: bytes of the whole file; None where the server does not say.
        validator: names this version of the file, for ``If-Range``; None where the server has none.
    """

    start: int
    total: int | None
    validator: str | None
    url: str
    timeout: float
    body: http.client.HTTPResponse

    def read(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end, which a cut connection looks like.

        Raises:
            BrokenError: the connection broke, or was silent for too long.
        """
        try:
            return self.body.read1(most)
        except (OSError, http.client.HTTPException) as error:
            raise _in_words(self.url, error, self.timeout, answered=True) from None


def check_url(url: str) -> str:
    """The address, if a file can be fetched from it.

    Raises:
        InputError: it is no https or http address, or holds a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"--url is no address: {error}") from None
    if parts.scheme not in ("https", "http") or not host or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise InputError(f"--url must be an address such as https://HOST/FILE, got {url!r}")
    if "@" in parts.netloc:
        raise InputError("--url must hold no user name and no password")
    return url


def shown(url: str) -> str:
    """The address without its query, which may hold a key."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


@contextmanager
def requested(url: str, *, start: int, validator: str | None, timeout: float) -> Iterator[Answer]:
    """Ask for a file.

    Args:
        url: see `check_url`. A redirection leads to https alone, unless this is http.
        start: bytes that are there already; the answer may begin at 0 all the same.
        validator: of the version that these are of, see `Answer`; None asks without a condition.
        timeout: seconds of silence after which it is given up.

    Raises:
        InputError: it cannot be had there, whoever tries again.
        BrokenError: this time it cannot.
    """
    headers = {"User-Agent": "nas-road", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator is not None:
            headers["If-Range"] = validator
    opener = build_opener(_Redirects(secure=urlsplit(url).scheme == "https"))
    try:
        request = Request(url, headers=headers)  # noqa: S310 -- check_url
        response = opener.open(request, timeout=timeout)
    except HTTPError as error:
        with closing(error):
            raise _refusal(url, error.code, error.reason) from None
    except (OSError, http.client.HTTPException) as error:
        raise _in_words(url, error, timeout, answered=not isinstance(error, URLError)) from None
    with closing(response):
        yield _answer(url, response, start, timeout)


def _answer(url: str, response: http.client.HTTPResponse, start: int, timeout: float) -> Answer:
    headers = response.headers
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise InputError(
            f"{shown(url)}: answers with a web page, not with the file (a network's log-in page?)"
        )
    first, total = 0, _number(headers.get("Content-Length"))
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != start:
            raise InputError(
                f"{shown(url)}: was asked for bytes from {start} on and answers with others "
                f"({headers.get('Content-Range')}); another --url may do better"
            )
        first, total = start, _number(found[2])
    elif response.status != 200:
        raise _refusal(url, response.status, response.reason)
    return Answer(
        start=first, total=total, validator=_validator(headers), url=url, timeout=timeout, body=response
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _validator(headers: Any) -> str | None:
    """A strong entity tag, or the date; a weak tag is none for ``If-Range``."""
    tag = headers.get("ETag", "").strip()
    if re.fullmatch(r'"[\x21\x23-\x7e]*"', tag):
        return str(tag)
    date = headers.get("Last-Modified", "").strip()
    return date if date.isascii() and date.isprintable() and date else None


class _Redirects(HTTPRedirectHandler):
    """Follow redirections, but from https to nothing that others can read or change on the way."""

    def __init__(self, *, secure: bool) -> None:
        self.secure = secure

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """See `urllib.request.HTTPRedirectHandler`."""
        allowed = ("https",) if self.secure else ("https", "http")
        if urlsplit(newurl).scheme not in allowed:
            fp.close()
            raise InputError(
                f"{shown(req.full_url)}: leads to {shown(newurl)}, which is no {' or '.join(allowed)} address"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refusal(url: str, code: int, reason: str) -> InputError | BrokenError:
    """What a status other than success means."""
    said = " ".join(f"{code} {reason}".split())
    if code in (404, 410):
        return InputError(f"{shown(url)}: there is no such file ({said}); --url takes another address")
    if code == 416:
        return InputError(f"{shown(url)}: the file ends before what is missing ({said}): it is another file")
    if code == 407:
        return InputError(f"{shown(url)}: the proxy{_proxy(url)} wants a password ({said})")
    if code in _MAY_PASS or code >= 500:
        return BrokenError(
            f"{shown(url)}: the server cannot answer now ({said}){_through(url)}", answered=True
        )
    return InputError(
        f"{shown(url)}: the server refuses ({said}){_through(url)}; --url takes another address"
    )


def _in_words(
    url: str, error: OSError | http.client.HTTPException, timeout: float, *, answered: bool
) -> InputError | BrokenError:
    """What is wrong with a connection."""
    cause = error.reason if isinstance(error, URLError) else error
    place, host = shown(url), urlsplit(url).hostname
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"{place}: the server's certificate cannot be trusted: {cause.verify_message}"
        return InputError(text + _through(url))
    if isinstance(cause, socket.gaierror):
        known = _proxy(url) or f" {host}"
        text = f"nobody knows the name{known}: is there a network?"
    elif isinstance(cause, TimeoutError):
        text = f"nothing came for {timeout:g} s"
    elif isinstance(cause, ConnectionRefusedError):
        text = "the connection is refused"
    elif isinstance(cause, (http.client.RemoteDisconnected, ConnectionError, http.client.IncompleteRead)):
        text = "the connection was cut"
    elif isinstance(cause, http.client.HTTPException):
        text = f"the answer is no HTTP ({type(cause).__name__})"
    else:
        text = f"the connection failed: {getattr(cause, 'strerror', None) or cause}"
    return BrokenError(f"{place}: {text}{_through(url)}", answered=answered)


def _through(url: str) -> str:
    return f" (through the proxy{_proxy(url)})" if _proxy(url) else ""


def _proxy(url: str) -> str:
    """Host and port of the proxy that the environment names for this address, after a space; else nothing."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy is None or proxy_bypass(parts.netloc):
        return ""
    return f" {urlsplit(proxy if '//' in proxy else f'//{proxy}').netloc.rpartition('@')[2]}"
