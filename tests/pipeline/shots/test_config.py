"""Settings of the detectors: their defaults are PySceneDetect's and impossible ones are refused."""

import inspect
import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from reelbank.pipeline.shots.config import (
    AdaptiveConfig,
    ContentConfig,
    ContentWeights,
    HistogramConfig,
    ShotConfig,
    ThresholdConfig,
)
from tests.pipeline.shots.films import CONFIGS, THEIRS

ADAPTER = TypeAdapter(ShotConfig)
THEIR_NAMES = {
    "adaptive": {"threshold": "adaptive_threshold", "min_content": "min_content_val"},
    "content": {},
    "threshold": {"add_final_shot": "add_final_scene"},
    "histogram": {},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_numbers_default_to_those_of_pyscenedetect(kind):
    theirs = inspect.signature(THEIRS[kind]).parameters
    names = {"min_shot_frames": "min_scene_len"} | THEIR_NAMES[kind]
    ours = {name: getattr(CONFIGS[kind], name) for name in CONFIGS[kind].__dataclass_fields__}
    compared = {
        name: value
        for name, value in ours.items()
        if names.get(name, name) in theirs and name != "weights"
    }
    assert compared == {name: theirs[names.get(name, name)].default for name in compared}
    assert {"threshold", "min_shot_frames"} <= set(compared)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_recipe_chooses_a_detector_by_kind(kind):
    assert ADAPTER.validate_python({"kind": kind}) == CONFIGS[kind]


def test_a_recipe_reaches_nested_settings():
    recipe = {"kind": "content", "threshold": 30, "weights": {"edges": 0.5}}
    expected = ContentConfig(threshold=30.0, weights=ContentWeights(edges=0.5))
    assert ADAPTER.validate_python(recipe) == expected


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(ValidationError, match="'adaptive', 'content', 'threshold', 'histogram'"):
        ADAPTER.validate_python({"kind": "adaptiv"})


@pytest.mark.parametrize(
    ("config", "wrong", "named"),
    [
        (AdaptiveConfig, {"window_width": 0}, "window_width=0"),
        (AdaptiveConfig, {"threshold": float("nan")}, "threshold=nan"),
        (AdaptiveConfig, {"min_content": 256.0}, "min_content=256"),
        (ContentConfig, {"threshold": -1.0}, "threshold=-1"),
        (ContentConfig, {"min_shot_frames": -1}, "min_shot_frames=-1"),
        (ContentConfig, {"min_shot_seconds": float("inf")}, "min_shot_seconds=inf"),
        (ThresholdConfig, {"fade_bias": 1.5}, "fade_bias=1.5"),
        (HistogramConfig, {"threshold": 20.0}, "threshold=20"),
        (HistogramConfig, {"bins": 0}, "bins=0"),
        (ContentWeights, {"hue": 0, "saturation": 0, "luma": 0}, "weights are all 0"),
    ],
)
def test_an_impossible_value_is_refused_by_name(config, wrong, named):
    with pytest.raises(ValueError, match=named):
        config(**wrong)


def test_scores_are_kept_when_only_the_decision_changes():
    kept = AdaptiveConfig().scorer_settings()
    assert AdaptiveConfig(threshold=5.0, min_shot_seconds=1.0).scorer_settings() == kept
    assert ContentConfig().scorer_settings() == kept
    assert AdaptiveConfig(weights=ContentWeights(edges=1.0)).scorer_settings() != kept
    assert HistogramConfig(bins=16).scorer_settings() != HistogramConfig().scorer_settings()


def test_the_settings_are_read_without_opencv_pyav_or_torch():
    code = (
        "import sys; import reelbank.pipeline.shots.config, reelbank.pipeline.track.config; "
        "assert not {'cv2', 'av', 'torch', 'scenedetect', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
