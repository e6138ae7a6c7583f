"""Clips and head trained together; the same model as a head on the bank where nothing is drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reelbank.jobs.training.cached_task import prepare_cached
from reelbank.jobs.training.checkpoints import checkpoints_of, load_checkpoint
from reelbank.jobs.training.clips.config import ClipsConfig, ViewsConfig
from reelbank.jobs.training.clips.dataset import TestClips
from reelbank.jobs.training.clips.films import films_of
from reelbank.jobs.training.clips.task import make_clip_task
from reelbank.jobs.training.config import AdamWConfig
from reelbank.jobs.training.logs import read_log
from reelbank.jobs.training.loop import evaluate, fit
from reelbank.jobs.training.prepare import prepare
from reelbank.jobs.training.settings import (
    AvaLabels,
    BankShortTerm,
    CharadesLabels,
    EpicLabels,
    HeadSettings,
    LongTermSettings,
)
from reelbank.pipeline.theatre.theatre import make_theatre
from tests.jobs.extraction import extract, import_theatre
from tests.jobs.training.clips.stores import (
    FILMS,
    SECONDS,
    clips_config,
    commit_labels,
    line,
    recipe,
    training,
    without_bank,
)


@pytest.fixture(scope="module")
def spans(blocks):
    """Label sets about spans, of the same store."""
    for name, task in (("spans", "action"), ("segments", "verb")):
        lines = [
            line(
                film,
                task=task,
                start_seconds=float(start),
                end_seconds=start + 2.0,
                label_id=1 + start // 2 % 2,
                segment_id=f"{film}-{start}",
            )
            for film in FILMS
            for start in range(0, SECONDS - 1, 2)
        ]
        commit_labels(blocks, name, lines)
    return blocks


def scores_of(task):
    task.model.eval()
    with torch.no_grad():
        return task.scores()


def noisy(model):
    """Zero-initialised layers would hide what they are fed with."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"long_term": None, "head": HeadSettings(bank="short_term")},
        {"long_term": LongTermSettings(bank="clip", support_seconds=3.0, causal=True)},
    ],
    ids=["batch window of boxes", "short-term operator", "causal window of clips"],
)
def test_before_training_scores_are_those_of_the_head_on_the_bank(blocks, change):
    settings = recipe(**change)
    on_bank = replace(settings, short_term=BankShortTerm(bank="person"))
    cached = prepare_cached(on_bank, blocks).task.scorer
    task = make_clip_task(settings, blocks)[0]
    for one in (task.model.head, cached.model):
        noisy(one)
    found, expected = scores_of(task), scores_of(cached)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    assert found.std() > 0.05


def test_training_on_clips_learns_what_is_to_be_seen(blocks, tmp_path):
    config = training(
        num_steps=20, batch_size=8, optimiser=AdamWConfig(learning_rate=0.002), seed=1
    )
    prepared = prepare(without_bank(recipe(training=config)), blocks)
    before = {name: one.clone() for name, one in prepared.task.model.state_dict().items()}
    result = fit(prepared.task, prepared.data, config, run=tmp_path)
    losses = [entry["loss"] for entry in read_log(tmp_path, "training")]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])
    assert result.metrics["map"] > 0.9
    after = prepared.task.model.state_dict()
    moved = {name for name, one in before.items() if not torch.equal(one, after[name])}
    assert any(name.startswith("backbone.slow.stem") for name in moved)
    assert not any("running" in name for name in moved)


def test_a_run_that_was_broken_off_goes_on_bit_for_bit(blocks, tmp_path):
    config = training(num_steps=3, checkpoint_every=1, keep_checkpoints=9)
    settings = without_bank(recipe(training=config))
    data = make_clip_task(settings, blocks)[1]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with pytest.raises(InterruptedError):
        fit(_Breaks(make_clip_task(settings, blocks)[0], after=2), data, config, run=broken)
    for run in (whole, broken):
        fit(_Breaks(make_clip_task(settings, blocks)[0], after=9), data, config, run=run)
    one, other = (load_checkpoint(checkpoints_of(run)[-1]).weights for run in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)


class _Breaks:
    """A task that is interrupted after some steps."""

    def __init__(self, task, *, after):
        self._task, self._left, self.model = task, after, task.model
        self.weight = task.weight

    def evaluate(self):
        return {}

    def losses(self, batch):
        if not self._left:
            raise InterruptedError
        self._left -= 1
        yield from self._task.losses(batch)


def test_boxes_come_from_the_sources_that_are_asked_for(blocks):
    both = make_clip_task(recipe(), blocks)[1].dataset.samples
    is_labelled = both.place < 0
    for source, wanted in (("ground_truth", is_labelled), ("predicted", ~is_labelled)):
        settings = recipe(short_term=clips_config(boxes=(source,)))
        one = make_clip_task(settings, blocks)[1].dataset.samples
        assert 0 < one.num_items == wanted.sum() < both.num_items
    assert len(both) == 2 * SECONDS


