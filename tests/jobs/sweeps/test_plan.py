"""What a sweep will train, told before anything is trained."""

import dataclasses

import pytest

from reelbank.jobs.recipe import load_recipe, recipe_kind, recipe_names
from reelbank.jobs.sweeps.plan import members_of, planned
from reelbank.jobs.sweeps.settings import (
    AxisSettings,
    CeilingSettings,
    LineSettings,
    SweepSettings,
)
from reelbank.pipeline.theatre.ceilings import OBSERVERS
from reelbank.pipeline.theatre.roles import ACTIONS
from reelbank.pipeline.theatre.sizes import SIZES

SWEEPS = [name for name in recipe_names() if recipe_kind(name).root is SweepSettings]
LFB = LineSettings(recipe="theatre/lfb_batch", set=("long_term.support_seconds={support}",))
AXIS = AxisSettings(name="support", unit="s", values=(2.0, 10.5, 60.0))


def sweep(**changes):
    given = {"title": "T", "lines": {"LFB": LFB}, "axis": AXIS, "seeds": (3, 4)}
    return SweepSettings(**(given | changes))


@pytest.mark.parametrize("name", SWEEPS)
def test_every_shipped_sweep_can_be_planned(name):
    settings = load_recipe(name, (), SweepSettings)
    entries = planned(settings)
    count = sum(len(settings.values_of(line)) for line in settings.lines)
    assert len(entries) == count * len(settings.seeds)
    folders = [member.folder for member in members_of(entries)]
    assert len(set(folders)) == len(folders)
    assert len({folder.lower() for folder in folders}) == len(folders)


@pytest.mark.parametrize("name", [name for name in SWEEPS if name.startswith("sweeps/theatre")])
def test_sweeps_of_the_theatre_know_a_ceiling_for_every_mark_and_name_its_classes(name):
    settings = load_recipe(name, (), SweepSettings)
    assert len(settings.seeds) == 5
    classes = {action.name: action for action in ACTIONS}
    for family, labels in settings.groups.items():
        assert {classes[label].family for label in labels} == {family}
    counted = {action.name for action in ACTIONS if action.counts}
    assert {label for labels in settings.groups.values() for label in labels} == counted
    supports = SIZES["small"].supports
    for line, found in settings.lines.items():
        assert found.ceiling.observer in OBSERVERS
        for value in settings.values_of(line):
            assert (found.ceiling.support or value) in supports


def test_a_run_is_its_recipe_with_value_and_seed_put_in():
    found = {(entry.value, entry.seed): entry.members[0].settings for entry in planned(sweep())}
    assert found.keys() == {(value, seed) for value in AXIS.values for seed in (3, 4)}
    for (value, seed), settings in found.items():
        changes = [f"long_term.support_seconds={value}", f"training.seed={seed}"]
        assert settings == load_recipe("theatre/lfb_batch", changes, type(settings))


def test_seeds_come_in_turn_so_that_a_stopped_sweep_has_some_of_every_line():
    lines = {"LFB": LFB, "STO": LineSettings(recipe="theatre/sto")}
    found = [(one.seed, one.line) for one in planned(sweep(lines=lines))]
    assert [seed for seed, _ in found] == [3] * 6 + [4] * 6
    assert {line for _, line in found[:6]} == {"LFB", "STO"}


def test_the_same_training_in_two_lines_is_run_once():
    lines = {"one": LFB, "two": LFB, "pair": dataclasses.replace(LFB, members=2)}
    entries = planned(sweep(lines=lines))
    assert len(members_of(planned(sweep()))) == 6
    # The ensembles add a second member for each value and seed.
    assert len(members_of(entries)) == 12


def test_members_of_an_ensemble_differ_in_their_seeds_alone():
    pair = dataclasses.replace(LFB, members=3)
    for entry in planned(sweep(lines={"x3": pair}, seeds=(0, 1, 2))):
        seeds = [member.settings.training.seed for member in entry.members]
        assert seeds == [entry.seed, entry.seed + 1000, entry.seed + 2000]
        plain = {
            dataclasses.replace(
                member.settings,
                training=dataclasses.replace(member.settings.training, seed=0),
            )
            for member in entry.members
        }
        assert len(plain) == 1


def test_what_does_not_change_what_is_learned_does_not_change_the_folder():
    def folders(*changes):
        return [member.folder for member in members_of(planned(sweep(set=changes)))]

    assert folders("training.log_every=3", "training.device=cuda:1") == folders()
    assert not set(folders("training.num_steps=700")) & set(folders())


def test_a_line_may_leave_out_values():
    lines = {"LFB": dataclasses.replace(LFB, values=(60.0,))}
    assert [one.value for one in planned(sweep(lines=lines))] == [60.0, 60.0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lines": {}}, "compares nothing"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "each once"),
        ({"lines": {"a": dataclasses.replace(LFB, values=(7.0,))}}, "are no values of the axis"),
        (
            {
                "axis": None,
                "lines": {"a": dataclasses.replace(LFB, ceiling=CeilingSettings(observer="short"))},
            },
            "no axis to take it from",
        ),
    ],
)
def test_an_impossible_sweep_names_the_setting(changes, words):
    with pytest.raises(ValueError, match=words):
        sweep(**changes)


@pytest.mark.parametrize("values", [(), (2.0, 1.0), (1.0, 1.0), (1.0, float("nan"))])
def test_values_of_an_axis_must_rise(values):
    with pytest.raises(ValueError, match="do not rise"):
        AxisSettings(name="x", values=values)


def test_a_wrong_change_names_line_value_and_key():
    lines = {"LFB": dataclasses.replace(LFB, set=("long_term.suport={support}",))}
    with pytest.raises(
        ValueError, match=r"LFB, support 2, seed 3: .*unknown key 'long_term\.suport'"
    ):
        planned(sweep(lines=lines))


def test_other_braces_in_a_change_stay_as_they_are():
    change = "training.optimiser={kind: sgd, learning_rate: 0.1}"
    lines = {"LFB": dataclasses.replace(LFB, set=(change,))}
    assert planned(sweep(lines=lines))[0].members[0].settings.training.optimiser.kind == "sgd"
