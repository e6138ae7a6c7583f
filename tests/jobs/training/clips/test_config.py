import sys
from subprocess import run

import pytest

from reelbank.jobs.training.clips.config import AugmentConfig, ClipsConfig, ViewsConfig


def test_nulls_become_the_thesis_numbers_for_a_network_of_its_size():
    found = ClipsConfig(backbone="slowfast_r50_8x8").resolved()
    assert (found.num_frames, found.stride, found.short_side) == (32, 2, 256)
    assert found.augment == AugmentConfig(short_side=(256, 320), crop_size=224, flip=True)
    assert found.test.scales == (256,)
    assert found.resolved() == found


def test_without_a_crop_clips_have_one_size():
    found = ClipsConfig(short_side=100, augment=AugmentConfig(crop_size=0)).resolved()
    assert found.augment.short_side == (100, 100)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: AugmentConfig(short_side=(9, 8)), r"short_side=\[9, 8\] is no range"),
        (lambda: AugmentConfig(crop_size=-1), "crop_size=-1 is negative"),
        (lambda: AugmentConfig(short_side=(8, 9), crop_size=0), "clips of many sizes"),
        (
            lambda: ClipsConfig(short_side=128, augment=AugmentConfig(crop_size=129)),
            "larger than the least short",
        ),
        (lambda: ViewsConfig(scales=()), r"scales=\[\] is not possible"),
        (lambda: ViewsConfig(scales=(8, 8)), "repeats one"),
        (lambda: ClipsConfig(boxes=()), "ground_truth, predicted or both"),
        (lambda: ClipsConfig(boxes=("predicted", "predicted")), "ground_truth, predicted or both"),
        (lambda: ClipsConfig(backbone="slowly"), "unknown backbone 'slowly'"),
        (lambda: ClipsConfig(sha256="0"), "sha256=0 is given without weights"),
        (lambda: ClipsConfig(test_batch=0), "test_batch=0"),
        (lambda: ClipsConfig(num_frames=0), "num_frames=0"),
    ],
)
def test_impossible_values_are_refused_in_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_the_settings_import_neither_torch_nor_a_decoder():
    text = (
        "import sys; import reelbank.jobs.training.clips.config; "
        "print({'torch', 'av', 'cv2'} & set(sys.modules))"
    )
    found = run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
