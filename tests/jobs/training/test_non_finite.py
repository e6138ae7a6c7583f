"""A loss or gradient that is not finite ends the training, and what led to it is kept."""

import json

import pytest
import torch
from safetensors.torch import load_file

from reelbank.jobs.training.config import SGDConfig
from reelbank.jobs.training.loading import ShuffledOrder
from reelbank.jobs.training.non_finite import NonFiniteError
from tests.jobs.training.tasks import Head, Plain, losses_of, small_config, train


class Poisoned(Plain):
    """One sample is no number."""

    bad = ShuffledOrder(num_samples=23, batch_size=5, seed=0)(2)[3]
    """Taken by the third step."""

    def __getitem__(self, index):
        found = super().__getitem__(index)
        return found._replace(rows=found.rows / 0.0 * 0.0) if index == self.bad else found


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_bad_sample_stops_the_training_and_its_batch_is_kept(tmp_path, accumulation):
    config = small_config(num_steps=30, accumulation=accumulation, checkpoint_every=1)
    task = Head()
    with pytest.raises(NonFiniteError, match="training stopped at step") as caught:
        train(tmp_path, config, task, Poisoned())
    done = 2
    assert len(losses_of(tmp_path)) == done
    folder = tmp_path / f"stopped-{done:08}"
    message = str(caught.value)
    assert f"training stopped at step {done}: the loss is nan" in message
    assert str(folder) in message
    assert "rows itself is not finite; correct the data" in message
    assert "\n" not in message

    kept = load_file(folder / "batch-0.safetensors")
    rows = torch.cat([one for name, one in kept.items() if name.endswith("rows")])
    assert rows.shape == (5, 6)
    assert rows.isnan().any(dim=1).sum() == 1
    assert any(name.endswith("label") for name in kept)
    facts = json.loads((folder / "batch-0.json").read_text())
    assert facts["loss"] == "nan"
    assert len(facts["not_finite"]["batch"]) == 1
    assert "0.weight" in facts["not_finite"]["gradients"]


def test_the_weights_are_those_of_before_the_step(tmp_path):
    task = Head()
    config = small_config(num_steps=30, checkpoint_every=1)
    with pytest.raises(NonFiniteError):
        train(tmp_path, config, task, Poisoned())
    [folder] = tmp_path.glob("stopped-*")
    kept = load_file(folder / "weights-0.safetensors")
    last = max((tmp_path / "checkpoints").iterdir())
    before = load_file(last / "weights.safetensors")
    parameters = dict(task.model.named_parameters())
    assert all(torch.equal(kept[name], before[name]) for name in parameters)

    # With the sample corrected it goes on.
    Repaired = type("Repaired", (Poisoned,), {"bad": -1})
    assert train(tmp_path, config, dataset=Repaired()).num_steps == 30 - int(last.name)


def test_a_gradient_that_is_not_finite_stops_it_though_the_loss_is(tmp_path):
    class Root(Head):
        def losses(self, batch):
            yield (self.model(batch.rows) * 0).abs().sqrt().sum() + 1

    with pytest.raises(NonFiniteError, match=r"lower optimiser\.learning_rate") as caught:
        train(tmp_path, small_config(), Root())
    assert "at step 0: the loss is 1 and the gradient's norm nan" in str(caught.value)


def test_too_high_a_rate_is_told_as_such(tmp_path):
    config = small_config(num_steps=300, optimiser=SGDConfig(learning_rate=1e6))
    with pytest.raises(NonFiniteError, match=r"learning rate 1e\+06\)"):
        train(tmp_path, config, Head(norm=False))


def test_an_overflow_that_no_scale_can_mend_ends_float16_too(tmp_path):
    class Hopeless(Head):
        def losses(self, batch):
            yield (self.model(batch.rows) * 0).abs().sqrt().sum() + 1

    config = small_config(num_steps=60, precision="float16")
    with pytest.raises(NonFiniteError, match="gradient's norm nan"):
        train(tmp_path, config, Hopeless())
    assert len(losses_of(tmp_path)) > 20
