"""One extraction from inputs to summary: take in, plan, run the parts, finish the videos."""

import os
import platform
import time
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console

import reelbank
from reelbank.jobs.engine import Engine, InlineEngine, Outcome
from reelbank.jobs.intake import TRIES, Intake, probe_all, take_in
from reelbank.jobs.progress import StageProgress
from reelbank.jobs.sources import Source, find_sources
from reelbank.jobs.summary import Summary
from reelbank.jobs.worker import Unreadable, Worker
from reelbank.pipeline.decided import commit_decided, given_up, unreadable
from reelbank.pipeline.plan import Finish, Part, Plan, plan, seek_point
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.stages import stage_base, stage_specs, unit_key
from reelbank.stores import layout
from reelbank.stores.files import Files
from reelbank.stores.records import VideoInfo
from reelbank.stores.store import Store, open_store

RECORDED_LIBRARIES = (
    "av duckdb numpy opencv-python-headless pyarrow ray scenedetect-headless scipy torch "
    "torchvision zarr"
).split()


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractRequest:
    """What a person asked for."""

    inputs: tuple[str, ...]
    """Files, folders, text files of paths."""
    store: str
    """Path or URI of the store; made where there is none."""
    settings: ExtractSettings
    engine: str = "ray"
    """'ray' or 'inline'."""
    limit: int | None = None
    """At most so many videos, in the order of their ids."""
    rehash: bool = False
    """Read every file again for its digest, even where size and modification time are known."""
    accept_decoder: bool = False
    """Keep what another decoder made of the same content with the same settings."""


