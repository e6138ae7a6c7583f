"""`make demo-heads`, on the smallest theatre."""

import io
import json

import pytest
from rich.console import Console

from reelbank.jobs.demo_heads import run_demo_heads

MODELS = "3D CNN", "STO", "LFB causal", "LFB batch"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_page_shows_four_models_and_a_second_run_computes_nothing(tmp_path):
    console = Console(file=io.StringIO())
    assert run_demo_heads(tmp_path, size="tiny", engine="inline", console=console) == 0
    page = (tmp_path / "report.html").read_text()
    assert all(model in page for model in MODELS)
    runs = sorted((tmp_path / "runs").iterdir())
    assert len(runs) == len(MODELS)
    precision = [json.loads((run / "metrics.json").read_text())["metrics"]["map"] for run in runs]
    assert all(0.2 < value < 1 for value in precision)
    # With a single test film there are no error bars.
    assert all(f"{100 * value:.1f}" in page for value in precision)
    before = _files(tmp_path)
    assert run_demo_heads(tmp_path, size="tiny", engine="inline", console=console) == 0
    after = _files(tmp_path)
    changed = {path for path, stamp in after.items() if before.get(path) != stamp}
    assert not any({"checkpoints", "films"} & set(path.parts) for path in changed)
    assert not any(".zarr" in str(path) for path in changed)


def _files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
