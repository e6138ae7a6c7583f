import os
import shutil

import pytest

from reelbank.jobs.training.clips.films import films_of
from reelbank.jobs.training.clips.task import make_clip_task
from reelbank.stores.store import open_store
from tests.jobs.extraction import extract
from tests.jobs.training.clips.stores import recipe

FILM = "learn_1.mp4"


@pytest.fixture(scope="module")
def own(blocks, tmp_path_factory):
    """A store of its own, whose one film may be spoiled for a while."""
    folder = tmp_path_factory.mktemp("own")
    path = folder / FILM
    shutil.copy(films_of(blocks, [FILM])[FILM].source, path)
    settings = ("detector=null", "tracks=null", "shots=null", "banks.person=null")
    side = ("backbones.main.short_side=16", "backbones.main.num_frames=1")
    return extract(path, folder / "store", *settings, *side).store, path


def test_a_moved_film_is_one_clear_sentence(own):
    store, path = own
    elsewhere = path.rename(path.with_name("elsewhere.mp4"))
    with pytest.raises(ValueError, match=rf"film '{FILM}' is no longer at .*reelbank extract"):
        films_of(store, [FILM])
    elsewhere.rename(path)


def test_a_film_that_was_touched_is_not_taken_for_the_one_that_was_extracted(own):
    store, path = own
    assert films_of(store, [FILM])[FILM].source == str(path)
    status = path.stat()
    os.utime(path, ns=(0, 0))
    with pytest.raises(ValueError, match="was changed or touched since it was extracted"):
        films_of(store, [FILM])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_film_that_the_store_does_not_have_is_named(own):
    with pytest.raises(ValueError, match=r"the store has no film 'gone\.mp4'"):
        films_of(own[0], [FILM, "gone.mp4"])


def test_a_store_without_the_bank_is_refused_before_any_training(blocks, tmp_path):
    store = open_store(tmp_path / "store", create=True)
    with pytest.raises(ValueError, match="bank 'person'"):
        make_clip_task(recipe(), store)
