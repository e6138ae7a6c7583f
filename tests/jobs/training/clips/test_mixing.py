import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reelbank.jobs.training.clips.mixing import mixed
from reelbank.jobs.training.labelled.samples import boxed_clips

BOXES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 3), st.integers(0, 9)), max_size=12
)


def samples(boxes, place, *, shift=0.0):
    """A box for each (film, second, mark); its mark is its target, too."""
    videos = tuple(sorted({film for film, _, _ in boxes}))
    marks = np.array([mark for _, _, mark in boxes], np.uint8)
    return boxed_clips(
        videos,
        np.array([videos.index(film) for film, _, _ in boxes], np.int64),
        np.array([second + shift for _, second, _ in boxes], np.float64),
        place=np.full(len(boxes), place, np.int64),
        boxes=np.tile(marks[:, None] / 16, 4).astype(np.float64).reshape(-1, 4),
        targets=marks[:, None],
    )


def as_set(found):
    return sorted(
        (
            found.videos[found.video[clip]],
            round(found.times[clip]),
            int(found.targets[item, 0]),
            float(found.boxes[item, 0]) * 16,
            int(found.place[item]),
        )
        for item, clip in enumerate(found.clip)
    )


@given(BOXES, BOXES)
def test_every_box_is_there_once_and_clips_of_one_moment_are_one(labelled, predicted):
    # Detections lie a little beside the labels, as a store may have them.
    found = mixed(samples(labelled, -1), samples(predicted, 0, shift=0.0004))
    expected = [(*box, float(box[2]), -1) for box in labelled]
    expected += [(*box, float(box[2]), 0) for box in predicted]
    assert as_set(found) == sorted(expected)
    moments = {(film, second) for film, second, _ in [*labelled, *predicted]}
    assert len(found) == len(moments)
    assert (np.diff(found.clip) >= 0).all()
