"""The recipes of Tables 7.2, 7.3 and 7.5: every row is there, with the thesis' numbers."""

from dataclasses import asdict
from functools import cache

import pytest

from reelbank.jobs.recipe import load_recipe, recipe_kind, recipe_names, recipe_text
from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.jobs.training.schedules import factor_at
from reelbank.jobs.training.settings import TrainSettings
from reelbank.pipeline.backbones.zoo import backbone_info
from reelbank.pipeline.settings import ExtractSettings

SUPPORTS = (2, 3, 5, 10, 15, 30, 60)
# Typed from the thesis; None: no such cell.
TABLE_2A = {
    "3d_cnn": (22.1, 22.2, 22.3, 20.0, 19.7, 17.5, 15.7),
    "sto": (23.2, 23.6, 23.3, 21.5, 20.9, 18.5, 16.9),
    "lfb_causal": (None, 24.0, 24.3, 24.6, 24.8, 24.6, 24.2),
    "lfb_batch": (None, 24.2, 24.7, 25.2, 25.3, 25.3, 25.5),
}
ROWS = {
    **{
        f"ava/table7.2a_{model}_{support}s": number
        for model, numbers in TABLE_2A.items()
        for support, number in zip(SUPPORTS, numbers, strict=True)
        if number is not None
    },
    **{f"ava/table7.2b_{row}": n for row, n in (("k400", 19.7), ("ava", 24.3), ("lfb", 25.5))},
    **{f"ava/table7.2c_{row}": n for row, n in (("average", 23.1), ("max", 23.2), ("nl", 25.5))},
    "ava/table7.2d_global_pool": 24.9,
    "ava/table7.2d_grid_2x2": 25.1,
    "ava/table7.2d_grid_4x4": 25.1,
    "ava/table7.2d_detection": 25.5,
    "ava/table7.2e_1l": 25.1,
    "ava/table7.2e_2l": 25.5,
    "ava/table7.2e_2l_without_scale": 25.2,
    "ava/table7.2e_2l_without_layer_norm": 23.9,
    "ava/table7.2e_2l_without_dropout": 25.4,
    "ava/table7.2e_2l_dot_product": 25.5,
    "ava/table7.2e_2l_concatenation": 25.3,
    "ava/table7.2e_3l": 25.8,
    "ava/table7.2f_3d_cnn": 22.1,
    "ava/table7.2f_3d_cnn_x2": 22.9,
    "ava/table7.2f_sto": 23.2,
    "ava/table7.2f_sto_x2": 24.1,
    "ava/table7.2f_lfb_2l": 25.5,
    "ava/table7.2f_lfb_3l": 25.8,
    "ava/table7.2g_r50": 25.8,
    "ava/table7.2g_r101": 26.8,
    "ava/table7.2g_r101_3_crop": 27.1,
    "ava/table7.2g_r101_3_crop_flip": 27.4,
    "ava/table7.2g_r101_3_crop_flip_3_scale": 27.7,
    "ava/table7.2h_lfb_r50": 25.8,
    "ava/table7.2h_lfb_r50_test": 24.8,
    "ava/table7.2h_lfb_r101": 27.7,
    "ava/table7.2h_lfb_r101_test": 27.2,
    **{
        f"epic/table7.3_{task}_{row}": number
        for task, numbers in {
            "verb": (49.8, 50.7, 51.0, 51.9, 51.7, 53.0, 52.6, 60.0),
            "noun": (26.1, 27.8, 26.6, 27.8, 29.2, 29.1, 31.8, 45.0),
        }.items()
        for row, number in zip(
            "3d_cnn 3d_cnn_x2 sto sto_x2 lfb_nl lfb_avg lfb_max lfb_max_test".split(),
            numbers,
            strict=True,
        )
    },
    **{
        f"charades/table7.5_{network}_{row}": number
        for network, numbers in {
            "r50": (38.3, 39.5, 39.6, 40.0, 38.4, 38.6, 40.3),
            "r101": (40.3, 41.7, 41.0, 42.3, 40.8, 40.9, 42.5),
        }.items()
        for row, number in zip(
            "3d_cnn 3d_cnn_x2 sto sto_x2 lfb_avg lfb_max lfb_nl".split(), numbers, strict=True
        )
    },
}


