"""Recipes: bases, overrides, and the sentence that each mistake is answered with."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from reelbank.jobs.recipe import load_recipe, recipe_kind, recipe_names, resolved_yaml
from reelbank.jobs.recipe_kinds import KINDS
from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.jobs.training.settings import TrainSettings
from reelbank.pipeline.settings import ExtractSettings
from tests.jobs.commands import reelbank, refused


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_shipped_recipe_loads_and_survives_being_written_out(tmp_path):
    for name in recipe_names():
        root = recipe_kind(name).root
        settings = load_recipe(name, (), root)
        again = load_recipe(written(tmp_path, resolved_yaml(settings)), (), root)
        assert resolved_yaml(again) == resolved_yaml(settings), name


def test_every_shipped_recipe_is_listed_below_its_kind_with_a_whole_sentence():
    kind, found = None, {}
    for line in reelbank("recipes").out.splitlines():
        if not line.startswith(" "):
            kind = line.split()[0]
            continue
        name, sentence = line.split(maxsplit=1)
        assert sentence.endswith("."), line
        found[name] = kind
    assert found == {name: recipe_kind(name).name for name in recipe_names()}
    assert set(found.values()) == {"extraction", "training", "sweep"}


@pytest.mark.parametrize(
    ("recipe", "root", "words"),
    [
        ("default", TrainSettings, ["default is an extraction recipe", "'reelbank extract'"]),
        ("theatre/sto", ExtractSettings, ["theatre/sto is a training recipe", "'reelbank train'"]),
        ("theatre/sto", SweepSettings, ["'reelbank sweep' takes a sweep recipe, such as sweeps/"]),
    ],
)
def test_a_recipe_of_another_kind_is_answered_with_the_command_that_takes_it(recipe, root, words):
    with pytest.raises(ValueError, match="recipe") as refusal:
        load_recipe(recipe, (), root)
    assert str(refusal.value).count("\n") == 0
    for word in words:
        assert word in str(refusal.value)


def test_extract_refuses_a_training_recipe(tmp_path):
    (tmp_path / "film.mp4").touch()
    store = tmp_path / "s"
    said = refused("extract", tmp_path / "film.mp4", "--store", store, "--recipe", "theatre/sto")
    assert "theatre/sto is a training recipe, for 'reelbank train'" in said
    assert not store.exists()


def test_a_file_of_misspelt_keys_alone_is_of_the_kind_that_was_asked_for(tmp_path):
    recipe = written(tmp_path, "labls: {}\n")
    with pytest.raises(ValueError, match="unknown key 'labls'; did you mean 'labels'"):
        load_recipe(recipe, (), TrainSettings)
    assert "unknown key 'labls'" in refused("recipes", recipe)


def test_no_key_belongs_to_two_kinds_of_recipes():
    keys = [field.name for kind in KINDS for field in dataclasses.fields(kind.root)]
    assert len(keys) == len(set(keys))


def test_each_kind_names_a_shipped_recipe_of_its_own():
    for kind in KINDS:
        assert recipe_kind(kind.example) is kind


def test_mistakes_in_a_training_recipe_name_the_key_as_it_is_written(tmp_path):
    for override, words in [
        ("training.optimiser.learning_rat=1", "unknown key 'training.optimiser.learning_rat'"),
        ("head.operator.num_layer=1", "did you mean 'num_layers'"),
        ("short_term={kind: banks}", "short_term"),
        ("training.num_steps=0", "training: num_steps=0"),
    ]:
        assert words in refused("recipes", "theatre/lfb_batch", "--set", override)


def test_a_variant_differs_from_its_base_in_what_it_names_alone(tmp_path):
    mine = load_recipe(written(tmp_path, "base: default\nkey_step_seconds: 0.5\n"))
    assert mine == dataclasses.replace(load_recipe("default"), key_step_seconds=0.5)


def test_a_base_may_be_a_file_beside_the_recipe(tmp_path):
    written(tmp_path, "base: shots\npart_minutes: 3\n", "house.yaml")
    mine = load_recipe(written(tmp_path, "base: house.yaml\nkey_step_seconds: 2\n"))
    assert (mine.part_minutes, mine.key_step_seconds, mine.detector) == (3.0, 2.0, None)


def test_another_kind_replaces_what_the_base_said_of_the_first(tmp_path):
    text = "base: default\nshots: {kind: content, threshold: 30.0}\n"
    shots = load_recipe(written(tmp_path, text)).shots
    assert (type(shots).__name__, shots.threshold) == ("ContentConfig", 30.0)


def test_an_override_is_read_as_yaml_and_wins():
    settings = load_recipe(
        "default", ["key_step_seconds=0.25", "detector=null", "banks={}", "tracks=null"]
    )
    assert (settings.key_step_seconds, settings.detector, settings.banks) == (0.25, None, {})


def test_the_resolved_recipe_names_what_the_network_decides():
    plain = yaml.safe_load(reelbank("recipes", "default").out)
    assert plain["backbones"]["main"]["num_frames"] > 0
    assert plain["backbones"]["main"]["stride"] > 0


MISTAKES = [
    pytest.param("key_step_secnods=1", "key_step_secnods", "key_step_seconds", id="top"),
    pytest.param("shots.treshold=3.5", "shots.treshold", "threshold", id="in a union"),
    pytest.param("backbones.main.num_frame=8", "backbones.main.num_frame", "num_frames", id="map"),
    pytest.param("banks.clip.grid_sise=2", "banks.clip.grid_sise", "grid_size", id="bank"),
    pytest.param("resources.cpu=2", "resources.cpu", "cpus", id="resources"),
]


@pytest.mark.parametrize(("override", "found", "meant"), MISTAKES)
def test_an_unknown_key_is_answered_with_the_closest_one(override, found, meant):
    said = refused("recipes", "default", "--set", override)
    assert f"unknown key '{found}'" in said
    assert f"did you mean '{meant}'" in said


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("key_step_seconds=fast", ["key_step_seconds", "number", '"fast"']),
        ("key_step_seconds='1'", ["key_step_seconds", "number"]),
        ("resources.threads=1.5", ["resources.threads", "integer", "1.5"]),
        ("resources.threads=true", ["resources.threads", "integer", "true"]),
        ("banks=person", ["banks", '"person"']),
        ("shots=adaptive", ["shots", '"adaptive"']),
        ("shots.kind=adaptve", ["shots", "adaptve", "adaptive", "content", "histogram"]),
        ("detector.kind=yolo", ["detector", "yolo", "hog", "torchvision", "detectron2"]),
        ("banks.clip.kind=clips", ["banks.clip.kind", "clips", "'clip'"]),
        ("backbones.main.precision=int8", ["backbones.main.precision", "int8", "bfloat16"]),
    ],
)
def test_a_wrong_type_or_choice_names_the_key_and_what_was_found(override, words):
    said = refused("recipes", "default", "--set", override)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("key_step_seconds=0", ["key_step_seconds=0", "use 0.01 to 3600"]),
        ("key_step_seconds=.nan", ["key_step_seconds"]),
        ("part_minutes=-1", ["part_minutes=-1", "use (0, 600]"]),
        ("part_minutes=.inf", ["part_minutes"]),
        ("banks.clip.grid_size=0", ["banks.clip", "grid_size=0", "use 1 or more"]),
        ("banks.clip.backbone=other", ["banks.clip.backbone='other'", "known: main"]),
        ("backbones.main.name=slowonly_tny", ["backbones.main", "slowonly_tny", "slowonly_tiny"]),
        ("banks.a/b.kind=clip", ["'a/b'", "start with a letter"]),
        ("detector=null", ["banks.person", "needs a detector"]),
        ("resources.device=cuda", ["resources", "gpus=0"]),
        ("tracks.max_gap_seconds=0.5", ["tracks.max_gap_seconds=0.5", "raise it"]),
        ("key_step_seconds", ["--set key_step_seconds", "key=value"]),
        ("=3", ["--set =3", "key=value"]),
        ("banks={a: [}", ["--set banks={a: [}"]),
    ],
)
def test_an_impossible_value_names_the_key_the_value_and_the_remedy(override, words):
    said = refused("recipes", "default", "--set", override)
    for word in words:
        assert word in said


def test_a_setting_of_something_without_a_kind_is_answered_with_the_kinds():
    said = refused("recipes", "shots", "--set", "detector.longest_side=320")
    assert "detector: say which kind it is; known: detectron2, hog, labels, torchvision" in said


def test_a_recipe_that_extracts_nothing_is_refused():
    assert "nothing to extract" in refused("recipes", "shots", "--set", "shots=null")


def test_a_base_that_leads_back_to_itself_is_refused_with_its_way(tmp_path):
    one = written(tmp_path, "base: two.yaml\n", "one.yaml")
    written(tmp_path, "base: one.yaml\n", "two.yaml")
    said = refused("recipes", one)
    assert "leads back to itself" in said
    assert "one.yaml -> " in said
    assert "two.yaml" in said


@pytest.mark.parametrize("recipe", ["defualt", "no_such_recipe"])
def test_an_unknown_recipe_is_answered_with_those_that_ship(recipe):
    said = refused("recipes", recipe)
    assert f"unknown recipe '{recipe}'" in said
    assert ", ".join(recipe_names()) in said


def test_a_recipe_file_that_is_not_there_is_refused(tmp_path):
    assert "no such recipe file" in refused("recipes", tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("key: [1, 2\n", "not YAML"),
        ("- a\n- b\n", "expected keys with values"),
        ("base: [default]\n", "base must name a recipe"),
        ("base: gone\n", "unknown recipe 'gone'"),
        ("part_minutes: 2024-01-01\n", "part_minutes"),
        ("1: 2\n", "unknown key '1'"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, words):
    said = refused("recipes", written(tmp_path, text))
    assert "mine.yaml" in said
    assert words in said


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01 key: 1")
    assert "mine.yaml" in refused("recipes", path)


def test_a_python_config_is_refused_and_does_not_run(tmp_path):
    mark = tmp_path / "ran"
    path = tmp_path / "config.py"
    path.write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    said = refused("recipes", path)
    assert "config.py" in said
    assert "YAML" in said
    assert not mark.exists()


def test_a_tag_that_would_make_yaml_run_code_is_refused_and_does_not_run(tmp_path):
    mark = tmp_path / "ran"
    text = f"part_minutes: !!python/object/apply:os.mkdir ['{mark}']\n"
    assert "not YAML" in refused("recipes", written(tmp_path, text))
    said = refused("recipes", "default", "--set", f"x=!!python/object/apply:os.mkdir ['{mark}']")
    assert "--set" in said
    assert not mark.exists()


def test_a_mistake_stops_an_extraction_before_the_store_is_made(tmp_path):
    (tmp_path / "film.mp4").touch()
    said = refused(
        "extract", tmp_path / "film.mp4", "--store", tmp_path / "s", "--set", "detector.scor=1"
    )
    assert "unknown key 'detector.scor'" in said
    assert not (tmp_path / "s").exists()
