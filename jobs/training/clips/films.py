"""The films of a store, as they lie on this machine, and which clips they have."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.settings import TrainSettings
from reelbank.pipeline.decode.sampling import key_times
from reelbank.stores.bank import FeatureBank
from reelbank.stores.records import VideoInfo
from reelbank.stores.store import Store

KEY_STEP_SECONDS = 1.0
"""Distance of clips where labels ask for all those of a film and there is no bank to follow."""

_ENDS = """
SELECT video_id, covered_seconds FROM videos WHERE covered_seconds IS NOT NULL ORDER BY video_id
"""


def films_of(store: Store, video_ids: Iterable[str]) -> dict[str, VideoInfo]:
    """What the store knows of these films, each of which must be where it was extracted from.

    Raises ValueError for a film that the store does not hold or could not read, and for one that
    was moved, changed or touched since.
    """
    lines = {line["video_id"]: line for line in store.sql("SELECT * FROM videos").to_pylist()}
    return {video_id: _film(video_id, lines.get(video_id)) for video_id in sorted(set(video_ids))}


def features_of(settings: TrainSettings, store: Store, bank: FeatureBank | None) -> Features:
    """Clips can be had at any time; labels that ask for all of a film get those of the bank."""
    ends = dict(zip(*(column.to_pylist() for column in store.sql(_ENDS)), strict=True))

    def times(video_id: str) -> NDArray[np.float64]:
        if bank is not None:
            return bank.times(video_id)
        return key_times(0.0, ends[video_id], KEY_STEP_SECONDS)

    asks_for_all = settings.labels.kind == "charades"
    return Features(
        videos=sorted(ends) if bank is None else bank.videos(),
        key_times=times if asks_for_all else None,
    )


def names_of(samples: Samples) -> list[str]:
    """Films of which there is a clip."""
    return [samples.videos[number] for number in np.unique(samples.video).tolist()]


def without_late(samples: Samples, films: Mapping[str, VideoInfo]) -> Samples:
    """Samples without the clips whose middle lies after the end of their film."""
    ends = np.array([films[name].end_seconds if name in films else 0.0 for name in samples.videos])
    kept = samples.times < ends[samples.video]
    if kept.all():
        return samples
    items = kept[samples.clip]
    return replace(
        samples,
        video=samples.video[kept],
        times=samples.times[kept],
        clip=(np.cumsum(kept) - 1)[samples.clip[items]],
        place=samples.place[items],
        boxes=None if samples.boxes is None else samples.boxes[items],
        targets=None if samples.targets is None else samples.targets[items],
    )


def _film(video_id: str, line: Mapping[str, Any] | None) -> VideoInfo:
    if line is None:
        raise ValueError(
            f"the store has no film {video_id!r}, of which clips are wanted; extract it, or take "
            "its labels out"
        )
    if line["codec"] is None:
        raise ValueError(
            f"film {video_id!r} could not be read when it was extracted ({line['error']}); give a "
            "whole file and extract it again, or take its labels out"
        )
    values = {one.name: line[one.name] for one in fields(VideoInfo)}
    for name in ("nominal_rate", "time_base"):
        values[name] = Fraction(values[name])
    info = VideoInfo(**values)
    _check_in_place(info)
    return info


def _check_in_place(info: VideoInfo) -> None:
    remedy = "run `reelbank extract` on where it is now; what is stored is not computed again"
    try:
        status = os.stat(info.source)
    except OSError as error:
        raise ValueError(
            f"film {info.video_id!r} is no longer at {info.source} ({error.strerror}); {remedy}"
        ) from error
    if (status.st_size, status.st_mtime_ns) != (info.num_bytes, info.modified_ns):
        raise ValueError(
            f"film {info.video_id!r}: {info.source} was changed or touched since it was extracted; "
            f"{remedy}"
        )
