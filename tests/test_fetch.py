"""Fetching a published file: it comes whole and right or not at all, and nothing that came is lost."""

from __future__ import annotations

import functools
import hashlib
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from search_space import InputError
from tests.images import archive_of, cifar, left
from tests.serving import ARCHIVE, FileServer, quickly, reset, served, serving, stalled
from trainers import open_cache
from trainers.downloading import check_url
from trainers.fetching import PUBLISHED, Published, published
from trainers.prepare import PrepareOptions, prepare

pytest_plugins = ["tests.serving"]
ROOT = Path(__file__).parent.parent


@pytest.fixture
def get(server: FileServer, item: Published, tmp_path: Path):
    """Fetch into ``data/``."""
    return functools.partial(quickly, item, tmp_path / "data", url=server.url)


class Notes:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = self.total = 0

    def begin(self, what: str, done: int, total: int) -> None:
        self.done, self.total = done, total

    def advance(self, size: int) -> None:
        self.done += size
        assert self.done <= self.total

    def note(self, text: str) -> None:
        self.notes.append(text)


# --- what is published -------------------------------------------------------------------------------------


def test_the_table_holds_the_archives_that_prepare_reads() -> None:
    assert {name: (item.file_name, item.size) for name, item in PUBLISHED.items()} == {
        "cifar10": ("cifar-10-binary.tar.gz", 170_052_171),
        "cifar100": ("cifar-100-binary.tar.gz", 168_513_733),
    }
    for item in PUBLISHED.values():
        assert check_url(item.url).startswith("https://www.cs.toronto.edu/~kriz/")
        assert len(bytes.fromhex(item.sha256)) == 32
        assert "2009" in item.citation


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar-100", "'cifar-100' can be fetched; did you mean cifar100?"),
        ("CIFAR10", "did you mean cifar10?"),
        ("mnist", "known: cifar10, cifar100"),
        ("imagenet", "imagenet is had from image-net.org"),
        ("Tiny_ImageNet", "is had from cs231n.stanford.edu"),
        ("digits", "comes with scikit-learn"),
    ],
)
def test_other_names_say_where_to_go(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        published(name)
    assert message in str(caught.value)


# --- whole files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_what_is_fetched_is_prepared_as_it_is(server, kind: str, tmp_path: Path) -> None:
    folder = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}[kind]
    cifar(tmp_path / "s" / folder, kind)
    server.content = archive_of(tmp_path / "s", tmp_path / "a.tar.gz").read_bytes()
    sums = {"size": len(server.content), "sha256": hashlib.sha256(server.content).hexdigest()}
    told = Notes()
    fetched = quickly(replace(PUBLISHED[kind], **sums), tmp_path / "d" / "e", url=server.url, progress=told)
    assert (fetched.received, fetched.resumed_from) == (told.done, 0) == (len(server.content), 0)
    assert left(tmp_path / "d" / "e") == [PUBLISHED[kind].file_name]
    options = PrepareOptions(image_size=32, workers=1)
    facts = prepare(fetched.path, tmp_path / "c", options)
    assert (facts.source["layout"], facts.class_names) == (kind, ("cat", "dog", "ant"))
    assert facts.fingerprint == prepare(tmp_path / "s", tmp_path / "again", options).fingerprint
    data = open_cache(tmp_path / "c")
    assert (data.train.images[..., 0] == 50 * data.train.labels[:, None, None] + 7).all()


def test_what_is_there_is_checked_and_not_fetched(server, get, tmp_path: Path) -> None:
    path = get().path
    before = path.stat().st_mtime_ns
    assert get().received == 0
    assert (len(server.seen), path.stat().st_mtime_ns) == (1, before)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        InputError, match=f"{ARCHIVE}: is not cifar10: expected SHA-256 .*, got .*; move it away"
    ):
        get()
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"has [\d,]+ bytes, cifar10 has [\d,]+; move it away"):
        get()
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="is no file; move it away"):
        get()
    assert left(tmp_path / "data") == [ARCHIVE]
    assert len(server.seen) == 1


def test_a_server_that_does_not_say_how_much_it_sends(server, get) -> None:
    server.acts = [served(length=False, validator="")]
    assert get().received == len(server.content)


# --- goes on where it was ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [None, reset])
def test_a_cut_connection_goes_on_with_the_missing_bytes_only(server, get, end) -> None:
    server.acts = [served(20_000, end=end), served(40_000, end=end), served(60_000)]
    told = Notes()
    fetched = get(progress=told)
    assert fetched.path.read_bytes() == server.content
    assert fetched.received == len(server.content)
    assert server.ranges == [None, "bytes=20000-", "bytes=40000-", "bytes=60000-"]
    assert len(told.notes) == 3  # more tries than waits, as each came further
    assert "the connection was cut; trying again in 0.01 s" in told.notes[0]
    assert {headers.get("If-Range") for headers in server.seen[1:]} == {server.seen[1]["If-Range"]}


