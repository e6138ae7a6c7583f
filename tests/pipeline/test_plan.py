"""Planning: every span once, nothing that is there already, and a reason for each stage."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbank.jobs.recipe import load_recipe
from reelbank.pipeline.plan import Plan, Span, grid, halo_seconds, packs, plan, seek_point, subtract
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.stages import StageSpec, stage_base, stage_specs, unit_bases, unit_key
from reelbank.stores.commits import Unit
from reelbank.stores.records import VideoInfo
from reelbank.stores.store import Store, open_store

PART = 600.0
LENGTHS = st.floats(0.04, 20_000)


def video(video_id: str, seconds: float, **changes: Any) -> VideoInfo:
    given_values: dict[str, Any] = {
        "video_id": video_id,
        "source": f"/films/{video_id}",
        "digest": f"digest of {video_id}",
        "num_bytes": 1,
        "modified_ns": 1,
        "container": "mov",
        "codec": "h264",
        "pixel_format": "yuv420p",
        "width": 64,
        "height": 48,
        "rotation": 0,
        "sample_aspect_ratio": 1.0,
        "rate": 25.0,
        "nominal_rate": Fraction(25),
        "time_base": Fraction(1, 90_000),
        "origin_pts": 0,
        "clock": "stamps",
        "declared_frames": None,
        "declared_seconds": None,
        "num_packets": round(seconds * 25),
        "end_seconds": seconds,
    }
    return VideoInfo(**(given_values | changes))


@pytest.fixture
def store(tmp_path) -> Store:
    return open_store(tmp_path / "s", create=True)


def planned(
    store: Store, videos: list[VideoInfo], wanted: ExtractSettings, part: float = PART, **how: Any
) -> Plan:
    return plan(
        videos,
        specs=how.pop("specs", stage_specs(wanted)),
        live=store.live(),
        part_seconds=part,
        **how,
    )


def commit(
    store: Store, found: Plan, specs: dict[str, StageSpec], parts: slice = slice(None)
) -> None:
    """Commit, without files, what a run of (some parts of) this plan would."""
    works = [*found.parts[parts], *(found.finishes if parts == slice(None) else ())]
    for work in works:
        for stage in work.stages:
            units = [_unit(stage, span, specs) for span in work.spans]
            store.commit(stage, units, [], run="r", attempt=store.new_attempt())


def _unit(stage: str, span: Span, specs: dict[str, StageSpec]) -> Unit:
    digest = span.info.digest
    base = stage_base(stage, specs, digest)
    return Unit(
        video_id=span.info.video_id,
        digest=digest,
        stage=stage,
        start_seconds=span.start_seconds,
        end_seconds=span.end_seconds,
        key=unit_key(base, span.info.video_id, span.start_seconds, span.end_seconds),
        num_rows=0,
        details={
            "base": base,
            "any_decoder_base": stage_base(stage, specs, digest, any_decoder=True),
            "ingredients": dict(specs[stage].ingredients),
        },
    )


def actions(found: Plan) -> dict[str, set[str]]:
    """'reuse' and 'compute' -> names of stages."""
    return {
        action: {one.stage for one in found.decisions if one.action == action}
        for action in ("reuse", "compute")
    }


def reasons(found: Plan) -> dict[str, str]:
    return {one.stage: one.reason for one in found.decisions}


@settings(deadline=None)
@given(length=LENGTHS, part=st.floats(20.0, 3600.0))
def test_the_spans_of_a_video_follow_each_other_from_zero_without_end(length, part):
    spans = grid(length, part)
    assert spans[0][0] == 0.0
    assert spans[-1][1] == math.inf
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert all(end - start == pytest.approx(part) for start, end in spans[:-1])
    if len(spans) > 1:
        last = length - spans[-1][0]
        assert part / 2 - 1e-6 <= last <= part * 1.5 + 1e-6


@settings(deadline=None)
@given(lengths=st.lists(st.floats(0.1, 2000.0), max_size=12))
def test_short_neighbours_share_a_part_and_keep_their_order(lengths):
    videos = [video(f"{number:02}.mp4", length) for number, length in enumerate(lengths)]
    found = list(packs(videos, PART))
    assert [one for pack in found for one in pack] == videos
    for pack in found:
        assert len(pack) == 1 or sum(one.end_seconds for one in pack) <= PART + 1e-6
    for one, other in pairwise(found):
        assert sum(v.end_seconds for v in one) + other[0].end_seconds > PART


@settings(deadline=None)
@given(
    span=st.tuples(st.integers(0, 20), st.integers(1, 20)),
    covered=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=5),
)
def test_what_is_left_of_a_span_is_what_nothing_covers(span, covered):
    start, end = span[0], span[0] + span[1]
    holes = [(low, low + length) for low, length in covered]
    left = subtract((start, end), holes)
    for moment in range(start, end):
        here = any(low <= moment < high for low, high in left)
        assert here != any(low <= moment < high for low, high in holes)
    assert left == sorted(left)


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(LENGTHS, min_size=1, max_size=6))
def test_a_plan_holds_every_span_of_every_stage_just_once(lengths):
    empty = open_store("memory://plan-of-everything", create=True)
    wanted = load_recipe("default")
    specs = stage_specs(wanted)
    videos = [video(f"{number}.mp4", length) for number, length in enumerate(lengths)]
    found = planned(empty, videos, wanted, specs=specs)
    for stage in (name for name, spec in specs.items() if not spec.is_finish):
        for one in videos:
            spans = sorted(
                (span.start_seconds, span.end_seconds)
                for part in found.parts
                if stage in part.stages
                for span in part.spans
                if span.info == one
            )
            assert spans == grid(one.end_seconds, PART)
    finished = [
        (one.video_id, stage)
        for work in found.finishes
        for one in work.videos
        for stage in work.stages
    ]
    assert sorted(finished) == sorted(
        (one.video_id, stage) for one in videos for stage in ("video", "shots", "tracks")
    )
    assert {one.action for one in found.decisions} == {"compute"}
    assert {one.reason for one in found.decisions} == {"new video"}


def test_no_part_is_longer_than_one_and_a_half_parts(store):
    videos = [video("long.mp4", 10_000.0), *(video(f"{n}.mp4", 100.0) for n in range(20))]
    found = planned(store, videos, load_recipe("default"))
    assert all(part.length_seconds <= 1.5 * PART for part in found.parts)
    assert sum(part.length_seconds for part in found.parts) == pytest.approx(12_000.0)


def test_what_was_committed_is_reused_and_nothing_is_left_to_do(store):
    wanted = load_recipe("default")
    videos = [video("a.mp4", 2000.0), video("b.mp4", 5.0)]
    commit(store, planned(store, videos, wanted), stage_specs(wanted))
    again = planned(store, videos, wanted)
    assert (again.parts, again.finishes) == ((), ())
    assert actions(again)["compute"] == set()


def test_after_a_kill_only_what_was_not_committed_is_planned(store):
    wanted = load_recipe("default")
    videos = [video("a.mp4", 3000.0)]
    first = planned(store, videos, wanted)
    commit(store, first, stage_specs(wanted), slice(2, 4))
    again = planned(store, videos, wanted)
    assert set(again.parts) == set(first.parts) - set(first.parts[2:4])
    assert reasons(again)["scores"] == "some spans were not committed"
    assert again.finishes == first.finishes


CHANGES = [
    pytest.param("detector.min_score=0.7", {"detections", "tracks", "bank:person"}, id="detector"),
    pytest.param("shots.threshold=5.0", {"shots", "tracks"}, id="a threshold decodes nothing"),
    pytest.param("tracks.max_gap_seconds=9.0", {"tracks"}, id="tracks"),
    pytest.param("backbones.main.seed=3", {"bank:clip", "bank:person"}, id="another network"),
    pytest.param("banks.clip.dtype=float32", {"bank:clip"}, id="type of rows"),
    pytest.param("banks.grid={kind: grid}", {"bank:grid"}, id="a bank more"),
    pytest.param("backbones.main.batch_size=2", set(), id="the batch size"),
    pytest.param("resources.threads=7", set(), id="where it runs"),
    pytest.param("decode.threads=5", set(), id="decoder threads"),
]


@pytest.mark.parametrize(("override", "due"), CHANGES)
def test_a_changed_setting_recomputes_what_depends_on_it_and_nothing_else(store, override, due):
    before, after = load_recipe("default"), load_recipe("default", [override])
    videos = [video("a.mp4", 2000.0), video("b.mp4", 5.0)]
    commit(store, planned(store, videos, before), stage_specs(before))
    found = planned(store, videos, after)
    assert actions(found)["compute"] == due
    key = override.partition("=")[0].rpartition(".")[2]
    told = [reason for stage, reason in reasons(found).items() if stage in due]
    assert all(
        key in reason or reason.startswith("what it reads changed") or reason == "new stage"
        for reason in told
    )


def test_a_changed_file_recomputes_everything_of_that_video_alone(store):
    wanted = load_recipe("default")
    videos = [video("a.mp4", 5.0), video("b.mp4", 5.0)]
    commit(store, planned(store, videos, wanted), stage_specs(wanted))
    found = planned(store, [replace(videos[0], digest="other"), videos[1]], wanted)
    due = {one.video_id for one in found.decisions if one.action == "compute"}
    assert due == {"a.mp4"}
    assert {one.reason for one in found.decisions if one.action == "compute"} == {
        "the file's content changed"
    }


def test_another_length_of_parts_keeps_what_is_there(store):
    wanted = load_recipe("default")
    videos = [video("a.mp4", 5000.0)]
    commit(store, planned(store, videos, wanted), stage_specs(wanted))
    assert planned(store, videos, wanted, part=200.0).parts == ()


def test_another_length_of_parts_after_a_kill_fills_the_gaps_alone(store):
    wanted = load_recipe("default")
    videos = [video("a.mp4", 3000.0)]
    commit(store, planned(store, videos, wanted), stage_specs(wanted), slice(1, 2))
    spans = sorted(
        (span.start_seconds, span.end_seconds)
        for part in planned(store, videos, wanted, part=1000.0).parts
        for span in part.spans
        if "scores" in part.stages
    )
    assert spans == [(0.0, 600.0), (1200.0, 2000.0), (2000.0, math.inf)]


def test_another_decoder_recomputes_what_it_fed_unless_it_is_accepted(store):
    wanted = load_recipe("default")
    videos = [video("a.mp4", 5.0)]
    commit(store, planned(store, videos, wanted), stage_specs(wanted))
    other = {
        name: replace(spec, ingredients={**spec.ingredients, "decoder": {"libavcodec": "99"}})
        if "decoder" in spec.ingredients
        else spec
        for name, spec in stage_specs(wanted).items()
    }
    found = planned(store, videos, wanted, specs=other)
    assert actions(found)["reuse"] == set()
    assert "decoder" in reasons(found)["scores"]
    accepted = planned(store, videos, wanted, specs=other, any_decoder=True)
    assert actions(accepted)["compute"] == set()


def test_frames_that_are_counted_are_decoded_from_the_start_in_one_part(store):
    found = planned(store, [video("raw.264", 5000.0, clock="counted")], load_recipe("default"))
    [part] = found.parts
    assert [(span.start_seconds, span.end_seconds) for span in part.spans] == [(0.0, math.inf)]


def test_a_person_bank_never_straddles_stored_and_coming_detections(store):
    before = load_recipe("default", ["banks={}"])
    after = load_recipe("default")
    videos = [video("a.mp4", 3000.0)]
    commit(store, planned(store, videos, before), stage_specs(before), slice(1, 2))
    found = planned(store, videos, after, part=1500.0)
    stored = (600.0, 1200.0)
    for part in found.parts:
        if "bank:person" in part.stages:
            [span] = part.spans
            inside = stored[0] <= span.start_seconds and span.end_seconds <= stored[1]
            assert ("detections" in part.stages) != inside


@settings(deadline=None)
@given(start=st.floats(30.0, 500.0), gap=st.floats(0.5, 20.0), offset=st.floats(0.0, 5.0))
def test_decoding_begins_at_the_last_key_frame_that_is_early_enough(start, gap, offset):
    wanted = load_recipe("default")
    info = video("a.mp4", 600.0, origin_pts=round(offset * 90_000))
    keys = [info.origin_pts + round(index * gap * 90_000) for index in range(int(600 / gap))]
    pts = seek_point(Span(info, start, math.inf), keys, wanted)
    assert pts is not None
    time = (pts - info.origin_pts) / 90_000
    needed = start - halo_seconds(wanted, info.rate)
    assert time <= needed
    assert time + gap > needed - 1e-3


def test_without_sound_key_frames_decoding_begins_at_the_start():
    assert (
        seek_point(Span(video("a.mp4", 600.0), 300.0, math.inf), [], load_recipe("default")) is None
    )


@settings(max_examples=40)
@given(
    first=st.floats(100, 900),
    second=st.floats(100, 900),
    kept=st.lists(
        st.tuples(st.sampled_from(["detections", "bank:person"]), st.integers(0, 9)), max_size=8
    ),
)
def test_every_span_of_a_person_bank_has_its_detections_stored_or_from_the_same_pass(
    tmp_path_factory, first, second, kept
):
    """Whatever of both was committed before, and in parts of whatever other length."""
    store = open_store(tmp_path_factory.mktemp("plan") / "s", create=True)
    wanted, film = load_recipe("default"), video("a.mp4", 3000.0)
    specs = stage_specs(wanted)
    before = planned(store, [film], wanted, part=first)
    for stage, number in kept:
        span = before.parts[number % len(before.parts)].spans[0]
        units = [_unit(stage, span, specs)]
        store.commit(stage, units, [], run="r", attempt=store.new_attempt())
    stored = [
        (unit.start_seconds, unit.end_seconds) for unit in store.live().units("a.mp4", "detections")
    ]
    for part in planned(store, [film], wanted, part=second).parts:
        [span] = part.spans
        if "bank:person" in part.stages and "detections" not in part.stages:
            assert subtract((span.start_seconds, span.end_seconds), stored) == []


def test_what_an_accepted_decoder_made_is_not_passed_off_as_todays(store):
    specs = stage_specs(load_recipe("default"), accept_decoder=True)
    assert set(unit_bases("bank:person", specs, "content")) == {"any_decoder_base"}
    assert set(unit_bases("bank:clip", specs, "content")) == {"base", "any_decoder_base"}
