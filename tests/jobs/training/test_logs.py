"""The log is lines of JSON that a resumed run carries on; TensorBoard has the same numbers."""

import io
import json

import pytest
from rich.console import Console

from reelbank.jobs.training.logs import RunLog, read_log
from reelbank.jobs.training.progress import TrainingProgress
from tests.jobs.training.tasks import losses_of, small_config, train


def test_every_line_is_json_of_its_own(tmp_path):
    with RunLog(tmp_path, step=0, tensorboard=False) as log:
        log.write("training", 1, {"loss": 0.1 + 0.2})
        log.write("evaluation", 1, {"map": float("nan")})
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"kind": "training", "step": 1, "loss": 0.1 + 0.2},
        {"kind": "evaluation", "step": 1, "map": None},
    ]


def test_a_resumed_log_drops_what_will_be_done_again(tmp_path):
    with RunLog(tmp_path, step=0, tensorboard=False) as log:
        for step in range(1, 6):
            log.write("training", step, {"loss": float(step)})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "training", "st')  # Cut off by a kill.
    assert losses_of(tmp_path) == [1, 2, 3, 4, 5]
    with RunLog(tmp_path, step=3, tensorboard=False) as log:
        log.write("training", 4, {"loss": 9.0})
    assert losses_of(tmp_path) == [1, 2, 3, 9]


def test_only_every_so_many_steps_and_the_last_are_logged(tmp_path):
    train(tmp_path, small_config(num_steps=11, log_every=4, evaluate_every=5))
    assert [entry["step"] for entry in read_log(tmp_path, "training")] == [4, 8, 11]
    assert [entry["step"] for entry in read_log(tmp_path, "evaluation")] == [5, 10, 11]
    entry = read_log(tmp_path, "training")[0]
    assert {"loss", "gradient_norm", "learning_rate", "waiting_share", "seconds"} < entry.keys()
    assert 0 <= entry["waiting_share"] < 1


def test_a_run_without_tensorboard_is_logged_all_the_same(tmp_path):
    train(tmp_path, small_config(tensorboard=True))
    assert len(losses_of(tmp_path)) == 6


def test_tensorboard_has_the_same_numbers(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(tmp_path, small_config(tensorboard=True))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    found = [event.value for event in events.Scalars("training/loss")]
    assert found == pytest.approx(losses_of(tmp_path), rel=1e-6)
    assert events.Scalars("evaluation/total")[0].step == 6


def shown(terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120)
    progress = TrainingProgress(10, console)
    with progress.shown(2):
        for step in (3, 6):
            progress.tell(step, loss=0.5, waiting_share=0.25)
        progress.evaluated(6, {"map": 0.125})
    return text.getvalue()


def test_progress_is_a_live_line_in_a_terminal_and_plain_lines_elsewhere():
    plain = shown(terminal=False)
    assert "step 6: map 0.125\n" in plain
    assert "training: 6/10 steps, loss 0.5, " in plain
    assert "waiting for data 25%" in plain
    assert "\x1b" not in plain
    live = shown(terminal=True)
    assert "6/10 steps" in live
    assert "\x1b" in live
