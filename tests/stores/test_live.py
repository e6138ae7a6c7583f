"""The live set rule against a model that follows its words one by one."""

import itertools
import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.columns import CommitColumns
from reelbank.stores.commits import Commit, FileEntry, commit_key
from reelbank.stores.ledger import Ledger
from tests.stores.builders import unit

STAGES = ("scores", "detections", "labels:ava@1")
TABLES = ("scores", "detections", "labels")


@st.composite
def commits(draw):
    """Commits with few videos, spans, digests and sequences, so that all of them collide.

    Some move units of those before, some remove videos, some bring labels.
    """
    found = []
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["work", "work", "work", "move", "remove"]))
        sequence = draw(st.integers(1, 6))
        if kind == "move" and found:
            found.append(moved(draw(st.sampled_from(found)), number, sequence))
        elif kind == "remove":
            videos = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True))
            found.append(commit_of("removal", (), number, sequence, removes=tuple(sorted(videos))))
        else:
            stage = draw(st.sampled_from(STAGES))
            found.append(commit_of(stage, draw(units_of(stage, number)), number, sequence))
    return found


@st.composite
def units_of(draw, stage, number):
    units = []
    for video in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)):
        start = float(draw(st.integers(0, 5)))
        end = draw(st.sampled_from([1.0, 2.0, 3.0, math.inf]))
        digest = "" if stage.startswith("labels:") else draw(st.sampled_from(["d0", "d1"]))
        changes = {"start_seconds": start, "end_seconds": start + end, "digest": digest}
        details = {"number": number} if number % 2 else {}
        units.append(unit(video, stage, key=f"u{number}{video}", details=details, **changes))
    return tuple(units)


def commit_of(stage, units, number, sequence, **more):
    key = f"{number:02d}" + commit_key(stage, units)
    path = f"tables/{stage.partition(':')[0]}/{key}.{number}.parquet"
    entry = FileEntry(
        path=path,
        kind="table",
        name=stage.partition(":")[0],
        num_bytes=1,
        sha256=f"s{number}",
        num_rows=1,
    )
    return Commit(
        key=key,
        attempt=str(number),
        stage=stage,
        units=units,
        files=(entry,) if units else (),
        run="r",
        sequence=sequence,
        **more,
    )


def moved(old, number, sequence):
    if not old.units:
        return commit_of(old.stage, (), number, sequence, removes=old.removes)
    units = [replace(one, origin=one.origin or old.order) for one in old.units]
    return commit_of(old.stage, tuple(units), number, sequence)


def place(commit, part):
    """Where a unit stands in history: a moved one just after its original."""
    if part.origin is not None:
        return (*part.origin, commit.sequence, commit.key)
    return (commit.sequence, commit.key, commit.generation, 0, "")


def model(found):
    """Live (commit name, video) pairs by the words of the rule, in the slowest way."""
    removed = [(one.order, video) for one in found for video in one.removes]
    everything = [
        (one, part)
        for one in found
        for part in one.units
        if not any(
            video == part.video_id and place(one, part)[:3] < order for order, video in removed
        )
    ]
    live = set()
    for one, part in everything:
        of_video = [pair for pair in everything if pair[1].video_id == part.video_id]
        of_content = [pair for pair in of_video if pair[1].digest]
        newest = max(of_content, key=lambda pair: place(*pair), default=(one, part))
        if part.digest not in ("", newest[1].digest):
            continue
        newer = [
            other
            for commit, other in of_video
            if other.stage == part.stage and place(commit, other) > place(one, part)
        ]
        if not any(
            other.start_seconds < part.end_seconds and part.start_seconds < other.end_seconds
            for other in newer
        ):
            live.add((one.name, part.video_id))
    return live


def ledger_of(found):
    ledger = Ledger()
    for one in found:
        ledger.add(one)
    return ledger


def pairs(live):
    return {(item.commit.name, item.unit.video_id) for item in live.items}


@given(commits(), st.randoms(use_true_random=False))
def test_the_live_set_follows_the_rule_in_any_order_of_arrival(found, chance):
    shuffled = random.Random(chance.random()).sample(found, len(found))
    live = ledger_of(shuffled).live_set()
    assert {(item.commit.name, item.unit.video_id) for item in live.items} == model(found)


@given(commits())
def test_adding_one_by_one_with_looks_between_gives_the_same_as_adding_all(found):
    ledger = Ledger()
    for number, one in enumerate(found):
        ledger.add(one)
        live = ledger.live_set()
        expected = model(found[: number + 1])
        assert {(item.commit.name, item.unit.video_id) for item in live.items} == expected


@given(commits())
def test_live_units_of_a_stage_never_overlap(found):
    live = ledger_of(found).live_set()
    for video in "abc":
        for stage in STAGES:
            units = live.units(video, stage)
            assert all(
                one.end_seconds <= other.start_seconds for one, other in itertools.pairwise(units)
            )


