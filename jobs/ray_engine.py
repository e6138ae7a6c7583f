"""Tasks on Ray actors: a local Ray by default, the cluster at RAY_ADDRESS where it is set."""

from collections import deque
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from reelbank.jobs.engine import Outcome, outcome_of
from reelbank.jobs.ray_start import start_ray
from reelbank.jobs.worker import Task, Worker
from reelbank.pipeline.settings import ExtractSettings, Resources

WORKER_ENVIRONMENT = {
    # Frames come and go by the thousand: where they are given back to the system at once, an
    # extractor's memory stays flat however long the film is (a heap that keeps 64 MB of them grows
    # by a quarter in 20 minutes of 720p). Huge pages make fetching them again cheaper.
    "MALLOC_MMAP_THRESHOLD_": "1000000",
    "MALLOC_TRIM_THRESHOLD_": "10000000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class RayEngine:
    """One actor for each extractor, one task at a time on each."""

    def __init__(
        self, store_uri: str, settings: ExtractSettings, run: str, *, accept_decoder: bool
    ) -> None:
        self._arguments = (store_uri, settings, run)
        self._accept_decoder = accept_decoder
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            start_ray(WORKER_ENVIRONMENT, {"prestart_worker_first_driver": False})
        self._settings = settings
        self._idle = deque(self._actor() for _ in range(num_extractors(settings.resources)))
        self._running: dict[Any, tuple[Any, Task]] = {}

    def _actor(self) -> Any:
        resources = self._settings.resources
        # A method that fails is answered here, with the video's name: Ray must not repeat it.
        options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "max_restarts": 0}
        worker = ray.remote(Worker).options(**options)
        return worker.remote(*self._arguments, accept_decoder=self._accept_decoder)

    def submit(self, task: Task) -> None:
        """Give the task to an actor that has nothing to do."""
        actor = self._idle.popleft()
        self._running[actor.do.remote(task)] = (actor, task)

    @property
    def has_room(self) -> bool:
        """Whether an actor has nothing to do."""
        return bool(self._idle)

    @property
    def is_busy(self) -> bool:
        """Whether a task is under way."""
        return bool(self._running)

    def next(self) -> Outcome:
        """Wait for one task to end; an actor whose process died is replaced."""
        [reference], _ = ray.wait(list(self._running), num_returns=1)
        actor, task = self._running.pop(reference)
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            self._idle.append(actor)
            return outcome_of(task, error.cause or error, trace=str(error))
        except RayActorError:
            self._idle.append(self._actor())
            return Outcome(task, error="the process that decoded it died", crashed=True)
        except RayError as error:  # Out of memory, a lost node: the actor's state is unknown.
            ray.kill(actor)
            self._idle.append(self._actor())
            return outcome_of(task, error, trace=str(error))
        self._idle.append(actor)
        return Outcome(task, answer)

    def close(self) -> None:
        """Let the actors go, and the local Ray if it was started here."""
        for actor in [*self._idle, *(actor for actor, _ in self._running.values())]:
            ray.kill(actor)
        if self._started_ray:
            ray.shutdown()


def num_extractors(resources: Resources) -> int:
    """Extractors of the recipe; by default one for each two cores, bounded by cards.

    One CPU is always left to Ray: two 1-CPU actors on two cores would let nothing else start.
    Raises ValueError where the cluster cannot hold them: they would wait for ever.
    """
    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 1.0), there.get("GPU", 0.0)
    count = resources.extractors
    if count is None:
        count = max(1, int(cpus) // 2)
        if resources.cpus:
            count = max(1, min(count, int((cpus - 1) / resources.cpus)))
        if resources.gpus:
            count = max(1, min(count, int(gpus / resources.gpus)))
    for name, wanted, found in (("cpus", resources.cpus, cpus), ("gpus", resources.gpus, gpus)):
        if count * wanted > found:
            raise ValueError(
                f"{count} extractors with resources.{name}={wanted:g} each need more than the "
                f"{found:g} {name} that Ray has; lower resources.extractors or resources.{name}"
            )
    return count