class Extraction:
    """One run over one store; a dry one only plans."""

    def __init__(self, request: ExtractRequest, console: Console, *, dry: bool = False) -> None:
        self.dry = dry
        self.request = request
        self.settings = request.settings.resolved()
        self.console = console
        self.specs = stage_specs(self.settings)
        self.sources = find_sources(request.inputs)[: request.limit]
        self.run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        self.store = _open(request.store, dry=dry)
        self.summary = Summary(run=self.run, store=request.store)
        self.intake = Intake()
        self._has_engine = False

    @cached_property
    def engine(self) -> Engine:
        """Started on first use: a run with nothing to do needs no workers."""
        self._has_engine = True
        arguments = (self.request.store, self.settings, self.run)
        if self.request.engine == "inline":
            return InlineEngine(Worker(*arguments))
        from reelbank.jobs.ray_engine import RayEngine

        return RayEngine(*arguments)

    def close(self) -> None:
        """Let the workers go."""
        if self._has_engine:
            self.engine.close()

    def plan(self) -> Plan:
        """Take the sources in and find what is to be done; work that was superseded and fits
        again becomes visible again instead.
        """
        self.intake = take_in(
            self.sources, self.store, lambda: self.engine, rehash=self.request.rehash
        )
        found = self._plan()
        return self._plan() if not self.dry and self._revive(found) else found

    def _plan(self) -> Plan:
        return plan(
            list(self.intake.infos.values()),
            specs=self.specs,
            live=self.store.live(),
            part_seconds=self.settings.part_minutes * 60,
            any_decoder=self.request.accept_decoder,
        )

    def _revive(self, found: Plan) -> bool:
        """Settings that went from A to B and back to A find the work of the first A still there."""
        keys = [key for work in found.works for key in self._commit_keys(work)]
        revived = [self.store.revive(key, run=self.run) for key in keys]
        return any(commit is not None for commit in revived)

    def _commit_keys(self, work: Part | Finish) -> list[str]:
        spans = work.spans
        return [
            self.store.commit_key(
                stage,
                [
                    unit_key(
                        stage_base(stage, self.specs, span.info.digest),
                        span.info.video_id,
                        span.start_seconds,
                        span.end_seconds,
                    )
                    for span in spans
                ],
            )
            for stage in work.stages
        ]

    def execute(self, found: Plan) -> Summary:
        """Run what is planned; the summary counts what it led to."""
        began = time.perf_counter()
        self._commit_unreadable()
        record = self._record(found)
        self.store.write_run(self.run, record)
        totals: Counter[str] = Counter()
        for part in found.parts:
            totals.update(dict.fromkeys(part.stages, part.length_seconds))
        progress = StageProgress(totals, self.console)
        with progress.shown():
            _Loop(self, found, progress).run()
        self.store.describe_banks()
        self._judge()
        self.summary.wall_seconds = time.perf_counter() - began
        self.summary.computed_seconds = sum(part.length_seconds for part in found.parts)
        done = {"ended": _now(), "state": "done", "totals": self.summary.as_json()}
        self.store.write_run(self.run, record | done)
        return self.summary

    def _commit_unreadable(self) -> None:
        """A file whose bytes are at fault is committed as failed, once; one that could not be
        read is only reported, and tried again next time.
        """
        live = self.store.live()
        new = []
        for one in self.intake.unreadable:
            video_id = one.source.video_id
            self.summary.status[video_id] = "failed"
            self.summary.errors[video_id] = one.error
            if one.digest is None:
                continue
            units = live.units(video_id, "video")
            base = stage_base("video", self.specs, one.digest)
            if not any(unit.details.get("base") == base for unit in units):
                new.append(
                    unreadable(
                        video_id,
                        source=one.source.path,
                        digest=one.digest,
                        num_bytes=one.num_bytes,
                        modified_ns=one.modified_ns,
                        error=one.error,
                    )
                )
        if new:
            commit_decided("video", new, store=self.store, specs=self.specs, run=self.run)

    def _record(self, found: Plan) -> dict[str, Any]:
        """What runs/<run>.json says from the start."""
        return {
            "run": self.run,
            "started": _now(),
            "ended": None,
            "state": "running",
            "version": reelbank.__version__,
            "inputs": list(self.request.inputs),
            "engine": self.request.engine,
            "settings": asdict(self.settings),
            "libraries": _library_versions(),
            "machine": {
                "platform": platform.platform(),
                "python": platform.python_version(),
                "host": platform.node(),
                "pid": os.getpid(),
            },
            # Spans, because a part is split where one of its videos makes trouble.
            "planned": dict(
                Counter(stage for work in found.works for stage in work.stages for _ in work.spans)
            ),
        }

    def _judge(self) -> None:
        """Status of every video: as stored, or why it could not be committed."""
        table = self.store.sql("SELECT video_id, status, error FROM videos")
        stored = {line["video_id"]: line for line in table.to_pylist()}
        for video_id, info in self.intake.infos.items():
            self.summary.film_seconds += info.end_seconds
            if video_id in self.summary.status:
                continue
            line = stored.get(video_id, {"status": "failed", "error": "was not committed"})
            self.summary.status[video_id] = line["status"]
            if line["status"] != "ok":
                self.summary.errors[video_id] = line["error"]

    def keyframes(self, videos: Sequence[VideoInfo]) -> None:
        """Probe again the videos that are cut into parts and were taken from the store."""
        wanted = {
            video.video_id: video for video in videos if video.video_id not in self.intake.keyframes
        }
        sources = [Source(video.video_id, video.source) for video in wanted.values()]
        for answer in probe_all(sources, lambda: self.engine):
            if not isinstance(answer, Unreadable):
                self.intake.keyframes[answer.info.video_id] = answer.keyframe_pts


