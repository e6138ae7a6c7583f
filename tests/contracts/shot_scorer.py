"""What every shot scorer promises, whatever it measures."""

import numpy as np
import pytest
from numpy.typing import NDArray

from reelbank.pipeline.shots.scorer import ShotScorer

WIDTH, HEIGHT = 320, 180


class ShotScorerContract:
    """Inherit and say how a scorer for upright frames of 320x180 is made."""

    def make(self) -> ShotScorer:
        raise NotImplementedError

    @pytest.fixture
    def frames(self) -> list[NDArray[np.uint8]]:
        random = np.random.default_rng(7)
        scenes = random.integers(0, 256, (3, HEIGHT // 20, WIDTH // 20, 3), dtype=np.uint8)
        whole = [np.kron(scene, np.ones((20, 20, 1), dtype=np.uint8)) for scene in scenes]
        noise = random.integers(0, 4, (9, HEIGHT, WIDTH, 3), dtype=np.uint8)
        return [np.clip(whole[i // 3] // 2 + noise[i], 0, 255).astype(np.uint8) for i in range(9)]

    def test_every_frame_after_the_first_has_a_finite_score(self, frames):
        scorer = self.make()
        scores = [scorer.score(frame) for frame in frames]
        assert all(score is not None and np.isfinite(score) for score in scores[1:])

    def test_the_same_frames_give_the_same_scores(self, frames):
        first, second = self.make(), self.make()
        assert [first.score(frame) for frame in frames] == [second.score(frame) for frame in frames]

    @pytest.mark.parametrize("start", [1, 4, 8])
    def test_a_scorer_shown_the_frame_before_goes_on_as_if_it_had_seen_all(self, frames, start):
        whole = self.make()
        expected = [whole.score(frame) for frame in frames][start:]
        part = self.make()
        part.score(frames[start - 1])
        assert [part.score(frame) for frame in frames[start:]] == expected

    def test_a_frame_of_another_size_has_no_score_and_leaves_no_trace(self, frames):
        undisturbed, disturbed = self.make(), self.make()
        expected = [undisturbed.score(frame) for frame in frames]
        seen = []
        for frame in frames:
            assert disturbed.score(frame[:-2]) is None
            seen.append(disturbed.score(frame))
        assert seen == expected

    def test_the_frame_is_neither_changed_nor_kept(self, frames):
        expected_scorer, scorer = self.make(), self.make()
        expected = [expected_scorer.score(frame) for frame in frames]
        seen = []
        for frame in frames:
            buffer = frame.copy()
            seen.append(scorer.score(buffer))
            np.testing.assert_array_equal(buffer, frame)
            buffer[:] = 0
        assert seen == expected