def test_the_waits_grow_and_the_last_line_says_how_far_it_came(server, get, tmp_path: Path) -> None:
    waited: list[float] = []
    server.acts = [served(30_000), *[served(30_000)] * 3]
    with pytest.raises(InputError, match=r"was cut; 0.0 of 0.1 MB are there, the same command goes on$"):
        get(waits=(0.1, 0.2, 0.4), sleep=waited.append)
    assert waited == [0.1, 0.2, 0.4]
    assert left(tmp_path / "data") == [f"{ARCHIVE}.part", f"{ARCHIVE}.part.json", f"{ARCHIVE}.part.lock"]
    assert get().resumed_from == 30_000
    assert server.ranges[-1] == "bytes=30000-"
    assert left(tmp_path / "data") == [ARCHIVE]


def test_a_stalled_server_is_left_and_asked_again(server, get) -> None:
    server.acts = [served(30_000, end=stalled)]
    told = Notes()
    assert get(progress=told).path.read_bytes() == server.content
    assert "nothing came for 0.3 s; trying again" in told.notes[0]
    assert server.ranges == [None, "bytes=30000-"]


def test_a_server_that_cannot_go_on_in_the_middle_begins_anew(server, get) -> None:
    server.acts = [served(30_000), served(ranges=False)]
    told = Notes()
    assert get(progress=told).path.read_bytes() == server.content
    assert "begins anew" in told.notes[1]
    assert server.ranges == [None, "bytes=30000-"]


def test_a_server_that_always_cuts_and_never_goes_on_ends(server, get) -> None:
    server.acts = [served(30_000, ranges=False)] * 9
    with pytest.raises(InputError, match="0.0 of 0.1 MB are there, the same command goes on"):
        get()
    assert len(server.seen) == 3


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified", ""])
def test_a_file_that_changes_in_between_is_never_mixed(server, item, get, archive, validator: str) -> None:
    server.content = bytes(len(archive))
    server.acts = [served(30_000, validator=validator)]
    with pytest.raises(InputError, match="was cut"):
        get(waits=())
    server.content = archive
    if validator == "ETag":
        assert get().path.read_bytes() == archive
        return
    server.acts = [served(validator=validator)]  # nothing tells the two files apart, but for the checksum
    with pytest.raises(
        InputError, match=f"expected SHA-256 {item.sha256}, got [0-9a-f]{{64}}; it is removed"
    ):
        get()
    assert get().path.read_bytes() == archive
    assert server.ranges == [None, "bytes=30000-", None]


def test_another_mirror_goes_on_without_a_condition(server, item, tmp_path: Path, archive: bytes) -> None:
    server.acts = [served(30_000)]
    with pytest.raises(InputError, match="was cut"):
        quickly(item, tmp_path, url=server.url, waits=())
    with serving(archive) as other:
        assert quickly(item, tmp_path, url=other.url).resumed_from == 30_000
        assert (other.ranges, other.seen[0].get("If-Range")) == (["bytes=30000-"], None)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(there=115_000, facts="")
@given(there=st.integers(1, 120_000), facts=st.sampled_from(["", "{", "[]", '{"validator": 3}']))
def test_any_part_goes_on(server, item, tmp_path: Path, archive: bytes, there: int, facts: str) -> None:
    """Of any length, a longer one than the file's too; and whatever lies beside it."""
    file = tmp_path / ARCHIVE
    file.unlink(missing_ok=True)
    part = (archive + bytes(50_000))[:there]
    file.with_name(f"{ARCHIVE}.part").write_bytes(part)
    for name in ("part.json", "part.json.new"):
        file.with_name(f"{ARCHIVE}.{name}").write_text(facts)
    server.seen.clear()
    assert quickly(item, tmp_path, url=server.url).path.read_bytes() == archive
    missing = [f"bytes={there}-"] if there < len(archive) else []  # nothing is asked where all is there
    assert server.ranges == ([None] if there > len(archive) else missing)
    assert left(tmp_path) == [ARCHIVE]


CHILD = """
import sys
import trainers.fetching as fetching
from dataclasses import replace
from nas.cli import main
size, sha256, *words = sys.argv[1:]
fetching.PUBLISHED["cifar10"] = replace(fetching.PUBLISHED["cifar10"], size=int(size), sha256=sha256)
sys.argv = ["nas", "data", "fetch", "cifar10", *words]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_process_leaves_its_part_and_the_next_asks_for_the_rest(
    server, item: Published, tmp_path: Path, number: int
) -> None:
    server.acts = [served(50_000, end=stalled)]
    words = [str(item.size), item.sha256, "-o", str(tmp_path / "data"), "--url", server.url]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # may be ignored where tests run
    )
    part = tmp_path / "data" / f"{ARCHIVE}.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size == 50_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(InputError, match="part: another process is fetching it"):
        quickly(item, tmp_path / "data", url=server.url)
    child.send_signal(number)
    _, error = child.communicate(timeout=30)
    assert child.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "Traceback" not in error
    if number == signal.SIGINT:
        assert error.endswith("interrupted; what came is kept, and the same command goes on\n")
    assert part.read_bytes() == server.content[:50_000]
    fetched = quickly(item, tmp_path / "data", url=server.url)
    assert (fetched.resumed_from, fetched.received) == (50_000, len(server.content) - 50_000)
    assert server.ranges == [None, "bytes=50000-"]
    assert fetched.path.read_bytes() == server.content
    assert left(tmp_path / "data") == [ARCHIVE]
