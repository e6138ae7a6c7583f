"""Of two who create one file exactly one wins, also where there are no hard links."""

import errno
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reelbank.stores.files import Files
from tests.shared_data import ROOT

NO_LINKS = [errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS]


@pytest.fixture(params=NO_LINKS, ids=errno.errorcode.get)
def without_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that answers a hard link as exFAT and many network folders do."""

    def link(source: str, target: str) -> None:
        raise OSError(request.param, os.strerror(request.param), source, None, target)

    monkeypatch.setattr(os, "link", link)


def test_a_file_is_created_whole_and_once(tmp_path: Path, without_links: None) -> None:
    files = Files(str(tmp_path))
    assert files.create("commits/one", b"first")
    assert not files.create("commits/one", b"second")
    assert files.read("commits/one") == b"first"
    assert files.list_names("commits") == ["one"]


def test_a_holder_that_dies_blocks_nobody(tmp_path: Path, without_links: None) -> None:
    folder = tmp_path / "commits"
    folder.mkdir()
    code = (
        "import fcntl, os, sys; folder = os.open(sys.argv[1], os.O_RDONLY)\n"
        "fcntl.flock(folder, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        created: list[bool] = []
        files = Files(str(tmp_path))
        waiting = threading.Thread(target=lambda: created.append(files.create("commits/one", b"")))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        holder.kill()
    waiting.join(10)
    assert created == [True]


def test_without_locks_too_it_is_one_sentence(
    tmp_path: Path, without_links: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    files = Files(str(tmp_path))
    with pytest.raises(OSError, match=r"neither hard links nor locks .* keep the store on another"):
        files.create("commits/one", b"first")
    assert files.list_names("commits") == []


def test_another_fault_of_a_link_stays_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="Input/output error"):
        Files(str(tmp_path)).create("one", b"first")
    assert os.listdir(tmp_path) == []


RACER = """
import errno, json, os, sys, time
from reelbank.stores.files import Files

def link(source, target):
    raise OSError(errno.EPERM, "no links here")

if sys.argv[2] == "without":
    os.link = link
files, me = Files(sys.argv[1]), sys.argv[3]
time.sleep(max(0.0, float(sys.argv[4]) - 0.002 - time.time()))
while time.time() < float(sys.argv[4]):
    pass
print(json.dumps([n for n in range(200) if files.create(f"commits/{n}", me.encode() * 100)]))
"""


@pytest.mark.parametrize("links", ["with", "without"])
def test_of_two_processes_exactly_one_wins_each_file(links: str, tmp_path: Path) -> None:
    start = str(time.time() + 2)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), links, me, start],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for me in "ab"
    ]
    wins = [json.loads(racer.communicate(timeout=100)[0]) for racer in racers]
    assert sorted(wins[0] + wins[1]) == list(range(200))
    files = Files(str(tmp_path))
    for me, won in zip("ab", wins, strict=True):
        assert all(files.read(f"commits/{number}") == me.encode() * 100 for number in won)


def test_of_many_threads_exactly_one_wins_in_memory() -> None:
    files = Files(f"memory://{secrets.token_hex(4)}")
    wins: list[int] = []

    def race(me: int) -> None:
        wins.extend(n for n in range(100) if files.create(f"commits/{n}", str(me).encode()))

    threads = [threading.Thread(target=race, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(100))
