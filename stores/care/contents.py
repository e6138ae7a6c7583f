"""What lies in a store's folders, whoever put it there."""

import datetime

from reelbank.stores import layout
from reelbank.stores.files import Files

DATA_FOLDERS = (layout.TABLES, layout.LABELS, layout.BANKS)


def data_on_disk(files: Files) -> dict[str, list[str]]:
    """Table files and bank groups that are there, each with the files that it is made of."""
    found: dict[str, list[str]] = {}
    for folder in DATA_FOLDERS:
        for path in files.walk(folder):
            if folder != layout.BANKS:
                found[path] = [path]
            elif (group := layout.group_of(path)) is not None:
                found.setdefault(group, []).append(path)
    return found


def modified(files: Files, path: str) -> datetime.datetime | None:
    """When a file was last written, by the clock of where it lies; None where it is gone."""
    try:
        found: datetime.datetime = files.fs.modified(files.absolute(path))
    except FileNotFoundError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)
