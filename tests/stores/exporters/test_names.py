from urllib.parse import unquote

from hypothesis import example, given
from hypothesis import strategies as st

from reelbank.stores.exporters.names import MAX_BYTES, safe_name
from tests.stores.builders import STRANGE_NAMES

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
alike = st.text("./~%A2E\\ a\n", min_size=1, max_size=6)


@given(ids | alike | st.sampled_from(STRANGE_NAMES))
@example("..")
@example("../" * 300)
def test_a_name_is_one_file_of_plain_letters(video_id):
    name = safe_name(video_id)
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set("/\\ \"'*?[]:|<>")
    assert not name.startswith(".")
    assert len(name) <= MAX_BYTES
    if "~" not in name:
        assert unquote(name) == video_id


@given(st.sets(ids | alike, min_size=2, max_size=9))
def test_two_ids_never_share_a_name(video_ids):
    assert len({safe_name(video_id) for video_id in video_ids}) == len(video_ids)


def test_long_ids_that_differ_at_the_end_have_two_names():
    first, second = ("folder/" * 99 + end for end in ("one.mp4", "two.mp4"))
    assert safe_name(first) != safe_name(second)
    # Nor does anyone's plain name look like a cut one.
    assert safe_name(safe_name(first)) != safe_name(first)
