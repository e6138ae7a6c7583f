"""What is committed is seen, whoever writes snapshots, collects or is killed meanwhile."""

import itertools
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbank import open_store
from reelbank.stores import history, layout
from reelbank.stores.care.collect import collect
from reelbank.stores.care.verify import verify
from reelbank.stores.history import History
from reelbank.stores.ledger import Ledger
from reelbank.stores.store import Store
from tests.stores.builders import unit
from tests.stores.interleaved import Course, SteppedFiles

VIDEOS = ("a.mp4", "b.mp4", "c.mp4")
LONG_AGO = "2026-01-01T00:00:00+00:00"


@pytest.fixture(autouse=True, scope="module")
def snapshots_of_few():
    """A snapshot after every second commit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "COMMITS_PER_SNAPSHOT", 2)
        yield


def writer(store: Store, course: Course) -> Callable[[], None]:
    """Commits work of which others do some, too; now and then takes a video out."""
    chance, num_commits = course.chance, course.chance.randint(2, 7)
    works = [(chance.choice(VIDEOS), chance.randrange(3)) for _ in range(num_commits)]
    removals = {number for number in range(num_commits) if chance.random() < 0.1}

    def write() -> None:
        for number, (video, version) in enumerate(works):
            if number in removals:
                store.remove([video], run="r")
                continue
            made = unit(video, "detections", key=f"{video}{version}")
            store.commit("detections", [made], [], run="r", attempt=store.new_attempt())

    return write


def reader(course: Course, opened: Callable[[], Store], *, collects: bool) -> Callable[[], None]:
    """Looks again and again: all that was there before it looked must be seen."""

    def read() -> None:
        held = opened()
        for number in range(6):
            store = opened() if number % 2 else held
            there = {commit.name for commit in course.created}
            seen = {commit.name for commit in store.commits()}
            assert collects or there <= seen

    return read


def live_of(ledger: Ledger) -> set[tuple[object, str]]:
    return {(item.unit.span, item.unit.key) for item in ledger.live_set().items}


def fill(store: Store, course: Course) -> None:
    """Work from so long ago that a collection may take of it what does not count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_now", lambda: LONG_AGO)
        for _ in range(2):
            writer(store, course)()


def play(seed: int, *, num_collections: int, num_kills: int) -> None:
    uri = f"memory://{uuid.uuid4().hex}"
    open_store(uri, create=True)
    course, attempts = Course(seed), itertools.count()

    def opened() -> Store:
        store = Store(SteppedFiles(uri, course), "id")
        store.new_attempt = lambda: f"a{next(attempts)}"
        return store

    fill(opened(), course)
    actors = [writer(opened(), course) for _ in range(3)]
    actors += [reader(course, opened, collects=num_collections > 0) for _ in range(2)]
    for _ in range(num_collections):
        grace = {"grace_seconds": 3600.0, "superseded": course.chance.random() < 0.7}
        actors.append(lambda grace=grace: collect(opened(), **grace))
    course.run(actors, num_kills=num_kills)

    files = open_store(uri).files
    everything, quick, thorough = Ledger(), History(files), History(files, is_thorough=True)
    for commit in course.created:
        everything.add(commit)
    for one in (quick, thorough):
        one.refresh()
        assert live_of(one.ledger) == live_of(everything)
    assert thorough.ledger.names <= quick.ledger.names
    assert len({commit.name for commit in course.created}) == len(course.created)
    collect(open_store(uri), grace_seconds=3600.0, superseded=True)
    assert verify(open_store(uri)).is_sound
    again = History(files)
    again.refresh()
    assert live_of(again.ledger) == live_of(everything)


@given(st.integers(0, 10**9))
@settings(max_examples=8)
def test_whoever_looks_sees_every_commit_that_was_there(seed):
    play(seed, num_collections=0, num_kills=0)


@given(st.integers(0, 10**9))
@settings(max_examples=5)
def test_writers_may_be_killed_anywhere(seed):
    play(seed, num_collections=0, num_kills=2)


@given(st.integers(0, 10**9))
@settings(max_examples=5)
def test_a_collection_meanwhile_changes_nothing_that_counts(seed):
    play(seed, num_collections=1, num_kills=0)


@given(st.integers(0, 10**9))
@settings(max_examples=5)
def test_a_collection_may_be_killed_meanwhile(seed):
    play(seed, num_collections=1, num_kills=3)


def test_opening_looks_at_what_came_after_the_newest_snapshot_and_at_nothing_else(monkeypatch):
    store = open_store(f"memory://{uuid.uuid4().hex}", create=True)
    for number in range(9):
        made = unit(f"{number}.mp4", "detections")
        store.commit("detections", [made], [], run="r", attempt=store.new_attempt())
    files, listed, read = open_store(store.uri).files, [], []
    list_names, read_existing = files.list_names, files.read_existing
    monkeypatch.setattr(files, "list_names", lambda at: listed.append(at) or list_names(at))
    monkeypatch.setattr(files, "read_existing", lambda at: read.extend(at) or read_existing(at))
    found = History(files)
    found.refresh()
    assert len(found.ledger) == 9
    assert listed == [layout.SNAPSHOTS]
    assert len(read) == 1
    # What the last snapshot but one tells of is announced no more.
    assert len([one for one in files.list_names(layout.SNAPSHOTS) if ".json." in one]) == 3


def test_a_store_made_before_commits_were_announced_is_read_and_goes_on(tmp_path):
    store = open_store(tmp_path / "s", create=True)
    first = [unit(f"{number}.mp4", "detections") for number in range(9)]
    for made in first:
        store.commit("detections", [made], [], run="r", attempt=store.new_attempt())
    newest = f"{layout.SNAPSHOTS}/snapshot-0000000004.parquet"
    as_before = store.files.read(newest)
    store.files.remove_many(store.files.walk(layout.SNAPSHOTS))
    store.files.write_new(f"{layout.SNAPSHOTS}/0000000008.parquet", as_before)
    store.files.write_new(f"{layout.COMMITS}/epoch-0000000002", b"")
    again = open_store(tmp_path / "s")
    assert again.live().units() == first
    more = [unit(f"more {number}.mp4", "detections") for number in range(3)]
    made = [again.commit("detections", [one], [], run="r", attempt="x") for one in more]
    assert {commit.generation for commit in made} == {2}
    assert open_store(tmp_path / "s").live().units() == [*first, *more]
    assert again.files.list_names(layout.SNAPSHOTS)[-1].startswith("snapshot-")
    assert "0000000008.parquet" not in again.files.list_names(layout.SNAPSHOTS)
    assert verify(again).is_sound
