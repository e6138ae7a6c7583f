import math

import pytest

from reelbank.jobs.export import EXPORTERS, ExportRequest, exporter_of, run_export
from tests.stores.exporters.stores import commit_set, label_line, whole_store


@pytest.mark.parametrize("name", sorted(EXPORTERS))
def test_every_format_is_written_by_its_command(name, tmp_path):
    store = whole_store(tmp_path / "store")
    commit_set(store, "ava@2.2", [label_line("one.mp4", 1, time=902.0, label_id=1)], {1: "sit"})
    needed = {"ava": {"labels": "ava@2.2"}, "webdataset": {"bank": "person", "shard_mb": 0.5}}
    request = ExportRequest(
        output_format=name,
        store=str(tmp_path / "store"),
        output=tmp_path / "out",
        **needed.get(name, {}),
    )
    assert run_export(request)
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("yolo", {}, "export yolo: unknown format; known: ava, coco, mot, parquet, webdataset"),
        ("ava", {}, "say which: --labels NAME@VERSION"),
        ("webdataset", {}, "say which: --bank NAME"),
        ("mot", {"labels": "ava@2.2"}, "export mot has no option --labels; leave it away"),
        ("coco", {"shard_mb": 1.0}, "export coco has no option --shard-mb"),
        ("parquet", {"bank": "person"}, "export parquet has no option --bank"),
        ("webdataset", {"bank": "person", "shard_mb": 0.0}, "--shard-mb must be more than 0"),
        ("webdataset", {"bank": "person", "shard_mb": math.nan}, "--shard-mb must be .* not nan"),
        ("webdataset", {"bank": "person", "shard_mb": math.inf}, "--shard-mb must be .* not inf"),
        ("webdataset", {"bank": "person", "seconds": -1.0}, "--seconds -1.0 must be 0.001 or more"),
        ("webdataset", {"bank": "person", "seconds": 1e-9}, "--seconds 1e-09 must be 0.001"),
        ("webdataset", {"bank": "person", "seconds": math.inf}, "--seconds inf must be .* leave"),
    ],
)
def test_a_wrong_request_is_one_sentence(name, options, says, tmp_path):
    request = ExportRequest(output_format=name, store="nowhere", output=tmp_path / "out", **options)
    with pytest.raises(ValueError, match=says):
        exporter_of(request)
