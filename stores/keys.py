"""Digests of settings and records: the same value gives the same key on every machine."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

KEY_LENGTH = 32
"""Hexadecimal characters kept of a SHA-256: 128 bits, so that two stages never share a name."""


def digest_of(value: Any) -> str:
    """First 32 hexadecimal characters of the SHA-256 of the value's canonical JSON.

    Dataclasses count as their fields, tuples as lists, keys are sorted; 1 and 1.0 differ. An
    infinite number is allowed (the open end of a last span), NaN is not.
    """
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()[:KEY_LENGTH]


def canonical_json(value: Any) -> str:
    """One strictly valid spelling for each value: ASCII, sorted keys, no spaces."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _plain_float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {_key_name(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(item) for item in value]
    raise TypeError(f"{value!r} ({type(value).__name__}) has no canonical JSON; convert it first")


def _plain_float(value: float) -> Any:
    if math.isnan(value):
        raise ValueError("NaN cannot be part of a key; use None for an unknown number")
    if math.isinf(value):
        return {"float": "inf" if value > 0 else "-inf"}
    return float(value)


def _key_name(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"mapping keys must be text to be part of a key, got {key!r}")
    return key
