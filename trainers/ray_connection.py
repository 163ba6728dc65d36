"""To be connected to Ray: a private instance on this machine, or a cluster that is there.

A private instance listens on the loopback device only. Ray has that switch for macOS and Windows
(``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0``), reads it when it is imported, and replaces a loopback address it is
given by the public one; so the switch is set where Ray keeps it, and what came of it is looked at.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._raylet import Config  # type: ignore[attr-defined]

from search_space import InputError

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
_AUTHENTICATION = "RAY_AUTH_MODE"
# what a gRPC server, as Ray's is, answers with a settings frame: HTTP/2's preface and empty settings
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS = 4  # type of the frame, its fourth byte


@contextmanager
def private_instance(cpus: int | None) -> Iterator[None]:
    """Ray on this machine alone, for as long as the body runs.

    Args:
        cpus: processors it may give away; None is all there are.

    Raises:
        InputError: Ray does not start here.
    """
    with _kept_authentication():
        try:
            with _loopback(), _own_session():
                _init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=512 * 2**20,
                )
        except Exception as error:  # it wants to write to the home and to /tmp/ray, and shared memory
            logger.debug("Ray does not start", exc_info=True)
            ray.shutdown()
            raise InputError(f"Ray does not start on this machine: {' '.join(str(error).split())}") from None
        try:
            listens = ray.util.get_node_ip_address()
            if not ipaddress.ip_address(listens).is_loopback:
                logger.warning(
                    "Ray listens on %s, which others may reach; a firewall should close it", listens
                )
            yield
        finally:
            ray.shutdown()


@contextmanager
def joined_cluster(address: str) -> Iterator[None]:
    """Be a driver on a cluster for as long as the body runs; the cluster goes on after that.

    Args:
        address: ``auto``, or ``HOST:PORT`` of its head; see `trainers.factory.check_address`.

    Raises:
        InputError: none answers there, or this machine is no node of it, or it has other versions.
    """
    if ray.is_initialized():
        yield
        return
    place = _place_of(address)
    _check_answer(address, place)
    with _kept_authentication():
        try:
            with _silent():
                _init(address=address)
        except Exception as error:
            ray.shutdown()
            raise InputError(f"--address {address}: {_why_not(error, place)}") from None
        try:
            nodes = sum(node["Alive"] for node in ray.nodes())
            logger.warning("joined the Ray cluster at %s, of %d node%s", place, nodes, "s" * (nodes != 1))
            yield
        finally:
            ray.shutdown()


@contextmanager
def _own_session() -> Iterator[None]:
    """Ray's processes do not get what a batch system or `timeout` sends to our group.

    We end them when we have stopped.
    """
    popen = services.ConsolePopen

    class OwnSession(popen):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, start_new_session=True, **options)

    services.ConsolePopen = OwnSession
    try:
        yield
    finally:
        services.ConsolePopen = popen


@contextmanager
def _kept_authentication() -> Iterator[None]:
    """Ray turns its token on by an environment variable, for this process and all that it starts; afterwards
    the process is as it was."""
    had = _AUTHENTICATION in os.environ
    try:
        yield
    finally:
        if not had and os.environ.pop(_AUTHENTICATION, None) is not None:
            Config.initialize("")  # reads it again


@contextmanager
def _silent() -> Iterator[None]:
    """Ray's own warnings of a connection that fails go past Python to standard error; we say one line."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _why_not(error: Exception, place: str) -> str:
    """In one line, why a cluster that answers cannot be joined; other versions in Ray's own words."""
    reason = str(error.__cause__ or error)
    if "InvalidAuthToken" in reason or "AuthenticationError" in type(error).__name__:
        wanted = "RAY_AUTH_MODE=token, and ~/.ray/auth_token as on its head"
        return f"the cluster at {place} wants its token: {wanted}"
    if "No node info found" in reason:
        return "this machine is not one of its nodes; run the command on one that is"
    if "connect to GCS" in reason:
        return f"no Ray cluster answers at {place}"
    return " ".join(reason.split())


def _init(**options: Any) -> None:
    """`ray.init`, quiet, and with our signal handlers as they were: Ray would end this process at SIGTERM."""
    for name in ("ray", "ray.tune", "ray._private"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    main = threading.current_thread() is threading.main_thread()
    handlers = [(n, signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)] if main else []
    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)


@contextmanager
def _loopback() -> Iterator[None]:
    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _place_of(address: str) -> str:
    """``HOST:PORT``; of ``auto`` what RAY_ADDRESS says, or the last ``ray start`` on this machine.

    Ray itself would go on to search the processes of this machine, and might find another's private instance.
    """
    if address != "auto":
        return address
    from ray._private.utils import read_ray_address

    place = os.environ.get("RAY_ADDRESS", "auto")
    if place in ("", "auto"):
        place = read_ray_address()
    if not place:
        raise InputError(
            "--address auto: no Ray cluster runs on this machine; ray start makes it a node of one, "
            "and without --address a search has this machine"
        )
    return place


def _check_answer(address: str, place: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = place.rpartition(":")
    asked = f"--address {address}" if address == place else f"--address {address}, which is {place}"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
                return
            connection.sendall(_PREFACE)
            answer = b""
            with contextlib.suppress(TimeoutError):
                while len(answer) < 4 and (more := connection.recv(64)):
                    answer += more
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise InputError(f"{asked}: no Ray cluster answers there: {reason}") from None
    if answer[3:4] != bytes([_SETTINGS]):
        raise InputError(f"{asked}: what answers there is no Ray cluster")