@given(commits())
def test_files_show_all_videos_or_name_those_that_count(found):
    live = ledger_of(found).live_set()
    expected = model(found)
    for stage in STAGES:
        shown = {file.entry.path: file.only for file in live.visible(stage.partition(":")[0])}
        for one in found:
            if one.stage != stage:
                continue
            alive = {video for name, video in expected if name == one.name}
            everything = {part.video_id for part in one.units}
            path = one.files[0].path
            if not alive:
                assert path not in shown
            elif alive == everything:
                assert shown[path] is None
            else:
                assert shown[path] == tuple(sorted(alive))


@given(commits())
def test_a_commit_is_live_if_the_work_of_all_of_its_units_is(found):
    ledger = ledger_of(found)
    live = model(found)
    works = {
        (part.key, part.span)
        for one in found
        for part in one.units
        if (one.name, part.video_id) in live
    }
    for one in found:
        assert ledger.is_live(one) == all((part.key, part.span) in works for part in one.units)


@given(commits(), st.integers(0, 12), st.randoms(use_true_random=False))
def test_a_snapshot_of_some_commits_and_the_rest_give_the_same_whatever_is_gone(
    found, num_first, chance
):
    chance = random.Random(chance.random())
    base = CommitColumns(ledger_of(found[:num_first]).columns())
    gone = [one.name for one in found[:num_first] if chance.random() < 0.2]
    left = [one for one in found if one.name not in gone]
    ledger = Ledger(base, gone)
    for one in found[num_first:]:
        ledger.add(one)
    assert same(ledger.live_set(), left)
    # And once more through the columns of all that.
    assert same(Ledger(CommitColumns(ledger.columns())).live_set(), left)
    assert sorted(ledger) == sorted(one.name for one in left)
    assert all(ledger.commit(one.name) == one for one in left)
    assert ledger.max_sequence >= max((one.sequence for one in left), default=0)


def same(live, found):
    """Every way to look at a live set agrees with the model of these commits."""
    expected = model(found)
    assert pairs(live) == expected
    assert len(live) == len(expected)
    direct = ledger_of(found).live_set()
    for stage in (*STAGES, None):
        assert live.units(stage=stage) == direct.units(stage=stage)
        assert live.videos(stage) == direct.videos(stage)
        assert all(live.select(v, stage) == direct.select(v, stage) for v in "abc")
    assert all(live.newest(stage) == direct.newest(stage) for stage in STAGES)
    assert all(live.visible(table) == direct.visible(table) for table in TABLES)
    assert live.fingerprint() == direct.fingerprint()
    assert live.all_files() == direct.all_files()
    return True


@given(commits())
def test_columns_answer_as_the_commits_do(found):
    columns = CommitColumns(ledger_of(found).columns())
    live = model(found)
    assert list(columns.commits()) == [columns.commit(number) for number in range(len(columns))]
    assert {one.name for one in columns.commits()} == {one.name for one in found}
    for number, one in enumerate(columns.commits()):
        assert columns.num_units[number] == len(one.units)
        assert columns.num_live[number] == sum(name == one.name for name, _ in live)
    for video in "abcd":
        about = {columns.names[number] for number in columns.numbers_about({video})}
        units = {one.name for one in found if video in {part.video_id for part in one.units}}
        assert about == units | {one.name for one in found if video in one.removes}
    for one in found:
        path = {entry.path for entry in one.files}
        naming = {columns.names[number] for number in columns.numbers_naming(path)}
        assert naming == {other.name for other in found if path & {e.path for e in other.files}}
    assert columns.paths == {entry.path for one in found for entry in one.files}
    moved = [part for one in found for part in one.units if part.origin is not None]
    assert columns.has_moved == bool(moved)
    for run in {one.run for one in found}:
        own = Counter(
            one.stage
            for one in found
            if one.run == run
            for part in one.units
            if part.origin is None
        )
        assert Counter(columns.num_units_of(run)) == own


@given(commits())
def test_a_commit_survives_its_json(found):
    for one in found:
        assert Commit.from_json(one.to_json()) == one
        assert b"Infinity" not in one.to_json()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b'{"units": 1, "files": [], "replaces": []}'],
)
def test_a_damaged_commit_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"not a commit|Expecting|decode|is not"):
        Commit.from_json(text)


@pytest.mark.parametrize(
    "path", ["../x.parquet", "/etc/passwd", "tables/../../x.parquet", "tables/a/k.a.parquet/../x"]
)
def test_a_commit_cannot_point_outside_of_the_store(path):
    with pytest.raises(ValueError, match="not the path"):
        FileEntry(path=path, kind="table", name="scores", num_bytes=1, sha256="", num_rows=1)


def test_a_unit_with_an_empty_span_or_a_name_without_unicode_is_refused():
    with pytest.raises(ValueError, match="empty"):
        unit("a", "scores", start_seconds=2.0, end_seconds=2.0)
    with pytest.raises(ValueError, match="Unicode"):
        unit("bad\udcff.mp4", "scores")
