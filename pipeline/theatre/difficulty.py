"""How hard the benchmark is: fixed before anything was trained on it, and not tuned since.

A puppet takes part in two processes of its own, one for each family of actions told by a cue. Time
is cut into acts of equal length, from a phase drawn for each puppet and family; each act holds one
event. Of a contextual event first the cue is shown by another puppet, then the puppet takes the
pose; of a prospective event first the pose is taken, then the cue is shown. The pose is the same
whatever the label. All times are whole seconds, the grid on which labels are given.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Difficulty:
    """Settings of the process that makes labels and cues."""

    horizon_seconds: int = 15
    """H: the cue begins at most so long before (contextual) or after (prospective) each second of
    the pose. 15 is one of the usual supports, so a causal window of 15 s and a batch window of 30 s
    hold every cue, and longer windows show nothing more."""
    act_seconds: int = 60
    """Length of an act. A puppet's next cue of the same family is then rarely inside a window of
    60 s, so one that does not know the order of rows loses little (1 point); denser acts would make
    windows longer than H worse than shorter ones."""
    act_jitter_seconds: int = 30
    """The cue begins this much later in its act at most, evenly drawn: 30 to 90 s lie between two
    cues, and a causal window of 60 s sometimes holds an old one (order-blind operators pay)."""
    min_pose_seconds: int = 8
    """Shortest pose. Mean 9 of 60 s: a base rate of about 7 % for each of a family's two labels,
    above the 5 % under which average precision says little."""
    max_pose_seconds: int = 10
    """Longest pose; with H it decides how early the cue may come."""
    cue_seconds: int = 3
    """How long a cue is shown: long enough to be a movement, too rare (2 %) to count itself."""
    clip_reach_seconds: int = 1
    """Whole key times before and after a cue whose clip still shows some of it: clips of 8x8 or
    32x2 frames at 30 Hz reach 1.07 s."""
    gap_seconds: int = 2
    """Seconds from the last key time whose clip shows a cue to the nearest second of the pose: no
    clip shows both."""
    shown_rate: float = 0.9
    """Share of events whose cue is shown: a tenth cannot be told by anybody."""
    honest_rate: float = 0.95
    """Share of shown cues that tell the true label: certainty is never quite reached. With both
    rates the ceiling of the two families is .93, against .50 from the pose alone; over all eight
    counted actions .97 against .75, which keeps a short-term observer 20 points below."""
    stand_rate: float = 0.35
    """Share of movements that are 'stand'; the other three share the rest alike (about 22 %)."""
    min_movement_seconds: int = 3
    """Shortest movement: longer than a clip, so that a clip's middle is one movement."""
    max_movement_seconds: int = 7
    """Longest movement."""

    def __post_init__(self) -> None:
        for name in ("min_pose_seconds", "cue_seconds", "min_movement_seconds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is below 1 s; give 1 or more")
        for name in ("clip_reach_seconds", "gap_seconds", "act_jitter_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} is negative; give 0 or more")
        for low, high in (
            ("min_pose_seconds", "max_pose_seconds"),
            ("min_movement_seconds", "max_movement_seconds"),
        ):
            if getattr(self, high) < getattr(self, low):
                raise ValueError(f"{high}={getattr(self, high)} is below {low}; raise it")
        for name in ("shown_rate", "honest_rate", "stand_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}={getattr(self, name)} is no share; give 0 to 1")
        self._check_times()

    def _check_times(self) -> None:
        shortest = self.nearest_contextual + self.max_pose_seconds - 1
        if self.horizon_seconds < shortest:
            raise ValueError(
                f"horizon_seconds={self.horizon_seconds} leaves no room for a pose of "
                f"{self.max_pose_seconds} s after its cue; give {shortest} or more"
            )
        room = self.horizon_seconds + 2 * self.clip_reach_seconds + self.cue_seconds
        if self.act_seconds < self.act_jitter_seconds + room:
            raise ValueError(
                f"act_seconds={self.act_seconds} is too short for one event within "
                f"{self.act_jitter_seconds} s; give {self.act_jitter_seconds + room} or more"
            )

    @property
    def nearest_contextual(self) -> int:
        """Least seconds from the start of a cue to a second of the pose that follows."""
        return self.cue_seconds - 1 + self.clip_reach_seconds + self.gap_seconds

    @property
    def nearest_prospective(self) -> int:
        """Least seconds from a second of a pose to the start of the cue that follows."""
        return self.clip_reach_seconds + self.gap_seconds

    def cue_offsets(self) -> range:
        """Key times, from the start of a cue, whose clips show some of it."""
        return range(-self.clip_reach_seconds, self.cue_seconds + self.clip_reach_seconds)
