import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from reelbank.stores.exporters.coco import CocoExporter
from reelbank.stores.exporters.exporter import export
from reelbank.stores.exporters.mot import MotExporter
from reelbank.stores.store import open_store
from tests.stores.builders import filled_store, unit
from tests.stores.exporters.stores import commit_videos, whole_store


@dataclass(frozen=True)
class Interrupted:
    """Writes a little; then something happens."""

    event: object
    is_folder: ClassVar[bool] = False

    def write(self, store, videos, output):
        output.write_text("half")
        self.event()
        return {}


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("exporter", "make", "says"),
    [
        (CocoExporter(), lambda path: path.write_text("mine"), "is there already; name another"),
        (
            CocoExporter(),
            lambda path: path.symlink_to("nowhere"),
            "is a link or a mount; name a new place",
        ),
        (CocoExporter(), lambda path: path.mkdir(), "is a folder; this format writes a file"),
        (MotExporter(), lambda path: path.write_text("mine"), "is a file; this format writes a"),
        (
            MotExporter(),
            lambda path: (path.mkdir(), (path / "mine").write_text("mine")),
            "is not empty; name another folder",
        ),
    ],
)
def test_what_is_there_is_never_overwritten(exporter, make, says, tmp_path):
    store = whole_store(tmp_path / "store")
    output = tmp_path / "out"
    make(output)
    before = files_below(tmp_path)
    with pytest.raises(ValueError, match=says):
        export(store, exporter, output)
    assert files_below(tmp_path) == before
    if output.is_file():
        assert output.read_text() == "mine"


def test_an_empty_file_or_folder_is_taken(tmp_path):
    store = whole_store(tmp_path / "store")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    export(store, CocoExporter(), tmp_path / "file")
    export(store, MotExporter(), tmp_path / "folder")
    assert (tmp_path / "file").stat().st_size
    assert (tmp_path / "folder" / "index.csv").is_file()


@pytest.mark.parametrize(
    "place", ["store", "store/out", "store/banks/out", "link/out", "x/../store/o"]
)
def test_nothing_is_written_inside_the_store(place, tmp_path):
    store = whole_store(tmp_path / "store")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    before = files_below(tmp_path)
    with pytest.raises(ValueError, match=r"inside the store|is a folder"):
        export(store, CocoExporter(), tmp_path / place)
    assert files_below(tmp_path) == before


def test_a_url_is_refused_with_the_remedy(tmp_path):
    store = whole_store(tmp_path / "store")
    with pytest.raises(ValueError, match="local path; copy it from there"):
        export(store, CocoExporter(), Path("s3://bucket/out.json"))


def test_an_error_leaves_nothing_behind(tmp_path):
    store = whole_store(tmp_path / "store")

    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        export(store, Interrupted(fail), tmp_path / "out")
    assert [name for name in files_below(tmp_path) if not name.startswith("store")] == []


def test_a_killed_export_leaves_nothing_under_the_name(tmp_path):
    whole_store(tmp_path / "store")
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from reelbank.stores.exporters.exporter import export\n"
        "from reelbank.stores.store import open_store\n"
        "from tests.stores.exporters.test_export import Interrupted\n"
        "kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "export(open_store(sys.argv[1]), Interrupted(kill), Path(sys.argv[2]))\n"
    )
    output = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store"), str(output)],
        check=False,
        cwd=os.getcwd(),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL
    assert not output.exists()
    # What is left says of itself that it is not whole.
    left = [name for name in files_below(tmp_path) if not name.startswith("store")]
    assert [".writing-" in name for name in left] == [True]
    export(open_store(tmp_path / "store"), CocoExporter(), output)


def test_a_file_made_by_another_meanwhile_stays(tmp_path):
    store = whole_store(tmp_path / "store")
    output = tmp_path / "out"
    with pytest.raises(ValueError, match="is there already"):
        export(store, Interrupted(lambda: output.write_text("mine")), output)
    assert output.read_text() == "mine"


@dataclass
class Late:
    """Writes the videos of a table, after something has happened."""

    event: object
    is_folder: ClassVar[bool] = False

    def write(self, store, videos, output):
        self.event()
        seen = store.sql("select video_id from videos order by 1")["video_id"].to_pylist()
        output.write_text("\n".join(seen))
        return {"videos": len(videos)}


def test_a_store_that_changes_under_way_is_exported_as_it_was(tmp_path):
    store = whole_store(tmp_path / "store")

    def change():
        commit_videos(open_store(tmp_path / "store"), ["three.mp4"])

    assert export(store, Late(change), tmp_path / "out") == {"videos": 2}
    assert (tmp_path / "out").read_text().split("\n") == ["one.mp4", "two's.mp4"]
    assert "three.mp4" in store.live().videos()


def test_an_unknown_video_is_answered_with_close_names(tmp_path):
    store = whole_store(tmp_path / "store")
    with pytest.raises(ValueError, match=r"unknown video 'on\.mp4'; the closest of 2: 'one\.mp4'"):
        export(store, CocoExporter(), tmp_path / "out", videos=["on.mp4"])


def test_an_empty_store_says_what_to_do(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    with pytest.raises(ValueError, match="holds no video; extract some first"):
        export(store, CocoExporter(), tmp_path / "out")


def test_a_store_in_memory_is_exported_to_the_disk(tmp_path):
    store = filled_store(open_store("memory://exported", create=True))
    commit_videos(store, ["one.mp4", "two's.mp4"])
    found = export(store, CocoExporter(), tmp_path / "new" / "folder" / "out.json")
    assert found["annotations"] == 10
    assert unit("one.mp4", "detections").video_id in (tmp_path / "new/folder/out.json").read_text()
