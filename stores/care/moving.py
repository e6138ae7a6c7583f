"""Live units written anew, together: tables and, where needed, bank groups; one commit."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from reelbank.stores import layout
from reelbank.stores.care.group_moves import moved_groups
from reelbank.stores.care.merging import LineReader, TableWriter, table_entry
from reelbank.stores.commits import FileEntry
from reelbank.stores.live import LiveUnit
from reelbank.stores.stages import bank_of, label_set_of, tables_of
from reelbank.stores.store import Store

_UNITS_AT_ONCE = 64


def write_moved(
    store: Store,
    items: Sequence[LiveUnit],
    reader: LineReader,
    *,
    rewritten: Collection[str] = (),
) -> int:
    """Write live units of one stage, one for each video, into new files and commit these.

    `rewritten` names bank groups whose rows are written anew; all others stay where they are.
    Gives the bytes written.
    """
    stage = items[0].unit.stage
    if label_set_of(stage) is not None:
        items = _with_details(items)
    key = store.commit_key(stage, [item.unit for item in items])
    attempt, bank = store.new_attempt(), bank_of(stage)
    moved, files = (
        (list(items), []) if bank is None else moved_groups(store, bank, items, key, rewritten)
    )
    old_groups = {entry.path for item in items for entry in item.commit.files}
    for table in tables_of(stage):
        writer = TableWriter(table)
        if not _write_lines(writer, table, items, moved, reader):
            continue
        label_set = label_set_of(stage)
        path = (
            layout.table_path(table, key=key, attempt=attempt)
            if label_set is None
            else layout.labels_path(label_set, table, key=key, attempt=attempt)
        )
        data = writer.finish()
        store.files.write_new(path, data)
        files.append(table_entry(path, table, data, writer.num_rows))
    groups = [item.unit.group for item in moved]
    if store.move(stage, moved, files, groups=groups, attempt=attempt) is None:
        raise ValueError(f"the commit of {len(items)} moved units was not created; try again")
    return sum(entry.num_bytes for entry in files if entry.path not in old_groups)


def _with_details(items: Sequence[LiveUnit]) -> list[LiveUnit]:
    """Of a label set the first unit tells whence it came: another, where its video was removed."""
    newest = max(items, key=lambda item: item.order).commit
    told = max((unit.details for unit in newest.units), key=len)
    first = replace(items[0], unit=replace(items[0].unit, details=told))
    return [first, *items[1:]]


def _write_lines(
    writer: TableWriter,
    table: str,
    items: Sequence[LiveUnit],
    moved: Sequence[LiveUnit],
    reader: LineReader,
) -> bool:
    """Put the lines of all units into the file, in their order; False where none has any."""
    entries = [item.file("table", table) for item in items]
    if table == "classes":
        for lines in _distinct([entry for entry in entries if entry is not None], reader):
            writer.add(lines)
        return any(entries)
    for start in range(0, len(items), _UNITS_AT_ONCE):
        block = slice(start, start + _UNITS_AT_ONCE)
        reader.fetch(entry for entry in entries[block] if entry is not None)
        for old, new, entry in zip(items[block], moved[block], entries[block], strict=True):
            if entry is not None:
                for lines in reader.lines(entry, old.unit.video_id):
                    shift = new.unit.row_offset - old.unit.row_offset
                    writer.add(_shifted(lines, shift) if table == "index" else lines)
    return any(entries)


def _shifted(lines: pa.Table, shift: int) -> pa.Table:
    """Lines of the index of rows that lie elsewhere in their group now."""
    number = lines.schema.get_field_index("first_row")
    column = pc.add(lines["first_row"], pa.scalar(shift, pa.int64()))
    return lines.set_column(number, lines.schema.field(number), column)


def _distinct(entries: Sequence[FileEntry], reader: LineReader) -> Iterator[pa.Table]:
    """Lines of the label maps of one set, each once."""
    seen: set[tuple[object, ...]] = set()
    for entry in {one.path: one for one in entries}.values():
        for lines in reader.lines(entry, None):
            names = [tuple(line.values()) for line in lines.to_pylist()]
            fresh = [number for number, name in enumerate(names) if name not in seen]
            seen.update(names)
            yield lines.take(pa.array(fresh, pa.int64()))
