"""What an exporter is, and the one way to run it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from reelbank.stores.exporters.output import new_output
from reelbank.stores.live import LiveSet
from reelbank.stores.names import unknown
from reelbank.stores.stages import label_set_of
from reelbank.stores.store import Store


class Exporter(Protocol):
    """Writes one format; a frozen dataclass of the format's options."""

    is_folder: ClassVar[bool]
    """Whether it writes a folder, not a single file."""

    def write(self, store: Store, videos: Sequence[str], output: Path) -> Mapping[str, int]:
        """Write these videos (sorted) to a new file or into an empty folder; what was written."""


def export(
    store: Store, exporter: Exporter, output: Path, *, videos: Sequence[str] = ()
) -> dict[str, int]:
    """Write these videos (none given: all) as the exporter does; how many of what were written.

    The output appears whole at the end, and tells of the store at one moment. Raises ValueError for
    an unknown video, bank or label set, and where the output is there already.
    """
    store = store.frozen()
    chosen = selected_videos(store.live(), videos)
    with new_output(output, store, is_folder=exporter.is_folder) as path:
        return dict(exporter.write(store, chosen, path))


def selected_videos(live: LiveSet, videos: Sequence[str]) -> list[str]:
    """These videos, sorted, or all; ValueError with close names for one that is not there."""
    known = live.videos()
    if not known:
        raise ValueError("the store holds no video; extract some first")
    for video_id in videos:
        if video_id not in known:
            raise unknown("video", video_id, known)
    return sorted(set(videos)) if videos else known


def checked_labels(live: LiveSet, labels: str) -> str:
    """The 'name@version' of a label set; ValueError with close names where it is not there."""
    sets = {found for stage in live.stages() if (found := label_set_of(stage)) is not None}
    if labels not in sets:
        raise unknown("label set", labels, sets)
    return labels
