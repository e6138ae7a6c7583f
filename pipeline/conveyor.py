"""A thread that works through items in order, fed through a bounded queue."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Conveyor(Generic[Item]):
    """Calls `consume` for each item on a thread of its own.

    At most `capacity` items wait, so a slow consumer holds the producer back instead of filling
    memory. What the consumer raises is raised in the producer, at its next `put` or at `close`.
    """

    def __init__(self, name: str, consume: Callable[[Item], None], *, capacity: int) -> None:
        self._items: queue.Queue[Item | None] = queue.Queue(capacity)
        self._consume = consume
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over one item; waits while the queue is full."""
        if self._error is not None:
            raise self._error
        self._items.put(item)

    def close(self) -> None:
        """Wait until every item is consumed; raises what the consumer raised."""
        self._items.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Stop without caring for the items that still wait, or for what the consumer raises."""
        self._error = self._error or RuntimeError("abandoned")
        self._items.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            if self._error is None:
                try:
                    self._consume(item)
                except BaseException as error:  # noqa: BLE001 - carried to the producer
                    self._error = error
            # After an error items are still taken, so that the producer never blocks on `put`.
