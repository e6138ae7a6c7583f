"""Label maps as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.importers.pbtxt import read_label_map

NAMES = st.dictionaries(
    st.integers(0, 2**31 - 1),
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=("Cs",)), min_size=1),
    max_size=8,
)


def quoted(text, quote):
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


@given(names=NAMES, quote=st.sampled_from("\"'"), is_tight=st.booleans(), is_item=st.booleans())
def test_every_name_in_every_spelling_comes_back(tmp_path_factory, names, quote, is_tight, is_item):
    word, number = ("item", "id") if is_item else ("label", "label_id")
    gap = "" if is_tight else "\n  "
    text = "".join(
        f"{word} {{{gap}name: {quoted(name, quote)}{gap}{number}: {n}{' ' if is_tight else gap}"
        "label_type: PERSON_MOVEMENT\n}\n"
        for n, name in names.items()
    )
    path = tmp_path_factory.mktemp("map") / "map.pbtxt"
    path.write_bytes(text.encode())
    assert read_label_map(path) == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("item {\n name: 'a'\n", "line 1: the class that begins here"),
        ("item {\n name: 'a'\n}", "line 1: a class needs a name and a number"),
        ("\nitem { id: 1 }", "line 2: a class needs a name"),
        ("item { name: 'a' id: 99999999999 }", "a class needs a name and a number"),
        ("item { name 'a' id: 1 }", "line 1: the class that begins here"),
        ("item { name: 'a", 'line 1: "\'" is not expected'),
        ("item", "expected item"),
        ("{ name: 'a' id: 1 }", "expected item"),
        ("item { name: 'a' id:", "the class that begins here"),
    ],
)
def test_a_damaged_map_is_refused_with_the_line(tmp_path, text, words):
    path = tmp_path / "map.pbtxt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"map\.pbtxt, line") as error:
        read_label_map(path)
    assert words in str(error.value)
