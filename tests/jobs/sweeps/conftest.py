"""Recipes that learn a small store in moments."""

import pytest

PLAIN = """
labels: {kind: ava, set: ava@1}
short_term: {kind: bank, bank: person}
head: {bank: none, operator: {inner_dim: 8}}
training:
  num_steps: 4
  batch_size: 8
  optimiser: {kind: adamw, learning_rate: 0.01}
  checkpoint_every: null
  tensorboard: false
test: {num_draws: 0}
"""
WINDOW = """
base: plain.yaml
long_term: {bank: person, support_seconds: 4.0, rows_per_time: 2}
head: {bank: long_term}
"""


@pytest.fixture(scope="session")
def uri(labelled_store):
    """A store with labels; not to be written to."""
    return labelled_store.uri


@pytest.fixture(scope="session")
def recipes(tmp_path_factory):
    """A folder with `plain.yaml` and `window.yaml`."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "plain.yaml").write_text(PLAIN)
    (folder / "window.yaml").write_text(WINDOW)
    return folder
