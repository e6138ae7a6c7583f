"""Detections on their way to those who wait for them: nobody waits for ever."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reelbank.pipeline.consumers import DetectionRows, KeyFrame
from reelbank.pipeline.detect.moments import Moment
from reelbank.pipeline.settings import BankSettings
from reelbank.stores.records import Detections
from tests.jobs.canary import CanaryDetector
from tests.videos import numbered_frame


class OneAnswerTooFew(CanaryDetector):
    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        return super().detect(frames)[1:]


class Broken(CanaryDetector):
    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        raise ZeroDivisionError("the lens is dirty")


def key_frame(number: int) -> KeyFrame:
    return KeyFrame(number, numbered_frame(25 * number))


def rows_of(detector: Any, **options: Any) -> DetectionRows:
    return DetectionRows(
        detector,
        {"things": BankSettings(kind="object")},
        batch_size=2,
        moment_of=lambda number: Moment("film.mp4", float(number)),
        **options,
    )


def refuse(number: int, found: Detections) -> None:
    raise ValueError("not these")


def told(rows: DetectionRows, number: int) -> BaseException | None:
    """What a thread that waits is told in the end; None if it waits for ever."""
    answers: list[BaseException | None] = []

    def wait() -> None:
        try:
            rows.wait_for(number)
        except RuntimeError as error:
            answers.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(10)
    return answers[0] if answers else None


@pytest.mark.parametrize(
    ("detector", "check", "kind"),
    [
        (Broken(), None, ZeroDivisionError),
        (OneAnswerTooFew(), None, ValueError),
        (CanaryDetector(), refuse, ValueError),
    ],
    ids=["the detector fails", "it answers too little", "its answer is refused"],
)
def test_whatever_goes_wrong_releases_those_who_wait_and_names_the_cause(detector, check, kind):
    rows = rows_of(detector, check=check)
    rows.consume(key_frame(0))
    with pytest.raises(kind) as raised:
        rows.consume(key_frame(1))
    error = told(rows, 0)
    assert error is not None
    assert error.__cause__ is raised.value
    assert rows.fail(RuntimeError("later")) is raised.value


def test_a_key_time_that_never_comes_is_an_error_after_the_last_frame():
    rows = rows_of(CanaryDetector())
    rows.consume(key_frame(1))
    rows.finish()
    assert len(rows.wait_for(1)) == len(CanaryDetector().detect([numbered_frame(25)])[0])
    error = told(rows, 2)
    assert error is not None
    assert "number 2" in str(error)


def test_features_are_kept_as_rows_alone():
    rows = rows_of(CanaryDetector())
    frames = [key_frame(1), key_frame(2)]
    for frame in frames:
        rows.consume(frame)
    for frame, found in zip(frames, CanaryDetector().detect([f.rgb for f in frames]), strict=True):
        np.testing.assert_array_equal(rows.rows["things"][frame.number], found.features)
        assert rows.found[frame.number].features is None
        np.testing.assert_array_equal(rows.found[frame.number].boxes, found.boxes)