def in_tables():
    return [name for name in recipe_names() if "/table7." in name]


@cache
def root_of(name):
    return recipe_kind(name).root


def trainings(prefix=""):
    names = [name for name in recipe_names() if name.startswith(prefix)]
    return [name for name in names if root_of(name) is TrainSettings]


@cache
def training(name):
    return load_recipe(name, (), TrainSettings)


def test_every_row_of_the_tables_has_a_recipe_and_every_recipe_a_row():
    assert set(in_tables()) == set(ROWS)


def test_the_first_line_of_each_says_the_table_and_what_the_thesis_reports():
    for name, number in ROWS.items():
        first = recipe_text(name).splitlines()[0]
        table = name.split("table")[1].split("_")[0]
        assert f"Table {table}:" in first, name
        assert f" {number} " in first.replace(",", " "), name


def rate(settings, step):
    config = settings.training
    return config.optimiser.learning_rate * factor_at(step, config.schedule, config.num_steps)


def schedule(name):
    """Steps, and the learning rate before and at each boundary, at the start and at the end."""
    settings = training(name)
    config = settings.training
    ends = [
        (step, pytest.approx(rate(settings, step - 1)), pytest.approx(rate(settings, step)))
        for step in config.schedule.boundaries
    ]
    return config.num_steps, ends


AVA = (140_000, [(100_000, 0.04, 0.004), (120_000, 0.004, 0.0004)])
AVA_LONGER = (210_000, [(150_000, 0.04, 0.004), (180_000, 0.004, 0.0004)])
VERBS = (36_000, [(28_000, 3e-4, 3e-5), (32_000, 3e-5, 3e-6)])
NOUNS = (50_000, [(40_000, 1e-3, 1e-4), (45_000, 1e-4, 1e-5)])
CHARADES = (24_000, [(20_000, 0.02, 0.002)])
CHARADES_SECOND_STAGE = (12_000, [(10_000, 0.02, 0.002)])


def expected_schedule(name):
    if name.startswith("ava/"):
        return AVA_LONGER if name.endswith("_test") else AVA
    if name.startswith("charades/"):
        return CHARADES_SECOND_STAGE if "_lfb_" in name else CHARADES
    return VERBS if "_verb_" in name else NOUNS


DECAYS = {"ava/": 1e-6, "epic/table7.3_verb": 1e-5, "epic/table7.3_noun": 1e-6, "charades": 1.25e-5}


def test_schedules_are_those_of_the_thesis_step_by_step():
    for name in set(ROWS) & set(trainings()):
        assert schedule(name) == expected_schedule(name), name
        config = training(name).training
        [decay] = [decay for prefix, decay in DECAYS.items() if name.startswith(prefix)]
        found = (config.batch_size, config.optimiser.kind, config.optimiser.momentum)
        assert found == (16, "sgd", 0.9), name
        assert config.optimiser.weight_decay == decay, name
        assert not config.optimiser.decay_norms, name


def test_on_ava_the_rate_rises_from_a_hundredth_over_two_thousand_steps():
    settings = training("ava/table7.2a_3d_cnn_2s")
    found = [rate(settings, step) for step in (0, 1000, 2000)]
    assert found == pytest.approx([0.01, 0.025, 0.04])


@pytest.mark.parametrize("model", TABLE_2A)
def test_supports_are_spans_of_clips_or_lengths_of_windows(model):
    for support, number in zip(SUPPORTS, TABLE_2A[model], strict=True):
        if number is None:
            continue
        settings = training(f"ava/table7.2a_{model}_{support}s")
        if model.startswith("lfb"):
            assert settings.long_term.support_seconds == support
            assert settings.long_term.causal == (model == "lfb_causal")
            assert settings.head.bank == "long_term"
            assert settings.short_term.clip.stride == 2
            continue
        clip = settings.short_term.clip
        assert clip.num_frames == 32
        assert (31 * clip.stride + 1) / clip.clip_rate == pytest.approx(support, rel=0.1)
        assert settings.long_term is None
        assert settings.head.bank == ("none" if model == "3d_cnn" else "short_term")


