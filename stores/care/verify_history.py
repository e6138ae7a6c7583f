"""Checks of the snapshots: whoever opens the store by one sees what the commits say."""

from collections.abc import Iterator, Sequence

from reelbank.stores import layout
from reelbank.stores.care.findings import Problem
from reelbank.stores.commits import Commit
from reelbank.stores.files import Files
from reelbank.stores.ledger import Ledger
from reelbank.stores.snapshots import News, Snapshot, read_news, read_snapshot

_Live = frozenset[object]


def check_snapshots(files: Files, commits: Sequence[Commit]) -> Iterator[Problem]:
    """Each snapshot against the commits; one that cannot be read is passed over, as by readers."""
    news = read_news(files)
    expected = _live(Ledger(), commits) if news.paths else frozenset()
    found = [one for path in news.paths if (one := read_snapshot(files, path)) is not None]
    problems = [problem for one in found for problem in _check(one, commits, expected)]
    if not problems and found and found[0].serial and found[0].epoch >= news.epoch:
        problems += _check_trusted(found[0], news, commits, expected)
    yield from problems


def _check(found: Snapshot, commits: Sequence[Commit], expected: _Live) -> Iterator[Problem]:
    there = {commit.name: commit for commit in commits}
    for number, name in enumerate(found.columns.names):
        if name in there and found.columns.commit(number) != there[name]:
            yield Problem(found.path, f"tells of another commit {name} than there is; delete it")
            return
    gone = found.columns.numbers.keys() - there.keys()
    if _live(Ledger(found.columns, gone), commits) != expected:
        yield Problem(found.path, "leads to other live work than the commits; delete it")


def _check_trusted(
    found: Snapshot, news: News, commits: Sequence[Commit], expected: _Live
) -> Iterator[Problem]:
    """Readers go by the newest snapshot and what is announced, and look at no other commit."""
    told = found.columns.numbers.keys() | news.announced.keys()
    for commit in commits:
        if commit.name not in told:
            path = layout.commit_path(commit.name)
            yield Problem(path, "no snapshot and no announcement tells of it; run reelbank gc")
    if _live(Ledger(found.columns), commits) != expected:
        yield Problem(
            found.path, "tells of commits that are gone, and counts them; run reelbank gc"
        )


def _live(ledger: Ledger, commits: Sequence[Commit]) -> _Live:
    for commit in commits:
        ledger.add(commit)
    return frozenset((item.unit.span, item.commit.name) for item in ledger.live_set().items)
