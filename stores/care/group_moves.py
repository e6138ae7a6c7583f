"""Bank groups of moved units: carried over by their path, or their live rows written anew."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.commits import FileEntry, Unit
from reelbank.stores.files import Files
from reelbank.stores.groups import SHARD_BYTES, Group, group_digest, open_group
from reelbank.stores.live import LiveUnit
from reelbank.stores.store import Store


@dataclass(frozen=True, slots=True)
class _Rows:
    """What one unit has in its group."""

    number: int
    """Place of the unit among those that are moved."""
    rows: NDArray[np.generic]
    """(n, dim)."""
    times: NDArray[np.float64]
    """(k,) key times."""
    first: NDArray[np.int64]
    """(k + 1,) offset of each key time's first row, from 0, and n."""
    compression: str

    @property
    def kind(self) -> tuple[object, ...]:
        """Rows of one kind fit into one group."""
        return (self.rows.shape[1], self.rows.dtype, self.compression)


def moved_groups(
    store: Store, bank: str, items: Sequence[LiveUnit], key: str, rewritten: Collection[str]
) -> tuple[list[LiveUnit], list[FileEntry]]:
    """The units with their places from now on, in their order, and the groups that hold them."""
    entries = [_entry(item, bank) for item in items]
    moved = [
        replace(item, unit=replace(item.unit, group=entry.path))
        for item, entry in zip(items, entries, strict=True)
    ]
    carried = {entry.path: entry for entry in entries if entry.path not in rewritten}
    files = list(carried.values())
    wanted = [number for number, entry in enumerate(entries) if entry.path in rewritten]
    for pack in _packs(_rows_of(store.files, wanted, items, entries)):
        units, entry = _write(store, bank, pack, [items[one.number].unit for one in pack], key)
        files.append(entry)
        for one, unit in zip(pack, units, strict=True):
            moved[one.number] = replace(items[one.number], unit=unit)
    return moved, files


def _entry(item: LiveUnit, bank: str) -> FileEntry:
    entry = item.file("bank", bank)
    if entry is None:
        raise ValueError(f"commit {item.commit.name} names no group of bank {bank!r}; run verify")
    return entry


def _rows_of(
    files: Files,
    numbers: Sequence[int],
    items: Sequence[LiveUnit],
    entries: Sequence[FileEntry],
) -> Iterator[_Rows]:
    checked: set[str] = set()
    path, group = "", None
    for number in numbers:
        unit, entry = items[number].unit, entries[number]
        if group is None or entry.path != path:
            if entry.path not in checked:
                _check_digest(files, entry)
                checked.add(entry.path)
            path, group = entry.path, open_group(files, entry.path)
        yield _rows(number, unit, group)


def _rows(number: int, unit: Unit, group: Group) -> _Rows:
    low, high = unit.time_offset, unit.time_offset + unit.num_times
    return _Rows(
        number,
        np.asarray(group.rows[unit.row_offset : unit.row_offset + unit.num_rows]),
        group.times[low:high],
        group.first[low : high + 1] - unit.row_offset,
        "zstd" if group.rows.compressors else "none",
    )


def _check_digest(files: Files, entry: FileEntry) -> None:
    # Else damage would be written anew, under a digest that says that all is well.
    names = files.walk(entry.path)
    digests = {name[len(entry.path) + 1 :]: files.sha256(name) for name in names}
    if group_digest(digests) != entry.sha256:
        raise ValueError(
            f"{entry.path} is damaged (its SHA-256 is not the committed one); reelbank verify "
            "lists all damage"
        )


def _packs(found: Iterator[_Rows]) -> Iterator[list[_Rows]]:
    """Units that share a group: of one kind, together about one shard."""
    pack: list[_Rows] = []
    held = 0
    for one in found:
        if pack and (held + one.rows.nbytes > SHARD_BYTES or one.kind != pack[0].kind):
            yield pack
            pack, held = [], 0
        pack.append(one)
        held += one.rows.nbytes
    if pack:
        yield pack


def _write(
    store: Store, bank: str, pack: Sequence[_Rows], units: Sequence[Unit], key: str
) -> tuple[list[Unit], FileEntry]:
    placed, first = [], [np.zeros(1, np.int64)]
    time_offset = row_offset = 0
    for one, unit in zip(pack, units, strict=True):
        placed.append(replace(unit, time_offset=time_offset, row_offset=row_offset))
        first.append(one.first[1:] + row_offset)
        time_offset, row_offset = time_offset + len(one.times), row_offset + len(one.rows)
    entry = store.write_bank(
        bank,
        key=key,
        attempt=store.new_attempt(),
        rows=np.concatenate([one.rows for one in pack]),
        times=np.concatenate([one.times for one in pack]),
        first=np.concatenate(first),
        units=placed,
        compression=pack[0].compression,
    )
    return [replace(unit, group=entry.path) for unit in placed], entry
