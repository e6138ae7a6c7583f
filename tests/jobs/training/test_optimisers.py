"""Which parameters decay, and that the steps are those of the forms written down elsewhere."""

import numpy as np
import pytest
import torch
from torch import nn

from reelbank.jobs.training.config import AdamConfig, AdamWConfig, SGDConfig
from reelbank.jobs.training.optimisers import make_optimiser


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(2, 2, 1)
        self.norms = nn.ModuleList([nn.BatchNorm3d(2), nn.LayerNorm(2), nn.GroupNorm(1, 2)])
        self.attention = nn.MultiheadAttention(2, 1)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.tied = self.conv


BIASES = {"conv.bias", "attention.in_proj_bias", "attention.out_proj.bias"}
MATRICES = {"conv.weight", "attention.in_proj_weight", "attention.out_proj.weight"}
NORMS = {f"norms.{number}.{kind}" for number in range(3) for kind in ("weight", "bias")}
DECAYED = [
    pytest.param(False, True, MATRICES | BIASES, id="norms spared"),
    pytest.param(False, False, MATRICES, id="norms and biases spared"),
    pytest.param(True, True, MATRICES | BIASES | NORMS, id="all decay"),
    pytest.param(True, False, MATRICES | NORMS, id="biases spared"),
]


@pytest.mark.parametrize("make", [SGDConfig, AdamConfig, AdamWConfig])
@pytest.mark.parametrize(("norms", "biases", "expected"), DECAYED)
def test_decay_spares_what_it_is_told_to(make, norms, biases, expected):
    net = Net()
    config = make(learning_rate=0.1, weight_decay=0.5, decay_norms=norms, decay_biases=biases)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    found = {
        names[id(parameter)]: group["weight_decay"]
        for group in make_optimiser(net, config).param_groups
        for parameter in group["params"]
    }
    assert found.keys() == MATRICES | BIASES | NORMS
    assert {name for name, decay in found.items() if decay} == expected
    assert set(found.values()) <= {0.0, 0.5}


def test_a_model_that_is_frozen_whole_is_refused():
    with pytest.raises(ValueError, match="no parameter that is trained; unfreeze some"):
        make_optimiser(nn.Linear(2, 2).requires_grad_(False), SGDConfig(learning_rate=0.1))


def caffe2_nesterov(start, gradients, rates, momentum):
    """The form whose velocity holds the rate, multiplied by new/old when the rate changes."""
    weights, velocity, before = np.array(start), np.zeros_like(start), rates[0]
    for gradient, rate in zip(gradients, rates, strict=True):
        velocity = velocity * rate / before
        fresh = momentum * velocity + rate * gradient
        weights = weights - ((1 + momentum) * fresh - momentum * velocity)
        velocity, before = fresh, rate
    return weights


def test_sgd_takes_the_steps_of_the_form_with_momentum_correction():
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(12, 5))
    rates = [0.1] * 4 + [0.01] * 4 + [0.04] * 4
    layer = nn.Linear(5, 1, bias=False).double()
    layer.weight.data = torch.tensor(start[None])
    optimiser = make_optimiser(layer, SGDConfig(learning_rate=0.1, momentum=0.9))
    for gradient, rate in zip(gradients, rates, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        layer.weight.grad = torch.tensor(gradient[None])
        optimiser.step()
    expected = caffe2_nesterov(start, gradients, rates, 0.9)
    np.testing.assert_allclose(layer.weight.detach().numpy()[0], expected, rtol=1e-12)


@pytest.mark.parametrize("make", [AdamConfig, AdamWConfig])
def test_adam_takes_the_steps_of_the_paper(make):
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=3), rng.normal(size=(9, 3))
    rate, decay, (one, two), epsilon = 0.05, 0.1, (0.8, 0.95), 1e-6
    layer = nn.Linear(3, 1, bias=False).double()
    layer.weight.data = torch.tensor(start[None])
    config = make(learning_rate=rate, weight_decay=decay, betas=(one, two), epsilon=epsilon)
    optimiser = make_optimiser(layer, config)
    weights, mean, square = start.copy(), np.zeros(3), np.zeros(3)
    for count, gradient in enumerate(gradients, 1):
        layer.weight.grad = torch.tensor(gradient[None])
        optimiser.step()
        if make is AdamWConfig:
            weights -= rate * decay * weights
        else:
            gradient = gradient + decay * weights
        mean = one * mean + (1 - one) * gradient
        square = two * square + (1 - two) * gradient**2
        root = np.sqrt(square / (1 - two**count)) + epsilon
        weights -= rate * mean / (1 - one**count) / root
    np.testing.assert_allclose(layer.weight.detach().numpy()[0], weights, rtol=1e-9)
