"""What the commands that look after a store say."""

import io

import numpy as np
import pytest
from rich.console import Console

from reelbank import open_store
from reelbank.jobs.care import (
    remove,
    show_collection,
    show_compaction,
    show_difference,
    show_migration,
    show_removal,
)
from reelbank.stores.care.collect import collect
from reelbank.stores.care.compact import compact
from reelbank.stores.care.compare import compare
from reelbank.stores.care.migrate import migrate
from tests.stores.builders import commit_bank, filled_store, unit
from tests.stores.care.builders import add_detections, add_labels


@pytest.fixture
def store(tmp_path):
    return filled_store(open_store(str(tmp_path / "s"), create=True))


def said(show, found):
    console = Console(file=io.StringIO(), width=200)
    show(found, console)
    return console.file.getvalue()


def never(question):
    pytest.fail(question)


def test_removal_asks_and_removes(store):
    asked = []
    found = remove(store, ["one.mp4"], confirm=lambda question: not asked.append(question))
    assert "1 of 2 videos" in asked[0]
    assert "'one.mp4'" in asked[0]
    assert found.videos == ("one.mp4",)
    assert store.live().videos() == ["two's.mp4"]
    assert "reelbank gc" in said(show_removal, found)


def test_a_no_removes_nothing(store):
    assert remove(store, ["one.mp4"], confirm=lambda question: False) is None
    assert len(store.live().videos()) == 2
    assert said(show_removal, None) == "nothing was removed\n"


def test_an_unknown_video_is_answered_with_close_names_and_removes_nothing(store):
    with pytest.raises(ValueError, match=r"unknown video 'one\.mp3'.*'one\.mp4'"):
        remove(store, ["two's.mp4", "one.mp3"], confirm=never)
    assert len(store.live().videos()) == 2


def test_a_video_that_has_labels_alone_can_be_removed(store):
    add_labels(store, ["one.mp4", "labelled.mp4"], 1)
    remove(store, ["labelled.mp4"], confirm=lambda question: True)
    assert store.live().videos("labels:ava@1") == ["one.mp4"]


def test_removing_twice_is_told(store):
    remove(store, ["one.mp4"], confirm=lambda question: True)
    found = remove(store, ["one.mp4"], confirm=never)
    assert (found.videos, found.removed_before) == ((), ("one.mp4",))
    assert said(show_removal, found) == "removed before: 'one.mp4'\n"


def test_a_file_that_only_the_record_of_a_run_tells_of_can_be_removed(store):
    record = {"started": "2026-01-02", "totals": {"status": {"one.mp4": "ok", "cut.mp4": "failed"}}}
    store.write_run("r2", record)
    with pytest.raises(ValueError, match=r"closest of 3: 'cut\.mp4'"):
        remove(store, ["cut.mp3"], confirm=never)
    assert remove(store, ["cut.mp4"], confirm=lambda question: True).videos == ("cut.mp4",)
    assert remove(store, ["cut.mp4"], confirm=never).removed_before == ("cut.mp4",)
    assert collect(store, grace_seconds=0).runs == ("r2",)
    assert store.runs()[1]["totals"]["status"] == {"one.mp4": "ok"}
    with pytest.raises(ValueError, match="unknown video"):
        remove(store, ["cut.mp4"], confirm=never)


def test_names_that_are_markup_or_break_lines_are_shown_as_they_are(store):
    name = "[bold]a\nb[/bold].mp4"
    add_detections(store, {name: (0, 1)}, 1)
    remove(store, [name], confirm=lambda question: True)
    found = remove(store, [name], confirm=never)
    assert said(show_removal, found) == f"removed before: {name!r}\n"


def test_what_compaction_and_collection_did_is_told(store):
    for number in range(4):
        add_detections(store, {f"{number}.mp4": (0, 1)}, number)
    assert "merged into" in said(show_compaction, compact(store))
    assert said(show_compaction, compact(store)) == "nothing to compact\n"
    planned = collect(store, grace_seconds=0, dry_run=True)
    text = said(show_collection, planned)
    assert all(name in text for name in (*planned.commits, *planned.files))
    assert "would be deleted: 9 commits" in text
    assert said(show_collection, collect(store, grace_seconds=0)).startswith("deleted: 9 commits")


def test_a_difference_is_told_in_words_and_numbers(store, tmp_path):
    other = filled_store(open_store(str(tmp_path / "other"), create=True))
    assert said(show_difference, compare(store, other)).endswith("the stores are alike\n")
    rows = {0.0: np.ones((1, 3), np.float32)}
    commit_bank(other, "clip", [(unit("new.mp4", "bank:clip"), rows)])
    text = said(show_difference, compare(store, other))
    assert "videos of B alone: 1: new.mp4" in text
    assert text.endswith("the stores are not alike\n")


def test_the_newest_format_is_told(store):
    assert said(show_migration, migrate(store.files)) == "format 1 is the newest: nothing to do\n"
