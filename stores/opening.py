"""The films of one bank: looked up in its live set, opened and fetched many at once."""

import errno
from collections.abc import Iterable, Sequence
from typing import Any

from reelbank.stores.cache import cache_from_environment
from reelbank.stores.commits import FileEntry, Unit
from reelbank.stores.files import Files
from reelbank.stores.films import MAX_WEIGHT, Film, OpenFilms, Piece
from reelbank.stores.live import LiveSet, LiveUnit
from reelbank.stores.names import unknown
from reelbank.stores.parts import OpenPart, as_dtype, group_shape, open_parts
from reelbank.stores.sources import CachedRows, fetch
from reelbank.stores.stages import bank_stage
from reelbank.stores.windows import Stretch


class BankFilms:
    """A bank's films as they were in one live set, those used last open.

    What is open does not travel to other processes; the live set does.
    """

    def __init__(
        self, name: str, files: Files, live: LiveSet, newest: LiveUnit, step: float | None
    ) -> None:
        """`step` is the key-time step, where it is known.

        The rows of all parts are given in the type of the newest one's.
        """
        self._name, self._files, self._live, self._step = name, files, live, step
        self.dim, self.dtype = group_shape(files, group_entry(newest, name).path)
        self._set_up()

    def _set_up(self) -> None:
        self._open = OpenFilms(MAX_WEIGHT)
        self.held = self._open.films
        """By video; a film found here is to be marked as recent."""
        self._cache = cache_from_environment()

    def __getstate__(self) -> dict[str, Any]:
        opened = ("_open", "held", "_cache")
        return {name: value for name, value in vars(self).items() if name not in opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_up()

    def film(self, video_id: str) -> Film:
        """The film, opened; ValueError with close names where there is none."""
        return self.films_of([video_id])[video_id]

    def films_of(self, video_ids: Iterable[str]) -> dict[str, Film]:
        """The films, opened; what must be read for that is read for all at once."""
        found: dict[str, Film] = {}
        lacking = {}
        for video_id in video_ids:
            film = self.held.get(video_id)
            if film is None:
                lacking[video_id] = self._catalog(video_id)
            else:
                film.is_recent = True
                found[video_id] = film
        if lacking:
            found |= self._open.open(lacking, self._open_parts, self._step)
        return found

    def _catalog(self, video_id: str) -> list[tuple[Unit, FileEntry]]:
        items = self._live.select(video_id, bank_stage(self._name))
        if not items:
            known = self._live.videos(bank_stage(self._name))
            raise unknown(f"video of bank {self._name!r}:", video_id, known)
        # A unit without key times has no rows.
        return [(item.unit, group_entry(item, self._name)) for item in items if item.unit.num_times]

    def _open_parts(self, entries: Sequence[FileEntry]) -> list[OpenPart]:
        try:
            parts = open_parts(self._files, self._cache, entries)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            # The process has no room for more memory maps: other banks hold theirs.
            self.held.clear()
            parts = open_parts(self._files, self._cache, entries)
        for part in parts:
            if part.dim != self.dim:
                raise ValueError(
                    f"bank {self._name!r} has parts of {part.dim} and of {self.dim} numbers in a "
                    "row; its settings changed: extract again to make it whole"
                )
        return [as_dtype(part, self.dtype) for part in parts]

    def fetch(self, windows: Iterable[Iterable[Stretch]]) -> None:
        """Bring the rows of all windows into the cache, where their parts go through it."""
        self.fetch_rows((one.piece, *one.span) for found in windows for one in found)

    def fetch_rows(self, wanted: Iterable[tuple[Piece, int, int]]) -> None:
        """As `fetch`, for rows start to stop of the groups of pieces."""
        cached = [
            (piece.part.source, start, stop)
            for piece, start, stop in wanted
            if isinstance(piece.part.source, CachedRows)
        ]
        if cached:
            fetch(self._files, cached)


def group_entry(item: LiveUnit, bank: str) -> FileEntry:
    """The group that holds the unit's rows."""
    entry = item.file("bank", bank)
    if entry is None:
        raise ValueError(f"commit {item.commit.name} names no group of bank {bank!r}; run verify")
    return entry
