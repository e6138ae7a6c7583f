"""Where tasks run: the protocol, and the engine that is one process and one loop."""

import traceback
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from reelbank.jobs.worker import RecipeError, Task, Worker


@dataclass(frozen=True, slots=True)
class Outcome:
    """A task that came to its end."""

    task: Task
    answer: Any = None
    """What the worker answered; None where it failed."""
    error: str | None = None
    """One sentence where the task raised: a fault of the environment."""
    trace: str | None = None
    """Where in the code it was raised; kept with the run, not shown."""
    is_hopeless: bool = False
    """The recipe is at fault: every other part would fail likewise."""
    crashed: bool = False
    """The worker's process died over it."""


class Engine(Protocol):
    """Runs tasks on workers."""

    def submit(self, task: Task) -> None:
        """Start a task; only while `has_room`."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether another task can be taken."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether a task is under way."""
        ...

    def next(self) -> Outcome:
        """Wait for one task to end."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class InlineEngine:
    """Everything in this process: for a debugger, a notebook, or a machine without Ray."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._tasks: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """Keep the task until `next`."""
        self._tasks.append(task)

    @property
    def has_room(self) -> bool:
        """One at a time."""
        return not self._tasks

    @property
    def is_busy(self) -> bool:
        """Whether a task waits."""
        return bool(self._tasks)

    def next(self) -> Outcome:
        """Run the task that waits."""
        task = self._tasks.popleft()
        try:
            return Outcome(task, self._worker.do(task))
        except Exception as error:  # noqa: BLE001 - the border: any fault costs this task alone
            return outcome_of(task, error, trace=traceback.format_exc())

    def close(self) -> None:
        """Nothing to let go."""


def outcome_of(task: Task, error: BaseException, *, trace: str) -> Outcome:
    """What a task that raised came to."""
    hopeless = isinstance(error, RecipeError)
    return Outcome(task, error=sentence_of(error), trace=trace, is_hopeless=hopeless)


def sentence_of(error: BaseException) -> str:
    """An exception as one line."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
