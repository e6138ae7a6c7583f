"""Checks that everything is there that the commits promise, and is what was written.

Files are read piece by piece, and each file's lines once, however many videos it holds.
"""

from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq

from reelbank.stores import layout
from reelbank.stores.care.contents import data_on_disk
from reelbank.stores.care.findings import Problem, Report
from reelbank.stores.care.verify_groups import check_group
from reelbank.stores.care.verify_history import check_snapshots
from reelbank.stores.care.verify_lines import check_labels, check_lines
from reelbank.stores.checks import check_commit
from reelbank.stores.commits import Commit, FileEntry
from reelbank.stores.files import Files
from reelbank.stores.groups import group_digest
from reelbank.stores.history import commit_names, parse_commit
from reelbank.stores.schemas import schema_of
from reelbank.stores.store import Store

__all__ = ["Problem", "Report", "verify"]


def verify(store: Store) -> Report:
    """Read every file that a commit names and compare it with the commit, byte for byte.

    Where all files are as committed, also their lines: each live one once, in its unit's order,
    the index as the groups have it, snapshots as the commits.
    """
    files = store.files
    commits, problems = _commits(files)
    warnings: list[Problem] = []
    named = {entry.path: entry for commit in commits for entry in commit.files}
    on_disk = data_on_disk(files)
    live_paths: set[str] = set()
    if not problems:
        live = store.live()
        live_paths = {entry.path for entry in live.all_files()}
    for path, entry in sorted(named.items()):
        if path in on_disk:
            problems += _check_file(files, entry, on_disk[path], warnings)
        elif path in live_paths or not live_paths:
            problems.append(Problem(path, "a commit names it, but it is not there"))
    if not problems:
        problems += check_lines(files, live)
        problems += check_snapshots(files, commits)
    orphans = tuple(sorted(on_disk.keys() - named.keys()))
    num_files = len(named.keys() & on_disk.keys())
    return Report(tuple(problems), orphans, num_files, tuple(warnings))


def _commits(files: Files) -> tuple[list[Commit], list[Problem]]:
    commits, problems = [], []
    for name in commit_names(files):
        path = layout.commit_path(name)
        try:
            commit = parse_commit(name, files.read(path))
            if not commit.removes:
                check_commit(commit.stage, commit.units, commit.files)
            commits.append(commit)
        except (ValueError, OSError) as error:
            problems.append(Problem(path, str(error)))
    return commits, problems


def _check_file(
    files: Files, entry: FileEntry, parts: Sequence[str], warnings: list[Problem]
) -> Iterator[Problem]:
    """Faults of a file or group; what is only strange is put to the warnings."""
    try:
        num_bytes = sum(files.size(part) for part in parts)
        digests = {part: files.sha256(part) for part in parts}
        if entry.kind == "table":
            sha256 = digests[entry.path]
        else:
            sha256 = group_digest({part[len(entry.path) + 1 :]: digests[part] for part in parts})
        if num_bytes != entry.num_bytes:
            yield Problem(entry.path, f"has {num_bytes} bytes, the commit says {entry.num_bytes}")
        elif sha256 != entry.sha256:
            yield Problem(
                entry.path, "its bytes are not those that were committed (SHA-256 differs)"
            )
        elif entry.kind == "table":
            yield from _check_table(files, entry)
        else:
            found = check_group(files, entry, parts)
            yield from found.problems
            warnings += found.warnings
    except (OSError, ValueError, KeyError) as error:
        yield Problem(entry.path, f"cannot be read: {error}")


def _check_table(files: Files, entry: FileEntry) -> Iterator[Problem]:
    with files.open(entry.path) as stream:
        source = pq.ParquetFile(stream)
        if not source.schema_arrow.equals(schema_of(entry.name)):
            yield Problem(entry.path, f"its columns are not those of table {entry.name!r}")
        elif entry.name in ("labels", "classes"):
            yield from check_labels(entry, source)
        if source.metadata.num_rows != entry.num_rows:
            yield Problem(
                entry.path,
                f"has {source.metadata.num_rows} lines, the commit says {entry.num_rows}",
            )
