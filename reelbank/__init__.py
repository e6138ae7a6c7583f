"""Reelbank: long videos, decoded once, as time-indexed feature banks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reelbank.stores.store import Store, open_store

__all__ = ["Store", "__version__", "open_store"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that reelbank.heads needs torch alone.
    if name in ("Store", "open_store"):
        from reelbank.stores import store

        return getattr(store, name)
    raise AttributeError(f"module 'reelbank' has no attribute {name!r}")