@torch.no_grad()
def test_scores_are_the_means_over_the_views_that_show_a_box(blocks):
    views = ViewsConfig(crops="three_crop", flip=True, scales=(32, 40))
    clips = clips_config(test=views, test_batch=3)
    task = make_clip_task(without_bank(recipe(short_term=clips)), blocks)[0]
    noisy(task.model.head)
    found, samples = scores_of(task), task.test.samples
    looks = TestClips(samples, films_of(blocks, samples.videos), clips)
    expected, num_hidden = [], 0
    for number in range(len(samples)):
        for item, _ in enumerate(np.flatnonzero(samples.clip == number)):
            shown = [view for view in looks[number] if view.is_inside[item]]
            num_hidden += len(looks[number]) - len(shown)
            scores = []
            for view in shown:
                box = view.boxes[item : item + 1]
                clip_of = torch.zeros(1, dtype=torch.int64)
                scores.append(task.model(view.frames[None], box, clip_of).sigmoid())
            expected.append(torch.cat(scores).mean(dim=0))
    assert num_hidden > 0
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_box_that_no_view_shows_is_scored_at_the_border(blocks):
    clips = clips_config(test=ViewsConfig(crops="centre"))
    task = make_clip_task(without_bank(recipe(short_term=clips)), blocks)[0]
    noisy(task.model.head)
    samples = task.test.samples
    corner = replace(samples, boxes=np.tile([0.0, 0.0, 0.05, 1.0], (samples.num_items, 1)))
    task.model.eval()
    found = task.score(corner)
    assert bool(torch.isfinite(found).all())
    # Boxes without area would all pool nothing, and have the same scores.
    assert bool((found.std(dim=0) > 1e-4).all())


@pytest.mark.slow
def test_scores_do_not_depend_on_how_many_clips_are_tested_at_once(blocks):
    found = []
    for at_once in (1, 3):
        views = ViewsConfig(crops="three_crop", flip=True)
        clips = clips_config(test=views, test_batch=at_once)
        task = make_clip_task(recipe(short_term=clips), blocks)[0]
        noisy(task.model.head)
        found.append(scores_of(task))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["charades", "epic"])
def test_labels_about_clips_pool_the_whole_clip(spans, tmp_path, kind):
    labels = {
        "charades": CharadesLabels(set="spans@1", test=("validation",), num_clips=3),
        "epic": EpicLabels(set="segments@1", task="verb"),
    }[kind]
    bank = LongTermSettings(bank="clip", support_seconds=4.0)
    settings = recipe(labels=labels, long_term=bank)
    prepared = prepare(settings, spans)
    batch = prepared.data.collate([prepared.data.dataset[0], prepared.data.dataset[1]])
    assert batch.boxes is None
    assert batch.targets.shape == (2, 3)
    result = fit(prepared.task, prepared.data, settings.training, run=tmp_path)
    assert all(0 <= value <= 1 for value in result.metrics.values())
    tested = prepared.test.samples
    assert len(tested) == (3 if kind == "charades" else SECONDS // 2)


def test_on_charades_the_highest_score_of_any_crop_counts(spans):
    labels = CharadesLabels(set="spans@1", test=("validation",), num_clips=3)
    found = {}
    for crops in ("centre", "three_crop"):
        clips = clips_config(test=ViewsConfig(crops=crops))
        settings = without_bank(recipe(labels=labels, short_term=clips))
        found[crops] = scores_of(make_clip_task(settings, spans)[0])
    # The centre crop is one of the three.
    assert (found["three_crop"] >= found["centre"] - 1e-6).all()
    assert (found["three_crop"] > found["centre"] + 1e-6).any()


def test_films_without_rows_in_the_bank_are_named(blocks):
    nowhere = line("learn_0.mp4", task="action", time=1.0, x1=0.0, y1=0.0, x2=0.5, y2=0.5)
    assert nowhere["video_id"] in blocks.bank("person").videos()
    with pytest.raises(ValueError, match="bank 'nothing'"):
        make_clip_task(
            recipe(long_term=LongTermSettings(bank="nothing", support_seconds=4.0)), blocks
        )


def test_weights_that_do_not_fit_are_refused_before_training(blocks, tmp_path):
    clips = clips_config(weights=str(tmp_path / "gone.safetensors"))
    with pytest.raises(ValueError, match="there is no such weights file"):
        make_clip_task(recipe(short_term=clips), blocks)


def test_moments_after_the_end_of_a_film_are_left_out(spans):
    late = [
        line(
            film,
            task="action",
            time=time,
            label_id=1,
            **dict(zip(("x1", "y1", "x2", "y2"), (0.0, 0.0, 0.5, 0.5), strict=True)),
        )
        for film in FILMS
        for time in (1.0, SECONDS + 3.0)
    ]
    commit_labels(spans, "late", late)
    settings = recipe(
        labels=AvaLabels(set="late@1"), short_term=clips_config(boxes=("ground_truth",))
    )
    samples = make_clip_task(settings, spans)[1].dataset.samples
    assert samples.times.tolist() == [1.0, 1.0]
    assert samples.clip.tolist() == [0, 1]


@pytest.mark.slow
def test_training_on_a_theatre_lowers_the_loss(tmp_path):
    theatre = make_theatre(tmp_path / "theatre", "tiny", seed=3, processes=1)
    store = extract(
        theatre.films,
        tmp_path / "store",
        f"detector={{kind: labels, labels: {theatre.boxes}}}",
        "tracks=null",
        "shots=null",
        "backbones.main.short_side=48",
        "backbones.main.weights=null",
    ).store
    import_theatre(theatre, store)
    clips = ClipsConfig(short_side=48, test=ViewsConfig(crops="whole"))
    config = training(num_steps=60, batch_size=8, optimiser=AdamWConfig(learning_rate=0.002))
    labels = AvaLabels(set="theatre@2.2", test=("test",), min_iou=0.6)
    settings = recipe(labels=labels, short_term=clips, training=config)
    prepared = prepare(settings, store)
    before = evaluate(prepared.task, config)["map"]
    result = fit(prepared.task, prepared.data, config, run=tmp_path / "run")
    losses = [entry["loss"] for entry in read_log(tmp_path / "run", "training")]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:3])
    assert result.metrics["map"] > before
