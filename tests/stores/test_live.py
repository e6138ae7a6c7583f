"""The live set rule against a model that follows its words one by one."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.commits import Commit, FileEntry, commit_key
from reelbank.stores.live import Ledger
from tests.stores.builders import unit

STAGES = ("scores", "detections")


@st.composite
def commits(draw):
    """Commits with few videos, spans, digests and sequences, so that all of them collide."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        stage = draw(st.sampled_from(STAGES))
        videos = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
        units = []
        for video in videos:
            start = float(draw(st.integers(0, 5)))
            end = draw(st.sampled_from([1.0, 2.0, 3.0, math.inf]))
            digest = draw(st.sampled_from(["d0", "d1"]))
            units.append(
                unit(
                    video,
                    stage,
                    start_seconds=start,
                    end_seconds=start + end,
                    digest=digest,
                    key=f"u{number}{video}",
                )
            )
        key = commit_key(stage, units)
        path = f"tables/{stage}/{key}.{number}.parquet"
        entry = FileEntry(
            path=path, kind="table", name=stage, num_bytes=1, sha256=f"s{number}", num_rows=1
        )
        found.append(
            Commit(
                key=key,
                attempt=str(number),
                stage=stage,
                units=tuple(units),
                files=(entry,),
                run="r",
                sequence=draw(st.integers(1, 6)),
            )
        )
    return found


def model(found):
    """Live (commit name, video) pairs by the words of the rule, in the slowest way."""
    everything = [(one, part) for one in found for part in one.units]
    live = set()
    for one, part in everything:
        of_video = [pair for pair in everything if pair[1].video_id == part.video_id]
        newest = max(of_video, key=lambda pair: (pair[0].sequence, pair[0].key))
        if part.digest != newest[1].digest:
            continue
        newer = [
            other
            for commit, other in of_video
            if other.stage == part.stage and (commit.sequence, commit.key) > (one.sequence, one.key)
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
        shown = {file.entry.path: file.only for file in live.visible(stage)}
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
def test_a_commit_is_live_if_all_of_its_units_are(found):
    ledger = ledger_of(found)
    expected = model(found)
    for one in found:
        whole = all((one.name, part.video_id) in expected for part in one.units)
        assert ledger.is_live(one) == whole


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
