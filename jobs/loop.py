"""Keeps the workers of a run busy, and decides what becomes of a task that failed."""

from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reelbank.jobs.engine import Outcome
from reelbank.jobs.intake import TRIES
from reelbank.jobs.progress import StageProgress
from reelbank.pipeline.decided import commit_decided, given_up
from reelbank.pipeline.plan import Finish, Part, Plan, seek_point

if TYPE_CHECKING:
    from reelbank.jobs.extract import Extraction

MAX_TRACES = 20
"""Traces of failed tasks that are kept with the run."""


class Loop:
    """Parts first, then each group of videos whose parts are done."""

    def __init__(self, job: "Extraction", found: Plan, progress: StageProgress) -> None:
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
        if not self.waiting:
            return  # Nothing is due: no worker need start.
        engine = self.job.engine
        while self.waiting or engine.is_busy:
            while self.waiting and engine.has_room:
                engine.submit(self.waiting.popleft())
            self._take(engine.next())

    def _take(self, outcome: Outcome) -> None:
        task = outcome.task
        assert isinstance(task, Part | Finish)
        if outcome.trace is not None and len(self.summary.traces) < MAX_TRACES:
            self.summary.traces.append(outcome.trace)
        if outcome.is_hopeless:
            raise ValueError(outcome.error)
        if outcome.crashed:
            self._after_death(task, outcome)
        elif outcome.error is not None and len(task.spans) > 1:
            # One video's trouble must not cost its neighbours.
            self.waiting.extend(one_by_one(task))
        elif outcome.error is not None:
            self._give_up(task, outcome.error)
        elif isinstance(task, Finish):
            self.summary.num_bytes += outcome.answer.num_bytes
            for stage in task.stages:
                self.progress.advance(stage, task.length_seconds)
        else:
            self._count(task, outcome.answer)

    def _count(self, part: Part, answer: Any) -> None:
        self.summary.frames += answer.frames
        self.summary.frames_decoded += answer.frames_decoded
        self.summary.frames_used += answer.frames_used
        self.summary.num_bytes += answer.num_bytes
        self.summary.computed_seconds += part.length_seconds
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
        elif len(task.spans) > 1:
            self.waiting.extend(one_by_one(task))
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
        for stage in task.stages:
            self.progress.fail(stage, len(videos))
        self.lost |= videos
        if isinstance(task, Part):
            self.missing.subtract(span.info.video_id for span in task.spans)
            self._release()


def one_by_one(task: Part | Finish) -> list[Part | Finish]:
    """The same work, each video alone."""
    if isinstance(task, Part):
        return [replace(task, spans=(span,)) for span in task.spans]
    return [replace(task, videos=(video,)) for video in task.videos]
