"""What an extractor process does; knows nothing of where it runs.

Tasks and answers are small records. Frames never leave the process.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from reelbank.jobs.sources import Source
from reelbank.pipeline.decode.probe import probe
from reelbank.pipeline.plan import Finish, Part, PartSummary
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.stages import StageSpec, stage_specs
from reelbank.stores.records import ContentError, Probe
from reelbank.stores.store import Store, open_store

if TYPE_CHECKING:
    from reelbank.pipeline.models import Models


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """Look at files: content digest, stream, clock, key frames."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be probed."""

    source: Source
    error: str
    digest: str | None
    """SHA-256 of the bytes; None where not even these could be read: a fault of the environment."""
    num_bytes: int | None = None
    modified_ns: int | None = None
    final: bool = True
    """Whether another try would end alike."""


class RecipeError(ValueError):
    """What the recipe names (weights, a detector) cannot be had: no video could be extracted."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Answer to a finish."""

    num_bytes: int


Task = ProbeTask | Part | Finish


class Worker:
    """Runs tasks of one run against one store, keeping its networks between them."""

    def __init__(
        self, store_uri: str, settings: ExtractSettings, run: str, *, accept_decoder: bool = False
    ) -> None:
        self.settings = settings
        self.run = run
        self.store_uri = store_uri
        self.accept_decoder = accept_decoder

    @cached_property
    def store(self) -> Store:
        """The store, opened when the first part or finish arrives."""
        return open_store(self.store_uri)

    @cached_property
    def specs(self) -> dict[str, StageSpec]:
        """Stages of the recipe; weights files are digested for them, once."""
        return stage_specs(self.settings, accept_decoder=self.accept_decoder)

    @cached_property
    def models(self) -> "Models":
        """Networks; torch is imported when the first part arrives."""
        # Threads of arithmetic that wait in a busy loop would take the cores from the decoder.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from reelbank.pipeline.models import Models

        return Models(self.settings)

    def do(self, task: Task) -> list[Probe | Unreadable] | PartSummary | Finished:
        """Run one task to its end."""
        if isinstance(task, ProbeTask):
            return [look_at(source) for source in task.sources]
        try:
            specs = self.specs
            if isinstance(task, Part):
                self.models.load(task.stages)
        except (ValueError, ImportError, RuntimeError, AssertionError) as error:
            # The last two: what torch raises for a device that is not there.
            raise RecipeError(str(error)) from error
        if isinstance(task, Finish):
            from reelbank.pipeline.finish import finish_videos

            written = finish_videos(
                task, store=self.store, settings=self.settings, specs=specs, run=self.run
            )
            return Finished(written)
        from reelbank.pipeline.extract import extract_part

        return extract_part(
            task,
            models=self.models,
            store=self.store,
            settings=self.settings,
            specs=specs,
            run=self.run,
        )


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file."""

    digest: str
    """SHA-256, hexadecimal."""
    num_bytes: int
    modified_ns: int


def look_at(source: Source) -> Probe | Unreadable:
    """Digest and probe one file; what goes wrong is an answer, not an exception."""
    content = content_of(source)
    if isinstance(content, Unreadable):
        return content
    try:
        return probe(
            source.path,
            video_id=source.video_id,
            source=source.path,
            digest=content.digest,
            num_bytes=content.num_bytes,
            modified_ns=content.modified_ns,
        )
    except ContentError as error:
        return Unreadable(
            source, str(error), content.digest, content.num_bytes, content.modified_ns
        )
    except OSError as error:
        return Unreadable(source, f"cannot be read: {error.strerror or error}", None)


def content_of(source: Source) -> Content | Unreadable:
    """Read a file to its end."""
    try:
        # Opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(os.stat(source.path).st_mode):
            return Unreadable(source, "is no regular file; remove it from the INPUT", None)
        with open(source.path, "rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return Unreadable(source, f"cannot be read: {error.strerror or error}", None)
    return Content(digest, status.st_size, status.st_mtime_ns)
