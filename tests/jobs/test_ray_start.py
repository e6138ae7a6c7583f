import pytest
import ray

from reelbank.jobs import ray_start

LATE = "The current node timed out during startup."


@pytest.fixture
def starts(monkeypatch):
    """Ray's own start cannot be made late at will: what it does then is put in its place."""
    told = []
    monkeypatch.setattr(ray, "shutdown", lambda: told.append("shutdown"))

    def outcomes(*errors):
        left = iter(errors)

        def init(**options):
            told.append(options["address"])
            error = next(left)
            if error is not None:
                raise error

        monkeypatch.setattr(ray, "init", init)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        return told

    return outcomes


def test_a_local_ray_that_is_late_is_started_again(starts):
    told = starts(Exception(LATE), Exception(LATE), None)
    ray_start.start_ray()
    assert told == ["local", "shutdown", "local", "shutdown", "local"]


def test_a_local_ray_that_never_comes_is_one_sentence(starts):
    told = starts(*[Exception(LATE)] * ray_start.ATTEMPTS)
    with pytest.raises(ValueError, match=r"did not come up in 4 attempts.*--engine inline"):
        ray_start.start_ray()
    assert told[-1] == "shutdown"


def test_another_error_of_ray_is_told_at_once(starts):
    starts(RuntimeError("no such thing"))
    with pytest.raises(RuntimeError, match="no such thing"):
        ray_start.start_ray()
