"""Videos whose parts are all there: what was decoded, their shots, their tracks; commit."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow.compute as pc

from reelbank.pipeline.decided import Decided, Lines, commit_decided, video_line
from reelbank.pipeline.decode.health import judge
from reelbank.pipeline.plan import Finish
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.shots.decide import shots_from_scores
from reelbank.pipeline.stages import StageSpec
from reelbank.pipeline.stored import detections_of
from reelbank.pipeline.track.linker import link
from reelbank.stores.records import Detections, Failure, Shot, Track, VideoInfo
from reelbank.stores.store import Store


def finish_videos(
    finish: Finish,
    *,
    store: Store,
    settings: ExtractSettings,
    specs: Mapping[str, StageSpec],
    run: str,
) -> int:
    """Decide `finish.stages` for its videos from what their parts committed; bytes written.

    Stages are committed one after the other: tracks read the shots that are in the store.
    """
    decide = {"video": _video, "shots": _shots, "tracks": _tracks}
    num_bytes = 0
    for stage in finish.stages:
        decided = [
            Decided(video.video_id, video.digest, decide[stage](video, store, settings))
            for video in finish.videos
        ]
        num_bytes += commit_decided(stage, decided, store=store, specs=specs, run=run)
    return num_bytes


def _video(video: VideoInfo, store: Store, settings: ExtractSettings) -> Lines:
    """What decoding met over all parts: the line of `videos` and one failure for each lost span."""
    reports = decode_reports(video.video_id, store)
    lost = sorted(
        {
            (one["start_seconds"], one["end_seconds"], one["error"])
            for report in reports
            for one in report["lost"]
        }
    )
    ends = [report["end_seconds"] for report in reports if report["end_seconds"] is not None]
    firsts = [report["first_seconds"] for report in reports if report["first_seconds"] is not None]
    frames = sum(report["frames"] for report in reports)
    corrupt = sum(report["corrupt_frames"] for report in reports)
    covered = max(ends, default=0.0)
    status, error = judge(
        video, decoded=frames, corrupt=corrupt, lost_spans=len(lost), covered_seconds=covered
    )
    failures = [Failure(video.video_id, "decode", start, end, text) for start, end, text in lost]
    if status != "ok" and not failures:
        failures = [Failure(video.video_id, "decode", covered, video.end_seconds, error or status)]
    return {
        "videos": [
            video_line(video)
            | {
                "decoded_frames": frames,
                "corrupt_frames": corrupt,
                "first_seconds": min(firsts, default=None),
                "covered_seconds": covered,
                "lost_seconds": sum(end - start for start, end, _ in lost),
                "status": status,
                "error": error,
            }
        ],
        "failures": [asdict(one) for one in failures],
    }


def decode_reports(video_id: str, store: Store) -> list[dict[str, Any]]:
    """Decode reports of the spans of a video, from any one part stage: all see the same frames."""
    by_stage: dict[str, list[dict[str, Any]]] = {}
    for unit in store.live().units(video_id):
        if "decode" in unit.details:
            by_stage.setdefault(unit.stage, []).append(dict(unit.details["decode"]))
    # The stage with the most frames covers the film, should another one be incomplete.
    return max(by_stage.values(), key=lambda some: sum(one["frames"] for one in some), default=[])


def _shots(video: VideoInfo, store: Store, settings: ExtractSettings) -> Lines:
    """Cuts from all scores of the film."""
    assert settings.shots is not None
    table = store.table("scores", video.video_id).sort_by("time")
    ends = [
        one["end_seconds"] for one in decode_reports(video.video_id, store) if one["end_seconds"]
    ]
    shots = shots_from_scores(
        table["time"].to_numpy(),
        pc.fill_null(table["score"], math.nan).to_numpy(),
        settings.shots,
        rate=video.nominal_rate,
        time_base=video.time_base,
        end_seconds=max(ends, default=0.0),
    )
    return {
        "shots": [
            {"video_id": video.video_id, "shot_id": number} | asdict(shot)
            for number, shot in enumerate(shots)
        ]
    }


def _tracks(video: VideoInfo, store: Store, settings: ExtractSettings) -> Lines:
    """Links between the detections of neighbouring key times."""
    assert settings.tracks is not None
    shots = [
        Shot(**{name: line[name] for name in Shot.__slots__})
        for line in store.table("shots", video.video_id).sort_by("shot_id").to_pylist()
    ]
    times, detections = detections_of(store.table("detections", video.video_id))
    tracks = link(times, detections, shots, settings.tracks)
    found = dict(zip(times.tolist(), detections, strict=True))
    return {
        "tracks": [
            _track_line(video.video_id, number, track, found) for number, track in enumerate(tracks)
        ],
        "links": [
            {"video_id": video.video_id, "track_id": number, "time": time, "rank": rank}
            for number, track in enumerate(tracks)
            for time, rank in zip(track.times.tolist(), track.ranks.tolist(), strict=True)
        ],
    }


def _track_line(
    video_id: str, number: int, track: Track, found: Mapping[float, Detections]
) -> dict[str, Any]:
    scores = [
        found[time].scores[rank]
        for time, rank in zip(track.times.tolist(), track.ranks.tolist(), strict=True)
    ]
    return {
        "video_id": video_id,
        "track_id": number,
        "category": track.category,
        "shot_id": track.shot_id,
        "start_seconds": float(track.times[0]),
        "end_seconds": float(track.times[-1]),
        "num_detections": len(track.times),
        "mean_score": float(np.mean(scores)),
    }
