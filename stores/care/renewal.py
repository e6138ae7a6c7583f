"""The end of a collection: snapshots and announcements that tell of what is there, and no more."""

import datetime
from collections.abc import Iterator

from reelbank.stores import layout
from reelbank.stores.care.contents import modified
from reelbank.stores.files import Files
from reelbank.stores.history import History
from reelbank.stores.snapshots import News, names_in, newest_snapshot, read_news


def renew_snapshots(files: Files, history: History, cutoff: datetime.datetime) -> None:
    """Let readers go by a snapshot again; what tells of commits that are gone leaves the disk.

    `history` is a thorough one. Announcements stay until the cutoff, because their commits may
    still come.
    """
    history.refresh()
    if _is_stale(files, read_news(files), history.ledger.names):
        # Raised again, so that no snapshot is trusted that was begun before the last deletion.
        history.begin_epoch()
        history.write_snapshot(ends_collection=True)
    news = read_news(files)
    files.remove_many(list(_superfluous(files, news, history.ledger.names, cutoff)))


def _is_stale(files: Files, news: News, names: set[str]) -> bool:
    """Whether readers could not go by the newest snapshot, or would go wrong."""
    found = newest_snapshot(files, news)
    if found is None or not found.serial:
        return news.epoch > 0 or bool(news.paths)
    told = found.columns.numbers.keys()
    is_newest = (found.serial, found.epoch) >= (news.newest, news.epoch)
    return not (is_newest and told <= names and names <= told | news.announced.keys())


def _superfluous(
    files: Files, news: News, names: set[str], cutoff: datetime.datetime
) -> Iterator[str]:
    for path in news.paths[1:]:
        told = names_in(files, path)
        if told is None or not told <= names:
            yield path
    yield from map(layout.epoch_path, news.epochs[1:])
    for name in news.announced.keys() - names:
        for path in news.announced[name]:
            written = modified(files, path)
            if written is not None and written <= cutoff:
                yield path
