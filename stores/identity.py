"""What makes a folder a store, and the sentences for one that is none."""

import datetime
import json
import os
import secrets
from typing import Any

from reelbank.stores import layout
from reelbank.stores.files import TEMPORARY_PREFIX, Files
from reelbank.stores.schemas import FORMAT_VERSION

FORMAT_NAME = "reelbank"


def files_at(text: str) -> Files:
    """The files at an address; ValueError where there is no way to reach such an address."""
    try:
        return Files(text)
    except ValueError as error:
        raise ValueError(
            f"store {text!r}: no such kind of address ({error}); give a local path or s3://bucket/path"
        ) from error


def make_store(files: Files) -> None:
    """Make a store where there is none; ValueError where something else is in the way."""
    if files.exists(layout.STORE_FILE):
        _check_writable(files)
        return
    if files.is_local and os.path.lexists(files.root) and not os.path.isdir(files.root):
        raise ValueError(f"{files.uri!r} is a file, not a folder; name an empty or a new folder")
    there = [name for name in files.list_names("") if not name.startswith(TEMPORARY_PREFIX)]
    # Looked at again: another process may be making the same store.
    if there and not files.exists(layout.STORE_FILE):
        raise ValueError(
            f"{files.uri!r} is not empty and is no store (it has no {layout.STORE_FILE}); "
            "name an empty or a new folder"
        )
    record = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "id": secrets.token_hex(8),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
    }
    files.create(layout.STORE_FILE, json.dumps(record, indent=1).encode())


def _check_writable(files: Files) -> None:
    if not files.is_local:
        return
    data = (layout.TABLES, layout.BANKS, layout.LABELS)
    for folder in ("", layout.COMMITS, layout.SNAPSHOTS, layout.RUNS, *data):
        where = files.absolute(folder)
        if os.path.isdir(where) and not os.access(where, os.W_OK | os.X_OK):
            raise ValueError(f"store {files.uri!r} cannot be written: no permission for {where!r}")


def no_store(files: Files) -> ValueError:
    """The sentence for an address without a store."""
    if not files.exists(""):
        return ValueError(f"there is no store at {files.uri!r}; check the path, or extract to it")
    return ValueError(
        f"{files.uri!r} is not a store: it has no {layout.STORE_FILE}; name the store's own folder"
    )


def read_store_id(files: Files) -> str:
    """Id of the store; ValueError where its file is damaged or of a newer format."""
    record = json_object(layout.STORE_FILE, files.read(layout.STORE_FILE))
    version, store_id = record.get("format_version"), record.get("id")
    if record.get("format") != FORMAT_NAME or type(version) is not int or type(store_id) is not str:
        raise ValueError(
            f"{layout.STORE_FILE} of {files.uri!r} is damaged: it lacks format, format_version or "
            "id; restore it from a copy"
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f"store {files.uri!r} has format {version}, this program reads up to "
            f"{FORMAT_VERSION}; install a newer reelbank"
        )
    if version < FORMAT_VERSION:
        raise ValueError(
            f"store {files.uri!r} has format {version}, this program reads {FORMAT_VERSION}; bring "
            f"it up with: reelbank migrate --store {files.uri}"
        )
    return store_id


def json_object(path: str, data: bytes) -> dict[str, Any]:
    """A JSON object from a file's bytes; ValueError that names the file where it is none."""
    try:
        record = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; restore it from a copy") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged: not a JSON object; restore it from a copy")
    return record