def leaves(value, path=""):
    if not isinstance(value, dict):
        return {path: value}
    return {
        key: one
        for name, inner in value.items()
        for key, one in leaves(inner, f"{path}.{name}" if path else name).items()
    }


def differences(name, base):
    """Settings in which a recipe differs from another one, with its own value."""
    one, other = (leaves(asdict(training(recipe))) for recipe in (name, base))
    return {key: value for key, value in one.items() if other.get(key) != value}


DEFAULT = "ava/table7.2a_lfb_batch_60s"
ABLATIONS = {
    "ava/table7.2b_lfb": {},
    "ava/table7.2c_average": {"head.operator.kind": "average"},
    "ava/table7.2c_max": {"head.operator.kind": "max"},
    "ava/table7.2c_nl": {},
    "ava/table7.2d_global_pool": {"long_term.bank": "clip", "long_term.rows_per_time": 1},
    "ava/table7.2d_grid_2x2": {"long_term.bank": "grid_2x2", "long_term.rows_per_time": 1},
    "ava/table7.2d_grid_4x4": {"long_term.bank": "grid_4x4", "long_term.rows_per_time": 1},
    "ava/table7.2d_detection": {},
    "ava/table7.2e_1l": {"head.operator.num_layers": 1},
    "ava/table7.2e_2l": {},
    "ava/table7.2e_2l_without_scale": {"head.operator.is_scaled": False},
    "ava/table7.2e_2l_without_layer_norm": {"head.operator.has_layer_norm": False},
    "ava/table7.2e_2l_without_dropout": {"head.operator.dropout": 0.0},
    "ava/table7.2e_2l_dot_product": {"head.operator.affinity": "dot_product"},
    "ava/table7.2e_2l_concatenation": {"head.operator.affinity": "concatenation"},
    "ava/table7.2e_3l": {"head.operator.num_layers": 3},
    "ava/table7.2f_lfb_2l": {},
    "ava/table7.2f_lfb_3l": {"head.operator.num_layers": 3},
    "ava/table7.2g_r50": {"head.operator.num_layers": 3},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_differs_from_the_default_in_what_it_is_about_alone(name):
    assert differences(name, DEFAULT) == ABLATIONS[name]


VIEWS = {
    "ava/table7.2g_r101": {},
    "ava/table7.2g_r101_3_crop": {"short_term.test.crops": "three_crop"},
    "ava/table7.2g_r101_3_crop_flip": {
        "short_term.test.crops": "three_crop",
        "short_term.test.flip": True,
    },
    "ava/table7.2g_r101_3_crop_flip_3_scale": {
        "short_term.test.crops": "three_crop",
        "short_term.test.flip": True,
        "short_term.test.scales": (224, 256, 320),
    },
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_change_the_test_alone(name):
    assert differences(name, "ava/table7.2g_r101") == VIEWS[name]


def test_the_default_is_the_operator_of_the_thesis():
    operator = training(DEFAULT).head.operator
    found = (operator.kind, operator.num_layers, operator.inner_dim, operator.affinity)
    assert found == ("non_local", 2, 512, "embedded_gaussian")
    assert (operator.dropout, operator.is_scaled, operator.has_layer_norm) == (0.2, True, True)
    assert operator.order == "pre_activation"
    for name in trainings("charades/"):
        assert training(name).head.operator.order == "post_activation"


def test_features_that_are_not_decoupled_are_the_same_rows_on_both_sides():
    for name, bank in (("k400", "person_k400"), ("ava", "person")):
        settings = training(f"ava/table7.2b_{name}")
        assert settings.short_term.kind == "bank"
        assert settings.short_term.bank == settings.long_term.bank == bank


def test_windows_outside_of_ava_are_those_of_the_thesis():
    found = {
        name: (one.bank, one.support_seconds, one.rows_per_time)
        for name in ("epic/table7.3_verb", "epic/table7.3_noun", "charades/table7.5_r50")
        if (one := training(f"{name}_lfb_nl").long_term)
    }
    assert found == {
        "epic/table7.3_verb": ("clip", 40.0, 1),
        "epic/table7.3_noun": ("object", 12.0, 10),
        "charades/table7.5_r50": ("clip", 10.0, 1),
    }


def test_clips_of_charades_last_five_seconds_and_are_fixed_in_the_second_stage():
    for name in trainings("charades/"):
        settings = training(name)
        clip = settings.short_term.clip
        assert (31 * clip.stride + 1) / clip.clip_rate == pytest.approx(5.2, abs=0.02)
        assert settings.short_term.is_frozen == ("_lfb_" in name)
        assert settings.short_term.test.crops == "three_crop"
        assert settings.labels.num_clips == 10


def extractions(folder):
    return [
        load_recipe(name)
        for name in recipe_names()
        if name.startswith(f"{folder}/") and root_of(name) is ExtractSettings
    ]


@pytest.mark.parametrize("folder", ["ava", "epic", "charades", "theatre"])
def test_every_bank_that_is_read_is_made_by_an_extraction_recipe_of_the_same_folder(folder):
    made = {}
    for settings in extractions(folder):
        for name, bank in settings.banks.items():
            rate = 1 / settings.key_step_seconds
            made.setdefault(name, set()).add((bank.kind, rate))
    for name in trainings(f"{folder}/"):
        settings = training(name)
        for one in (settings.short_term, settings.long_term):
            if bank := getattr(one, "bank", None):
                assert len(made[bank]) == 1, f"{name}: {bank} has two meanings"
    rates = {rate for kinds in made.values() for _, rate in kinds}
    assert rates == {2.0 if folder == "charades" else 1.0}


def test_clip_and_window_come_from_networks_of_one_depth():
    for name in trainings("ava/table7.2g") + trainings("charades/"):
        settings = training(name)
        is_deep = "r101" in name
        assert ("r101" in settings.short_term.backbone) == is_deep
        if settings.long_term is not None:
            assert settings.long_term.bank.endswith("_r101") == is_deep


def test_networks_are_dilated_but_for_epic_kitchens():
    for folder in ("ava", "epic", "charades"):
        for name in trainings(f"{folder}/"):
            short_term = training(name).short_term
            if short_term.kind == "clips":
                assert short_term.backbone.endswith("_dilated") == (folder != "epic"), name


def test_boxes_are_pooled_alike_in_clips_and_in_the_bank():
    banks = [bank for one in extractions("ava") for bank in one.banks.values()]
    assert {bank.roi_aligned for bank in banks if bank.kind == "person"} == {False}
    clips = [training(name).short_term for name in trainings("ava/")]
    assert {one.roi_aligned for one in clips if one.kind == "clips"} == {False}


def test_ensembles_are_of_two_trainings_of_the_row_above():
    for name in ROWS:
        if name.endswith("_x2"):
            [line] = load_recipe(name, (), SweepSettings).lines.values()
            assert (line.recipe, line.members, line.set) == (name.removesuffix("_x2"), 2, ())


def test_clips_of_the_theatre_span_the_support_in_their_name():
    settings = load_recipe("theatre/extract_supports").resolved()
    for name, bank in settings.banks.items():
        if not name.startswith("person_"):
            continue
        support = float(name.removeprefix("person_").removesuffix("s"))
        times = settings.backbones[bank.backbone].sample_times(100.0, 8.0)
        frame = 1 / settings.backbones[bank.backbone].clip_rate
        assert times[-1] - times[0] + frame == pytest.approx(support, rel=0.06), name


def test_what_clips_of_the_theatre_are_trained_on_is_what_extraction_sees():
    """Rows of a bank and features of clips are then of one kind, and a bank can be made anew."""
    clips = training("theatre/clips_3d_cnn").short_term
    [main] = [load_recipe("theatre/extract").backbones["main"]]
    assert (clips.backbone, clips.weights) == (main.name, main.weights)
    assert clips.clip.short_side == backbone_info(main.name).short_side
    assert (clips.test.crops, clips.augment.crop_size) == ("whole", 0)
