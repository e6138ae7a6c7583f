"""A checkpoint is whole or not there; a damaged one is named with what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from reelbank.jobs.training.checkpoints import (
    Checkpoint,
    best_checkpoint,
    checkpoints_of,
    find_checkpoint,
    load_checkpoint,
    plain,
    prune,
    save_checkpoint,
    sweep,
)
from reelbank.jobs.training.weights import restore_weights
from tests.shared_data import ROOT


def checkpoint(step: int, **facts) -> Checkpoint:
    tied = torch.randn(3, 4)
    weights = {
        "a": tied,
        "tied": tied,
        "turned": tied.T,
        "half": torch.randn(2).bfloat16(),
        "count": torch.tensor(step),
        "empty": torch.zeros(0, 2),
    }
    optimiser = {"a:momentum_buffer": torch.full((3, 4), float(step))}
    return Checkpoint(step, weights, optimiser, {"metrics": {}} | facts)


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    written = checkpoint(12, scaler={"scale": 2.0**16}, nested=[1, None, "a\nb"])
    path = save_checkpoint(tmp_path, written)
    assert path == tmp_path / "checkpoints" / "00000012"
    read = load_checkpoint(path)
    assert (read.step, read.facts) == (12, written.facts)
    for mine, theirs in ((read.weights, written.weights), (read.optimiser, written.optimiser)):
        assert mine.keys() == theirs.keys()
        for name, tensor in theirs.items():
            assert mine[name].dtype == tensor.dtype
            assert torch.equal(mine[name], tensor)


def test_its_files_are_of_open_formats(tmp_path):
    path = save_checkpoint(tmp_path, checkpoint(3, metrics={"map": float("nan")}))
    assert json.loads((path / "state.json").read_text())["facts"]["metrics"] == {"map": None}
    with safe_open(path / "weights.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt", "step": "3"}


def test_an_optimiser_without_state_is_stored(tmp_path):
    path = save_checkpoint(tmp_path, Checkpoint(1, {"a": torch.ones(1)}, {}, {"metrics": {}}))
    assert load_checkpoint(path).optimiser == {}


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


DAMAGES = [
    pytest.param(
        lambda path: flip(path / "weights.safetensors", -1),
        "weights.safetensors is not what was written",
        id="a bit of the weights",
    ),
    pytest.param(
        lambda path: (path / "optimiser.safetensors").write_bytes(b""),
        "optimiser.safetensors is not what was written",
        id="an empty optimiser",
    ),
    pytest.param(
        lambda path: (path / "weights.safetensors").unlink(),
        "weights.safetensors is missing",
        id="no weights",
    ),
    pytest.param(
        lambda path: (path / "state.json").write_text('{"step": 4'),
        "state.json is not JSON",
        id="half of the state",
    ),
    pytest.param(
        lambda path: (path / "state.json").write_text("[]"),
        "state.json is not what was written",
        id="another state",
    ),
    pytest.param(
        lambda path: (path / "state.json").write_text(
            (path / "state.json").read_text().replace('"step": 4', '"step": 5')
        ),
        "state.json is not what was written",
        id="another step",
    ),
]


@pytest.mark.parametrize(("harm", "what"), DAMAGES)
def test_a_damaged_checkpoint_is_named_with_the_remedy(tmp_path, harm, what):
    path = save_checkpoint(tmp_path, checkpoint(4))
    harm(path)
    with pytest.raises(ValueError, match="the checkpoint is damaged") as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert what in message
    assert "remove this folder" in message


def test_a_path_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"state.json is missing"):
        load_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="no checkpoint and no run with one; correct the path"):
        find_checkpoint(tmp_path)


def test_the_newest_and_the_best_are_kept(tmp_path):
    for step, value in ((1, 0.2), (2, 0.9), (3, None), (4, 0.9), (5, 0.1), (6, 0.3)):
        metrics = {} if value is None else {"map": value}
        path = save_checkpoint(tmp_path, checkpoint(step, metrics=metrics, best_metric="map"))
        prune(tmp_path, keep=2, metric="map")
    assert names(tmp_path) == ["00000002", "00000005", "00000006"]
    assert best_checkpoint(tmp_path, "map").name == "00000002"
    assert best_checkpoint(tmp_path, "loss") is None
    assert find_checkpoint(tmp_path).name == "00000002"
    assert find_checkpoint(path) == path
    prune(tmp_path, keep=2, metric=None)
    assert [path.name for path in checkpoints_of(tmp_path)] == ["00000005", "00000006"]


# Killed at each moment of the second checkpoint at which something has reached the disk.
KILLED = """
import os, signal, sys
from pathlib import Path
from reelbank.jobs.training import checkpoints
from tests.jobs.training.test_checkpoints import checkpoint

places = ("_flush", "save_file", "_own_digest", "_retire")
def child(run, name, count):
    checkpoints.save_checkpoint(run, checkpoint(1))
    real, left = getattr(checkpoints, name), [count]
    def deadly(*given):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)
    setattr(checkpoints, name, deadly)
    checkpoints.save_checkpoint(run, checkpoint(2))
    os._exit(0)

for name in places:
    for count in range(1, 9):
        run = Path(sys.argv[1]) / f"{name}{count}"
        process = os.fork()
        if process == 0:
            child(run, name, count)
        if os.waitpid(process, 0)[1] == 0:
            break
"""


def test_a_process_killed_while_it_writes_leaves_the_checkpoint_before(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, check=True, timeout=200)
    runs = sorted(tmp_path.iterdir())
    newest = []
    for run in runs:
        newest.append(load_checkpoint(checkpoints_of(run)[-1]).step)
        sweep(run)
        assert all(name.startswith("0") for name in names(run))
        save_checkpoint(run, checkpoint(3))
        assert load_checkpoint(checkpoints_of(run)[-1]).step == 3
    # Three files and two folders, two files of tensors, a digest, a rename; four were not killed.
    assert len(runs) == 5 + 2 + 1 + 1 + 4
    assert newest.count(1) == 5 - 1 + 2 + 1 + 1


def test_a_checkpoint_of_the_same_step_takes_the_place_of_the_one_before(tmp_path):
    save_checkpoint(tmp_path, checkpoint(2, metrics={"map": 1.0}))
    path = save_checkpoint(tmp_path, checkpoint(2, metrics={"map": 2.0}))
    assert load_checkpoint(path).facts["metrics"] == {"map": 2.0}
    assert names(tmp_path) == ["00000002"]


MISFITS = [
    ({"weight": torch.zeros(2, 3)}, "bias is absent there and (2,) in the model"),
    (
        {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)},
        "weight is (2, 4) there and (2, 3) in the model",
    ),
    (
        {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "zoom": torch.zeros(())},
        "zoom is () there and absent in the model",
    ),
]


@pytest.mark.parametrize(("weights", "words"), MISFITS)
def test_weights_of_another_model_are_refused_in_one_sentence(weights, words):
    with pytest.raises(ValueError, match="use the settings of its training") as caught:
        restore_weights(nn.Linear(3, 2), weights, "RUN")
    assert str(caught.value).startswith(f"RUN: {words};")


def test_plain_values_are_what_json_can_hold():
    given = {"a": (1, float("inf")), 2: [{"b": float("nan")}], "c": None, "d": True}
    assert plain(given) == {"a": [1, None], "2": [{"b": None}], "c": None, "d": True}
