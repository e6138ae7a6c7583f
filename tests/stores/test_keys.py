"""Digests of settings."""

import hashlib
import json
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.keys import canonical_json, digest_of

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Settings:
    name: str
    size: float


@given(PLAIN)
def test_canonical_json_is_strict_and_ascii(value):
    def refuse(word):
        raise AssertionError(word)

    text = canonical_json(value)
    assert text.isascii()
    json.loads(text, parse_constant=refuse)


@given(st.dictionaries(st.text(), PLAIN, max_size=6))
def test_the_order_of_keys_does_not_matter(value):
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


def test_a_dataclass_counts_as_its_fields_and_a_tuple_as_a_list():
    assert digest_of(Settings("a", 1.0)) == digest_of({"size": 1.0, "name": "a"})
    assert digest_of((1, 2)) == digest_of([1, 2])


def test_values_that_differ_have_other_digests():
    values = [1, 1.0, True, "1", None, [], {}, math.inf, -math.inf, "inf", [1], {"1": 1}]
    assert len({digest_of(value) for value in values}) == len(values)


def test_the_digest_is_the_same_on_every_machine():
    text = rb'{"a":[1,2.5,"\u00e9"]}'
    assert digest_of({"a": [1, 2.5, "é"]}) == hashlib.sha256(text).hexdigest()[:32]
    assert len(digest_of(None)) == 32


@pytest.mark.parametrize("value", [b"bytes", object(), {1: 2}, {"a": {1, 2}}])
def test_what_has_no_canonical_json_is_refused(value):
    with pytest.raises(TypeError):
        digest_of(value)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        digest_of([math.nan])
