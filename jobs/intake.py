"""From files to videos: digest and probe, remembered by size and modification time."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any

from rich.console import Console

from reelbank.jobs.engine import Engine
from reelbank.jobs.sources import Source
from reelbank.jobs.worker import ProbeTask, Task, Unreadable, content_of
from reelbank.stores.records import Probe, VideoInfo

PROBE_BATCH = 16
"""Files in one probe task."""
TRIES = 2
"""How often a task may kill its process before its video is given up."""


@dataclass(slots=True)
class Intake:
    """The videos of a run."""

    infos: dict[str, VideoInfo] = field(default_factory=dict)
    """What can be decoded, by video id."""
    keyframes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Where decoding may begin, for videos that were probed in this run."""
    unreadable: list[Unreadable] = field(default_factory=list)
    """What cannot, each with its sentence."""

    def add(self, answer: Probe | Unreadable) -> None:
        """Take one answer of a probe task."""
        if isinstance(answer, Probe):
            self.infos[answer.info.video_id] = answer.info
            self.keyframes[answer.info.video_id] = answer.keyframe_pts
        else:
            self.unreadable.append(answer)


def take_in(
    sources: Sequence[Source],
    known: Mapping[str, Mapping[str, Any]],
    engine: Callable[[], Engine],
    console: Console,
) -> Intake:
    """Videos of `sources`; files that are `known` by path, size and time are not read again.

    `known` are lines of the table `videos` by id.

    Raises ValueError where one id names files of different content.
    """
    intake = Intake()
    unknown: list[Source] = []
    for source in sources:
        stored = known.get(source.video_id)
        if stored is not None and _is_same_file(source, stored):
            _recall(source, stored, intake)
        else:
            unknown.append(source)
    if len(unknown) > PROBE_BATCH:
        console.print(f"looking at {len(unknown)} new files", highlight=False)
    answers = probe_all(unknown, engine)
    _refuse_clashes([*answers, *intake.infos.values(), *intake.unreadable])
    for answer in answers:
        intake.add(answer)
    return intake


def probe_all(sources: Sequence[Source], engine: Callable[[], Engine]) -> list[Probe | Unreadable]:
    """Answers for all `sources`; a file that kills its process twice is unreadable."""
    waiting = deque(
        ProbeTask(tuple(sources[start : start + PROBE_BATCH]))
        for start in range(0, len(sources), PROBE_BATCH)
    )
    answers: list[Probe | Unreadable] = []
    deaths: Counter[Task] = Counter()
    while waiting or (sources and engine().is_busy):
        while waiting and engine().has_room:
            engine().submit(waiting.popleft())
        outcome = engine().next()
        task = outcome.task
        deaths[task] += outcome.crashed
        assert isinstance(task, ProbeTask)
        if outcome.error is None:
            answers += outcome.answer
        elif len(task.sources) > 1:
            waiting += [ProbeTask((source,)) for source in task.sources]
        elif outcome.crashed and deaths[task] < TRIES:
            waiting.append(task)
        else:
            answers.append(_gave_up(task.sources[0], outcome.error))
    return answers


def _gave_up(source: Source, error: str) -> Unreadable:
    """A file that kills whoever probes it; reading its bytes is harmless."""
    content = content_of(source)
    if isinstance(content, Unreadable):
        return content
    return Unreadable(
        source, error, content.digest, content.num_bytes, content.modified_ns, final=False
    )


def _is_same_file(source: Source, stored: Mapping[str, Any]) -> bool:
    try:
        stat = os.stat(source.path)
    except OSError:
        return False
    seen = (source.path, stat.st_size, stat.st_mtime_ns)
    return seen == (stored["source"], stored["num_bytes"], stored["modified_ns"]) and os.access(
        source.path, os.R_OK
    )


def _recall(source: Source, stored: Mapping[str, Any], intake: Intake) -> None:
    """Take a video from its line in the store."""
    if stored["codec"] is None:
        intake.unreadable.append(
            Unreadable(
                source,
                stored["error"],
                stored["digest"],
                stored["num_bytes"],
                stored["modified_ns"],
            )
        )
        return
    values = {one.name: stored[one.name] for one in fields(VideoInfo)}
    for name in ("nominal_rate", "time_base"):
        values[name] = Fraction(values[name])
    intake.infos[source.video_id] = VideoInfo(**values)


def _refuse_clashes(answers: Iterable[Probe | Unreadable | VideoInfo]) -> None:
    """One id with two contents has no meaning in a store."""
    seen: dict[str, tuple[str, str]] = {}
    for answer in answers:
        if isinstance(answer, Unreadable):
            video_id, path, digest = answer.source.video_id, answer.source.path, answer.digest or ""
        else:
            info = answer.info if isinstance(answer, Probe) else answer
            video_id, path, digest = info.video_id, info.source, info.digest
        other_path, other = seen.setdefault(video_id, (path, digest))
        if other != digest:
            raise ValueError(
                f"{other_path} and {path} would both be video {video_id!r} but differ in content; "
                "rename one, or give their common folder as INPUT"
            )
