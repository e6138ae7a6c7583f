"""Format versions: a store of an older format is brought to the newest, one version at a time."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reelbank.stores import layout
from reelbank.stores.files import Files
from reelbank.stores.identity import json_object, no_store, read_store_id
from reelbank.stores.schemas import FORMAT_VERSION

Migration = Callable[[Files], None]

MIGRATIONS: dict[int, Migration] = {}
"""Format version n -> what makes a store of version n + 1 of one of n.

A migration may be killed anywhere and is then done again from its start: it must come to the same
end whatever it finds done already. It writes new files under new names, and puts commits in place
of commits by `Files.replace`; snapshots it removes.
"""


@dataclass(frozen=True, slots=True)
class MigrateReport:
    """What a migration did."""

    before: int
    """Format version found."""
    after: int
    """Format version now."""


def migrate(
    files: Files,
    *,
    migrations: Mapping[int, Migration] = MIGRATIONS,
    newest: int = FORMAT_VERSION,
) -> MigrateReport:
    """Bring a store to the newest format; nobody else may use it meanwhile.

    `store.json` is written anew after each version, last. ValueError where there is no store, where
    it is damaged or of a newer format, and where there is no way from its version.
    """
    if not files.exists(layout.STORE_FILE):
        raise no_store(files)
    record = json_object(layout.STORE_FILE, files.read(layout.STORE_FILE))
    before = record.get("format_version")
    if type(before) is not int or before > newest:
        # The sentence for each of these.
        read_store_id(files)
        raise ValueError(f"store {files.uri!r} has format {before}; this program knows {newest}")
    for version in range(before, newest):
        if version not in migrations:
            raise ValueError(
                f"store {files.uri!r} has format {version}, and there is no way from there to "
                f"{newest}; extract into a new store"
            )
        migrations[version](files)
        record["format_version"] = version + 1
        files.replace(layout.STORE_FILE, json.dumps(record, indent=1).encode())
    return MigrateReport(before, newest)
