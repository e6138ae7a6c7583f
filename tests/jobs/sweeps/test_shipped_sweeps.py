"""Every shipped sweep of the theatre runs as it stands, but for the number of steps."""

from dataclasses import replace

import pytest

from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.sweep import run_sweep
from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.pipeline.theatre.theatre import make_theatre
from tests.jobs.extraction import extract, import_theatre

SWEEPS = "bank", "decoupling", "ensemble", "models", "non_local", "operator", "support"
QUICK = (
    "training.num_steps=2",
    "training.batch_size=4",
    "training.schedule={kind: constant}",
    "training.tensorboard=false",
    "labels.test=[validation]",
    "test.num_draws=0",
)


@pytest.fixture(scope="module")
def theatre(tmp_path_factory):
    return make_theatre(tmp_path_factory.mktemp("theatre") / "theatre", "tiny", processes=1)


@pytest.fixture(scope="module")
def store(theatre, tmp_path_factory):
    """A store with the banks of all sweeps."""
    folder = tmp_path_factory.mktemp("store")
    for recipe in ("extract_designs", "extract_supports"):
        made = extract(
            theatre.films,
            folder / "store",
            f"detector.labels={theatre.boxes}",
            recipe=f"theatre/{recipe}",
        )
    import_theatre(theatre, made.store)
    return made.store


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_it_runs_and_has_a_number_for_every_line(store, theatre, tmp_path, name):
    sweep = load_recipe(f"sweeps/theatre_{name}", [], SweepSettings)
    axis = None if sweep.axis is None else replace(sweep.axis, values=(2.0, 20.0))
    quick = replace(sweep, seeds=(0,), set=(*sweep.set, *QUICK), axis=axis)
    found = run_sweep(quick, store.uri, tmp_path, ceilings=theatre.ceilings)
    assert found["failures"] == {}
    measured = {line["line"] for line in found["scores"] if line["metric"] == "map"}
    assert measured == set(sweep.lines)
    page = (tmp_path / "report.html").read_text()
    assert sweep.title in page
