"""Paths and file names of a store; nothing else in the project spells one.

All paths are relative to the store's root and use '/'. Names hold digests and tokens only, never
a video's name, so that any video name is safe.
"""

import re

STORE_FILE = "store.json"
COMMITS = "commits"
SNAPSHOTS = "snapshots"
RUNS = "runs"
TABLES = "tables"
BANKS = "banks"
LABELS = "labels"

_TOKEN = re.compile(r"[0-9A-Za-z]+")
_BANK = re.compile(r"[A-Za-z][0-9A-Za-z_-]*")
_MODEL = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]*")
_RUN = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]*")
_COMMIT_NAME = re.compile(r"([0-9A-Za-z]+)(?:\.(\d+))?\.json")
_EPOCH_NAME = re.compile(r"epoch-(\d+)")
_ANNOUNCEMENT_NAME = re.compile(r"([0-9A-Za-z]+(?:\.\d+)?\.json)\.[0-9A-Za-z]+")
_SNAPSHOT_NAME = re.compile(r"snapshot-(\d+)\.parquet")
_OLD_SNAPSHOT_NAME = re.compile(r"(\d+)\.parquet")
_TABLE_PATH = re.compile(r"tables/[a-z_]+/[0-9A-Za-z]+\.[0-9A-Za-z]+\.parquet")
_LABEL_SET = re.compile(r"[A-Za-z][0-9A-Za-z_.-]*@[0-9A-Za-z][0-9A-Za-z_.-]*")
_LABELS_PATH = re.compile(
    r"labels/[A-Za-z][0-9A-Za-z_.-]*@[0-9A-Za-z][0-9A-Za-z_.-]*"
    r"/(labels|classes)\.[0-9A-Za-z]+\.[0-9A-Za-z]+\.parquet"
)
_BANK_PATH = re.compile(r"banks/[A-Za-z][0-9A-Za-z_-]*/[0-9A-Za-z]+\.[0-9A-Za-z]+\.zarr")


def table_path(table: str, *, key: str, attempt: str) -> str:
    """File of one attempt at one commit of a table."""
    return f"{TABLES}/{table}/{_token(key)}.{_token(attempt)}.parquet"


def bank_path(bank: str, *, key: str, attempt: str) -> str:
    """Zarr group of one attempt at one commit of a bank."""
    return f"{BANKS}/{checked_bank(bank)}/{_token(key)}.{_token(attempt)}.zarr"


def labels_path(label_set: str, table: str, *, key: str, attempt: str) -> str:
    """File of one table, `labels` or `classes`, of a label set, given as 'name@version'."""
    return (
        f"{LABELS}/{checked_label_set(label_set)}/{table}.{_token(key)}.{_token(attempt)}.parquet"
    )


def bank_description_path(bank: str) -> str:
    """What a foreign reader should know of a bank."""
    return f"{BANKS}/{checked_bank(bank)}/bank.json"


def commit_name(key: str, generation: int) -> str:
    """File name of a commit; generations after the first carry their number."""
    return f"{_token(key)}.json" if generation == 0 else f"{_token(key)}.{generation}.json"


def commit_path(name: str) -> str:
    """Path of a commit of that file name."""
    return f"{COMMITS}/{name}"


def parse_commit_name(name: str) -> tuple[str, int] | None:
    """Key and generation of a commit's file name; None for any other file."""
    match = _COMMIT_NAME.fullmatch(name)
    return (match[1], int(match[2] or 0)) if match else None


def announcement_path(name: str, token: str) -> str:
    """Empty file, beside the snapshots, that says that a commit of that file name may come."""
    return f"{SNAPSHOTS}/{name}.{_token(token)}"


def parse_announcement_name(name: str) -> str | None:
    """File name of the commit that is announced; None for any other file."""
    match = _ANNOUNCEMENT_NAME.fullmatch(name)
    return match[1] if match else None


def epoch_path(number: int) -> str:
    """Marker, beside the snapshots, of a collection: no later commit has a name from before."""
    return f"{SNAPSHOTS}/epoch-{number:010d}"


def parse_epoch_name(name: str) -> int | None:
    """Number of a collection's marker; None for any other file."""
    match = _EPOCH_NAME.fullmatch(name)
    return int(match[1]) if match else None


def snapshot_path(serial: int) -> str:
    """Path of the snapshot of that number, from 1; each is written on top of the one before."""
    return f"{SNAPSHOTS}/snapshot-{serial:010d}.parquet"


def parse_snapshot_name(name: str) -> int | None:
    """Number of the snapshot of that file name; None for any other file."""
    match = _SNAPSHOT_NAME.fullmatch(name)
    return int(match[1]) if match else None


def parse_old_snapshot_name(name: str) -> int | None:
    """How many commits a snapshot without a number covers; None for any other file.

    Stores made before commits were announced have these.
    """
    match = _OLD_SNAPSHOT_NAME.fullmatch(name)
    return int(match[1]) if match else None


def run_path(run_id: str) -> str:
    """Path of a run's record."""
    if not _RUN.fullmatch(run_id):
        raise ValueError(f"run id {run_id!r} must be letters, digits, '_', '-' and '.'")
    return f"{RUNS}/{run_id}.json"


def is_data_path(path: str) -> bool:
    """Whether the path names a table file or a bank group: all that a commit may point at."""
    patterns = (_TABLE_PATH, _BANK_PATH, _LABELS_PATH)
    return any(pattern.fullmatch(path) for pattern in patterns)


def group_of(path: str) -> str | None:
    """The bank group that a file belongs to; None for a file outside of groups."""
    match = _BANK_PATH.match(path)
    return match[0] if match and path[match.end() :].startswith("/") else None


def checked_bank(bank: str) -> str:
    """The bank's name, or a ValueError where it could not be a folder's name."""
    if not _BANK.fullmatch(bank):
        raise ValueError(
            f"bank name {bank!r} must start with a letter and hold letters, digits, '_' and '-'"
        )
    return bank


def checked_label_set(label_set: str) -> str:
    """The set's 'name@version', or a ValueError where it could not be a folder's name."""
    if not _LABEL_SET.fullmatch(label_set):
        raise ValueError(
            f"label set {label_set!r} must be name@version, the name starting with a letter, both "
            "of letters, digits, '_', '.' and '-'"
        )
    return label_set


def checked_model(model: str) -> str:
    """The name of a model's predictions, or a ValueError where it would be hard to write."""
    if not _MODEL.fullmatch(model):
        raise ValueError(
            f"name {model!r} of predictions must start with a letter or digit and hold letters, "
            "digits, '_', '.' and '-'"
        )
    return model


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"key or attempt {text!r} must be letters and digits")
    return text
