"""The sentence for a name that is not there."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """A ValueError that says what was asked for and which names come close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) or names[:5]
    if not close:
        return ValueError(f"unknown {kind} {name!r}: the store holds none yet")
    shown = ", ".join(repr(one) for one in close)
    return ValueError(f"unknown {kind} {name!r}; the closest of {len(names)}: {shown}")
