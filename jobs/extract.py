"""One extraction from inputs to summary: take in, plan, run the parts, finish the videos."""

import os
import platform
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console

import reelbank
from reelbank.jobs.engine import Engine, InlineEngine
from reelbank.jobs.intake import Intake, probe_all, take_in
from reelbank.jobs.loop import Loop
from reelbank.jobs.progress import StageProgress
from reelbank.jobs.sources import Source, find_sources
from reelbank.jobs.summary import Summary, committed_spans
from reelbank.jobs.worker import Unreadable, Worker
from reelbank.pipeline.decided import commit_decided, unreadable
from reelbank.pipeline.plan import Decision, Finish, Part, Plan, plan
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.stages import naming_base, stage_specs, unit_bases, unit_key
from reelbank.stores import layout
from reelbank.stores.care.compact import compact_if_due
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
        self.settings = request.settings.resolved().with_absolute_paths()
        self.console = console
        self.specs = stage_specs(self.settings, accept_decoder=request.accept_decoder)
        self.sources = find_sources(request.inputs)[: request.limit]
        self.run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        self.store = _open(request.store, dry=dry)
        self.summary = Summary(run=self.run, store=request.store)
        self.intake = Intake()

    @cached_property
    def engine(self) -> Engine:
        """Started on first use: a run with nothing to do needs no workers."""
        arguments = (self.store.uri, self.settings, self.run)
        accept_decoder = self.request.accept_decoder
        if self.request.engine == "inline":
            return InlineEngine(Worker(*arguments, accept_decoder=accept_decoder))
        from reelbank.jobs.ray_engine import RayEngine

        return RayEngine(*arguments, accept_decoder=accept_decoder)

    def close(self) -> None:
        """Let the workers go."""
        if "engine" in self.__dict__:
            self.engine.close()

    def plan(self) -> Plan:
        """Take the sources in and find what is to be done; work that was superseded and fits
        again becomes visible again instead.
        """
        self.intake = take_in(self.sources, self._known_videos(), lambda: self.engine, self.console)
        found = self._plan()
        if self.dry:
            return replace(found, decisions=self._with_revivals(found))
        return self._plan() if self._revive(found) else found

    def _known_videos(self) -> dict[str, dict[str, Any]]:
        """Lines of the table `videos` by id, of videos that today's decoder has seen."""
        if self.request.rehash:
            return {}
        lines = {
            line["video_id"]: line for line in self.store.sql("SELECT * FROM videos").to_pylist()
        }
        which = "any_decoder_base" if self.request.accept_decoder else "base"
        return {
            unit.video_id: lines[unit.video_id]
            for unit in self.store.live().units(stage="video")
            if unit.video_id in lines
            and unit.details.get(which) == self._bases(unit.digest).get(which)
        }

    def _bases(self, digest: str) -> dict[str, str]:
        return unit_bases("video", self.specs, digest)

    def _plan(self) -> Plan:
        return plan(
            # In one order whatever was probed first: the same videos share parts after a kill.
            sorted(self.intake.infos.values(), key=lambda info: info.video_id),
            specs=self.specs,
            live=self.store.live(),
            part_seconds=self.settings.part_minutes * 60,
            any_decoder=self.request.accept_decoder,
        )

    def _revive(self, found: Plan) -> bool:
        """Settings that went from A to B and back to A find the work of the first A still there."""
        before = self._committed_keys()
        keys = [key for work in found.works for key in self._commit_keys(work) if key in before]
        revived = [self.store.revive(key, run=self.run) for key in keys]
        return any(commit is not None for commit in revived)

    def _with_revivals(self, found: Plan) -> tuple[Decision, ...]:
        """The decisions, with what a real run would revive as reused."""
        before = self._committed_keys()
        revived = {
            (span.info.video_id, stage)
            for work in found.works
            for stage, key in zip(work.stages, self._commit_keys(work), strict=True)
            if key in before
            for span in work.spans
        }
        return tuple(
            replace(one, action="reuse", reason="superseded before, and fits again")
            if (one.video_id, one.stage) in revived
            else one
            for one in found.decisions
        )

    def _committed_keys(self) -> set[str]:
        # All at once: asking the store key by key would list its commits for each.
        return self.store.committed_keys()

    def _commit_keys(self, work: Part | Finish) -> list[str]:
        return [
            self.store.commit_key(
                stage,
                [
                    unit_key(
                        naming_base(unit_bases(stage, self.specs, span.info.digest)),
                        span.info.video_id,
                        span.start_seconds,
                        span.end_seconds,
                    )
                    for span in work.spans
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
        state = "failed"
        try:
            totals: Counter[str] = Counter()
            for work in found.works:
                totals.update(dict.fromkeys(work.stages, work.length_seconds))
            progress = StageProgress(totals, self.console)
            with progress.shown():
                Loop(self, found, progress).run()
            self.store.describe_banks()
            self.summary.warnings += compact_if_due(self.store).problems
            self._judge()
            state = "done"
        finally:
            self.summary.wall_seconds = time.perf_counter() - began
            end = {
                "ended": _now(),
                "state": state,
                "committed": committed_spans(self.store, self.run),
                "totals": self.summary.as_json(),
            }
            self.store.write_run(self.run, record | end)
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
            base = self._bases(one.digest)["base"]
            if not any(unit.details.get("base") == base for unit in units):
                new.append(
                    unreadable(
                        video_id,
                        source=one.source.path,
                        digest=one.digest,
                        num_bytes=one.num_bytes,
                        modified_ns=one.modified_ns,
                        error=one.error,
                        final=one.final,
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