class _Loop:
    """Keeps the workers busy: parts first, then each group of videos whose parts are done."""

    def __init__(self, job: Extraction, found: Plan, progress: StageProgress) -> None:
        self.job, self.progress, self.summary = job, progress, job.summary
        job.keyframes(
            [part.spans[0].info for part in found.parts if part.spans[0].start_seconds > 0]
        )
        self.waiting: deque[Part | Finish] = deque(self._placed(part) for part in found.parts)
        self.missing: Counter[str] = Counter(
            span.info.video_id for part in found.parts for span in part.spans
        )
        self.lost: set[str] = set()
        self.deaths: Counter[Part | Finish] = Counter()
        self.finishes = list(found.finishes)
        self._release()

    def _placed(self, part: Part) -> Part:
        """The part with the key frames from which its spans are decoded."""
        spans = tuple(
            replace(
                span,
                start_pts=seek_point(
                    span, self.job.intake.keyframes.get(span.info.video_id, ()), self.job.settings
                ),
            )
            for span in part.spans
        )
        return replace(part, spans=spans)

    def run(self) -> None:
        """Until nothing waits and nothing runs."""
        while self.waiting or (self.job._has_engine and self.job.engine.is_busy):
            while self.waiting and self.job.engine.has_room:
                self.job.engine.submit(self.waiting.popleft())
            self._take(self.job.engine.next())

    def _take(self, outcome: Outcome) -> None:
        task = outcome.task
        assert isinstance(task, Part | Finish)
        if outcome.trace is not None:
            self.summary.traces.append(outcome.trace)
        if outcome.is_hopeless:
            raise ValueError(outcome.error)
        if outcome.crashed:
            self._after_death(task, outcome)
        elif outcome.error is not None and isinstance(task, Part) and len(task.spans) > 1:
            # One video's trouble must not cost its neighbours in the part.
            self.waiting.extend(replace(task, spans=(span,)) for span in task.spans)
        elif outcome.error is not None:
            self._give_up(task, outcome.error)
        elif isinstance(task, Finish):
            self.summary.num_bytes += outcome.answer.num_bytes
        else:
            self._count(task, outcome.answer)

    def _count(self, part: Part, answer: Any) -> None:
        self.summary.frames += answer.frames
        self.summary.frames_decoded += answer.frames_decoded
        self.summary.frames_used += answer.frames_used
        self.summary.num_bytes += answer.num_bytes
        for stage in part.stages:
            self.progress.advance(stage, part.length_seconds)
        self.missing.subtract(span.info.video_id for span in part.spans)
        self._release()

    def _release(self) -> None:
        """Let groups finish whose parts are all done, less the videos that were lost."""
        held = []
        for finish in self.finishes:
            if any(self.missing[video.video_id] > 0 for video in finish.videos):
                held.append(finish)
                continue
            kept = tuple(video for video in finish.videos if video.video_id not in self.lost)
            if kept:
                self.waiting.append(replace(finish, videos=kept))
        self.finishes = held

    def _after_death(self, task: Part | Finish, outcome: Outcome) -> None:
        """Once may be chance: try again; then one by one; then that video is given up."""
        self.deaths[task] += 1
        assert outcome.error is not None
        if self.deaths[task] < TRIES:
            self.waiting.append(task)
        elif isinstance(task, Part) and len(task.spans) > 1:
            self.waiting.extend(replace(task, spans=(span,)) for span in task.spans)
        else:
            self._give_up(task, outcome.error)
            if isinstance(task, Part):
                self._commit_death(task, outcome.error)

    def _commit_death(self, part: Part, error: str) -> None:
        row = given_up(part.spans[0].info, error)
        job = self.job
        commit_decided("video", [row], store=job.store, specs=job.specs, run=job.run)

    def _give_up(self, task: Part | Finish, error: str) -> None:
        """The videos of a task are not whole in this run; the next run tries again."""
        videos = {span.info.video_id for span in task.spans}
        for video in videos:
            self.summary.status[video] = "failed"
            self.summary.errors[video] = error
        for stage in task.stages if isinstance(task, Part) else ():
            self.progress.fail(stage, len(videos))
        self.lost |= videos
        if isinstance(task, Part):
            self.missing.subtract(span.info.video_id for span in task.spans)
            self._release()


def _open(uri: str, *, dry: bool) -> Store:
    """The store; a dry run of one that is not there plans against an empty one in memory."""
    if dry and not Files(uri).exists(layout.STORE_FILE):
        return open_store(f"memory://{uuid.uuid4().hex}", create=True)
    return open_store(uri, create=not dry)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in RECORDED_LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
