"""The dataset gives what `gather` gives, in this process and in workers of either kind."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset

from reelbank import open_store
from reelbank.jobs.training.bank_dataset import BankDataset, collate, row_dim
from tests.stores.builders import commit_bank, filled_store, unit

DIM = 6
VIDEOS = ("a.mp4", "b's.mp4")


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    store = open_store(str(tmp_path_factory.mktemp("store") / "s"), create=True)
    rng = np.random.default_rng(0)
    for video_id in VIDEOS:
        counts = rng.integers(0, 4, 50).tolist()
        held = {
            float(number): rng.normal(size=(count, DIM)).astype(np.float16)
            for number, count in enumerate(counts)
        }
        details = {"bank": {"kind": "person", "key_step_seconds": 1.0}}
        commit_bank(store, "person", [(unit(video_id, "bank:person", details=details), held)])
    return store.bank("person")


KEYS = [(video_id, float(time)) for time in range(0, 50, 3) for video_id in VIDEOS]


def assert_equal(batch, bank, keys, **options):
    expected = bank.gather(keys, 10.0, **options)
    assert batch.rows.dtype == torch.float16
    assert batch.mask.dtype == torch.bool
    assert batch.times.dtype == torch.float64
    for name in ("rows", "mask", "times"):
        np.testing.assert_array_equal(getattr(batch, name).numpy(), getattr(expected, name))


WORKERS = [
    pytest.param(0, None, False, id="in this process"),
    pytest.param(2, "fork", False, id="two forked workers"),
    pytest.param(2, "spawn", True, id="two spawned workers that persist", marks=pytest.mark.slow),
]


# Python says of every fork beside threads that it may hang; that ours does not is the test.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize(("num_workers", "method", "persist"), WORKERS)
def test_loaders_of_all_kinds_give_what_gather_gives(bank, num_workers, method, persist):
    bank.window(*KEYS[0], 10.0)
    dataset = BankDataset(bank, KEYS, 10.0, causal=True, rows_per_time=2)
    loader = DataLoader(
        dataset,
        batch_size=8,
        collate_fn=collate,
        num_workers=num_workers,
        multiprocessing_context=method,
        persistent_workers=persist,
    )
    for _ in range(2):
        seen = []
        for batch in loader:
            keys = [KEYS[number] for number in batch.key_numbers.tolist()]
            assert batch.rows.shape[1:] == (20, DIM)
            assert batch.boxes is None
            assert_equal(batch, bank, keys, causal=True, rows_per_time=2)
            seen += keys
        assert seen == KEYS


def test_a_shuffled_loader_tells_which_keys_it_took(bank):
    dataset = BankDataset(bank, KEYS, 10.0)
    assert len(dataset) == len(KEYS)
    order = torch.Generator().manual_seed(0)
    loader = DataLoader(dataset, batch_size=5, shuffle=True, collate_fn=collate, generator=order)
    seen = []
    for batch in loader:
        keys = [KEYS[number] for number in batch.key_numbers.tolist()]
        assert_equal(batch, bank, keys)
        seen += keys
    assert sorted(seen) == sorted(KEYS)
    assert seen != KEYS


def test_wrapped_datasets_are_padded_to_one_length(bank):
    whole = BankDataset(bank, KEYS, 10.0)
    some = Subset(whole, list(range(4, 12)))
    joined = ConcatDataset([some, BankDataset(bank, KEYS[:3], 10.0)])
    (batch,) = DataLoader(joined, batch_size=len(joined), collate_fn=collate)
    assert_equal(batch, bank, [*KEYS[4:12], *KEYS[:3]])
    assert batch.key_numbers.tolist() == [*range(4, 12), 0, 1, 2]


def test_boxes_come_along(tmp_path):
    bank = filled_store(open_store(str(tmp_path / "s"), create=True)).bank("person")
    batch = BankDataset(bank, [("one.mp4", 1.0), ("two's.mp4", 9.0)], 4.0, boxes=True)
    found = batch.__getitems__([0, 1])
    torch.testing.assert_close(found.boxes[0], torch.tensor([[0.1, 0.2, 0.5, 0.75]] * 3))
    assert found.mask.sum(dim=1).tolist() == [3, 0]
    assert not found.boxes[1].any()


def test_batches_can_be_pinned_field_by_field(bank):
    # What a DataLoader does with a named tuple; without a GPU it would pin nothing.
    from torch.utils.data._utils.pin_memory import pin_memory

    batch = BankDataset(bank, KEYS, 10.0).__getitems__([0, 1])
    if torch.cuda.is_available():
        assert pin_memory(batch).rows.is_pinned()
    assert type(batch)._fields == ("rows", "mask", "times", "boxes", "key_numbers")


def test_each_cell_of_a_grid_is_a_row_of_its_own(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    grids = np.random.default_rng(0).normal(size=(7, 3, 3, DIM)).astype(np.float16)
    details = {"bank": {"kind": "grid", "grid_size": 3, "key_step_seconds": 1.0}}
    held = {float(time): grid.reshape(1, -1) for time, grid in enumerate(grids)}
    commit_bank(store, "grid", [(unit("a.mp4", "bank:grid", details=details), held)])
    bank = store.bank("grid")
    assert row_dim(bank) == DIM
    batch = BankDataset(bank, [("a.mp4", 5.0)], 6.0, rows_per_time=1)[0]
    assert batch.rows.shape == (1, 6 * 9, DIM)
    # The film ends at 6 s, so one of the six key times does not exist.
    assert batch.mask[0].tolist() == [True] * 45 + [False] * 9
    np.testing.assert_array_equal(batch.rows[0, :45], grids[2:7].reshape(45, DIM))
    np.testing.assert_array_equal(batch.times[0, :45], np.repeat(np.arange(2.0, 7.0), 9))
