"""Learning-rate schedules: pure functions of the step, to be printed, plotted and tested alone.

Step s is the update that is done when s updates lie behind; the end of a schedule is therefore
at step `num_steps`, which is never taken.
"""

import math
from bisect import bisect_right

from reelbank.jobs.training.config import (
    ConstantSchedule,
    CosineSchedule,
    LinearSchedule,
    ScheduleConfig,
    StepSchedule,
)


def factor_at(step: int, config: ScheduleConfig, num_steps: int) -> float:
    """What the learning rate is multiplied by at `step`, in a run of `num_steps`."""
    if step >= config.warmup_steps:
        return _main(step, config, num_steps)
    end = _main(config.warmup_steps, config, num_steps)
    return config.warmup_from + (end - config.warmup_from) * step / config.warmup_steps


def _main(step: int, config: ScheduleConfig, num_steps: int) -> float:
    """The schedule without its warm-up."""
    if isinstance(config, ConstantSchedule):
        return 1.0
    if isinstance(config, StepSchedule):
        return config.factors[bisect_right(config.boundaries, step)]
    if isinstance(config, CosineSchedule):
        return _between(config, (1 + math.cos(math.pi * _done(step, config, num_steps))) / 2)
    return _between(config, 1 - _done(step, config, num_steps))


def _done(step: int, config: CosineSchedule | LinearSchedule, num_steps: int) -> float:
    """How much of the curve lies behind, in [0, 1]."""
    begin = config.warmup_steps if config.after_warmup else 0
    return (step - begin) / max(num_steps - begin, 1)


def _between(config: CosineSchedule | LinearSchedule, height: float) -> float:
    return config.end + (1 - config.end) * height


def schedule_lines(
    config: ScheduleConfig, learning_rate: float, num_steps: int, *, num_lines: int = 20
) -> list[str]:
    """The schedule as text: step and learning rate, evenly spread, with both ends."""
    places = range(min(num_lines, num_steps))
    steps = sorted({round(place * (num_steps - 1) / max(len(places) - 1, 1)) for place in places})
    return [
        f"{step:>9}  {learning_rate * factor_at(step, config, num_steps):.6g}" for step in steps
    ]
