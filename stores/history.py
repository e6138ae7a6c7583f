"""The commits of a store: read from the disk, and added to, one at a time."""

import datetime
import math
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from reelbank.stores import layout
from reelbank.stores.columns import CommitColumns
from reelbank.stores.commits import Commit
from reelbank.stores.files import Files
from reelbank.stores.ledger import Ledger
from reelbank.stores.live import LiveSet
from reelbank.stores.snapshots import (
    COMMITS_PER_SNAPSHOT,
    News,
    Snapshot,
    drop_old,
    newest_snapshot,
    read_news,
    write_snapshot,
)

_COMMITS_ON_TWO_PAGES = 2_000
_TRUSTED_SECONDS = 2.0
_TRIES = 5


class History:
    """What one process knows of a store's commits; the caller holds a lock around each call."""

    def __init__(self, files: Files, *, is_thorough: bool = False) -> None:
        """A thorough one lists all commits each time, whatever snapshots and announcements say."""
        self._files = files
        self._is_thorough = is_thorough
        self.ledger = Ledger()
        self._live: LiveSet | None = None
        self._num_in_snapshot = 0
        self._stamp: int | None = None
        self._listed_at = -math.inf
        self._epoch = 0
        self._news: News | None = None
        self._known = 0
        """Number of a snapshot of which the ledger has every commit."""
        self._lists_all = True
        self._is_collecting = False
        self._is_waiting = False

    def live(self) -> LiveSet:
        """What counts, as of the last refresh."""
        if self._live is None:
            self._live = self.ledger.live_set()
        return self._live

    def committed(self, key: str) -> Commit | None:
        """The newest commit of that key, live or not; None where there is none."""
        return self.ledger.newest(key)

    def create(self, draft: Commit) -> Commit | None:
        """Put the commit on disk, as a new generation where it was superseded; None: too late."""
        announced = ""
        for _ in range(_TRIES):
            previous = self.committed(draft.key)
            if previous is not None and self.ledger.is_live(previous):
                return None
            commit = replace(
                draft,
                replaces=self.ledger.overlapped(draft.units),
                created=_now(),
                # Never the name of a commit that a collection deleted: snapshots may still hold it.
                generation=max(self._epoch, 0 if previous is None else previous.generation + 1),
            )
            if commit.name == announced:
                break
            # Before the commit: no reader may miss one that is there. Under a name of its own, so
            # that nobody takes it away for another's sake.
            announced, token = commit.name, secrets.token_hex(4)
            self._files.write_new(layout.announcement_path(announced, token), b"")
            # A collection may have begun since the last look.
            self._take_in()
        created = self._files.create(layout.commit_path(commit.name), commit.to_json())
        if not created:
            self.refresh()
            there = self.ledger.commit(commit.name) if commit.name in self.ledger else None
            # A conditional put that is tried again can lose to itself.
            mine = (commit.attempt, commit.created)
            return there if there and (there.attempt, there.created) == mine else None
        self.ledger.add(commit)
        self._live = None
        if self._is_snapshot_due:
            self.write_snapshot(if_due=True)
        return commit

    @property
    def _is_snapshot_due(self) -> bool:
        # More seldom as the store grows: a snapshot holds everything.
        interval = max(COMMITS_PER_SNAPSHOT, len(self.ledger) // COMMITS_PER_SNAPSHOT // 4)
        return len(self.ledger) >= self._num_in_snapshot + interval

    def write_snapshot(self, *, if_due: bool = False, ends_collection: bool = False) -> None:
        """Write all that is known into one file, so that opening is quick; quietly nothing where
        others were first each time, or a collection is under way that this does not end.
        """
        for _ in range(_TRIES):
            news = self._take_in()
            if (if_due and not self._is_snapshot_due) or (
                self._is_collecting and not ends_collection
            ):
                return
            # Else the last one may tell of a commit that was announced after the look before.
            if news.newest == self._known:
                columns, serial = self.ledger.columns(), self._known + 1
                if write_snapshot(self._files, serial, columns, epoch=self._epoch):
                    break
        else:
            return
        drop_old(self._files, news, serial)
        # Go on from there: the next one then takes up the few commits since.
        self.ledger = Ledger(CommitColumns(columns))
        self._num_in_snapshot, self._known = len(self.ledger), serial
        self._news = replace(news, serials=(serial, *news.serials))
        self._lists_all, self._is_collecting = self._is_thorough, False

    def refresh(self) -> None:
        """Take in what others committed: one listing, and the commits not seen before.

        Nothing at all where that was done a moment ago and the folder's own stamp says that nobody
        added a file: not every file system keeps such stamps well.
        """
        stamp = self._files.settled_stamp(layout.SNAPSHOTS)
        now = time.monotonic()
        is_fresh = now - self._listed_at < _TRUSTED_SECONDS
        # What was announced and is not there yet comes without a trace in this folder.
        is_settled = is_fresh and stamp is not None and stamp == self._stamp
        if is_settled and not (self._is_waiting or self._is_thorough):
            return
        self._take_in()
        self._stamp, self._listed_at = stamp, now

    def _take_in(self) -> News:
        news = read_news(self._files)
        before = self._news
        if before is None or self._must_begin_anew(before, news):
            self._begin(news)
        elif self._lists_all:
            self._take_in_all(news)
        else:
            # All that the snapshot before tells of was announced then, or known.
            self._known = max(self._known, before.newest)
            self._add(news.announced)
        if before is not None and news.newest != before.newest:
            self._num_in_snapshot = len(self.ledger)
        self._is_waiting = not self.ledger.names.issuperset(news.announced)
        self._news = news
        return news

    def _must_begin_anew(self, before: News, news: News) -> bool:
        if news.epoch != before.epoch or news.newest < before.newest:
            return True
        if self._lists_all:
            return not self._is_thorough and news.newest > before.newest
        # Announcements may have gone before they were seen.
        return news.newest > self._known + 1

    def _begin(self, news: News) -> None:
        found = newest_snapshot(self._files, news)
        is_numbered = found is not None and found.serial > 0
        epoch = found.epoch if found is not None and is_numbered else 0
        self._epoch = max(self._epoch, epoch, news.epoch)
        self._is_collecting = epoch < news.epoch
        self._lists_all = self._is_thorough or self._is_collecting or not is_numbered
        if self._lists_all or found is None:
            self._start(found, self._listed(0 if found is None else len(found.columns)))
            self._known = news.newest
            return
        self._known = found.serial
        has_all = self.ledger.names.issuperset(found.columns.numbers)
        if self._news is None or self._news.epoch != news.epoch or not has_all:
            self._start(found, found.columns.numbers)
        self._add(news.announced)

    def _take_in_all(self, news: News) -> None:
        names = self._listed(len(self.ledger))
        if self.ledger.names - names:
            # Someone removed commits.
            self._start(newest_snapshot(self._files, news), names)
        self._add(names)
        self._known = news.newest

    def _start(self, base: Snapshot | None, names: Iterable[str]) -> None:
        """Begin anew with those commits of a snapshot that are there, and the others."""
        columns = None if base is None else base.columns
        gone = () if columns is None else columns.numbers.keys() - set(names)
        self.ledger, self._live = Ledger(columns, gone), None
        self._num_in_snapshot = 0 if columns is None else len(columns)
        self._add(names)

    def _add(self, names: Iterable[str]) -> None:
        """Read what is not known; an announced commit that never came is passed over."""
        for commit in read_commits(self._files, sorted(set(names) - self.ledger.names)):
            self.ledger.add(commit)
            self._live = None

    def _listed(self, num_expected: int) -> set[str]:
        """File names of all commits."""
        many = num_expected > _COMMITS_ON_TWO_PAGES
        files = self._files
        names = files.list_digests(layout.COMMITS) if many else files.list_names(layout.COMMITS)
        # Stores made before have the markers of collections here.
        self._epoch = max(self._epoch, *(layout.parse_epoch_name(name) or 0 for name in names), 0)
        return set(filter(layout.parse_commit_name, names))

    def begin_epoch(self) -> None:
        """Let no snapshot from before be trusted, and no commit have the name of one there is."""
        self.refresh()
        parsed = map(layout.parse_commit_name, self.ledger.names)
        highest = max((one[1] for one in parsed if one is not None), default=0)
        self._epoch = max(self._epoch, highest) + 1
        self._files.create(layout.epoch_path(self._epoch), b"")


def commit_names(files: Files) -> list[str]:
    """File names of all commits, sorted."""
    return list(filter(layout.parse_commit_name, files.list_names(layout.COMMITS)))


def read_commits(files: Files, names: Sequence[str]) -> list[Commit]:
    """Read those commits that are there; ValueError, with the remedy, for a damaged one."""
    found = files.read_existing([layout.commit_path(name) for name in names])
    paths = ((name, layout.commit_path(name)) for name in names)
    return [parse_commit(name, found[path]) for name, path in paths if path in found]


def parse_commit(name: str, data: bytes) -> Commit:
    """One commit from its file's bytes; ValueError, with the remedy, where it is damaged."""
    try:
        commit = Commit.from_json(data)
        if commit.name != name:
            raise ValueError(f"it says that it is {commit.name}")
    except ValueError as error:
        raise ValueError(
            f"{layout.commit_path(name)} is damaged ({error}); delete that file and extract again: "
            "only its stage is computed anew"
        ) from error
    return commit


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
