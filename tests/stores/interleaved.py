"""Writers, readers and collections on one store, one file operation of one of them at a time.

Whose turn it is, chance decides; the same seed gives the same course.
"""

import random
import threading
from collections.abc import Callable

from reelbank.stores import layout
from reelbank.stores.commits import Commit
from reelbank.stores.files import Files


class Killed(BaseException):
    """The process ends here."""


class Course:
    """Runs functions side by side, each in a thread that waits for its turn."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.created: list[Commit] = []
        """Every commit that was ever there."""
        self._turn = threading.Condition()
        self._chosen: int | None = None
        self._waiting: set[int] = set()
        self._alive: set[int] = set()
        self._doomed: set[int] = set()
        self._errors: list[BaseException] = []
        self._me = threading.local()

    def run(self, actors: list[Callable[[], None]], *, num_kills: int = 0) -> None:
        """All of them to their end, but for some that are killed at a moment of chance."""
        self._alive = set(range(len(actors)))
        threads = [
            threading.Thread(target=self._play, args=(number, actor))
            for number, actor in enumerate(actors)
        ]
        for thread in threads:
            thread.start()
        victims = self.chance.sample(range(len(actors)), num_kills)
        deaths = {victim: self.chance.randrange(60) for victim in victims}
        steps = dict.fromkeys(self._alive, 0)
        # Now step by step in turn, now long stretches in which the others stand still.
        patience = self.chance.choice((0.0, 0.7, 0.95, 0.99))
        chosen = 0
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._chosen is None and self._waiting == self._alive)
                if not self._alive:
                    break
                if chosen not in self._alive or self.chance.random() >= patience:
                    chosen = self.chance.choice(sorted(self._alive))
                steps[chosen] += 1
                if steps[chosen] > deaths.get(chosen, 10**9):
                    self._doomed.add(chosen)
                self._chosen = chosen
                self._turn.notify_all()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def step(self) -> None:
        """Wait for one's turn; outside of a course nobody waits."""
        number = getattr(self._me, "number", None)
        if number is None:
            return
        with self._turn:
            self._waiting.add(number)
            if self._chosen == number:
                self._chosen = None
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._chosen == number)
            self._waiting.discard(number)
            if number in self._doomed:
                raise Killed

    def _play(self, number: int, actor: Callable[[], None]) -> None:
        self._me.number = number
        try:
            self.step()
            actor()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # told by the thread that asked
            self._errors.append(error)
        with self._turn:
            self._alive.discard(number)
            self._waiting.discard(number)
            if self._chosen == number:
                self._chosen = None
            self._turn.notify_all()


class SteppedFiles(Files):
    """Each operation is one step of the course."""

    def __init__(self, uri: str, course: Course) -> None:
        super().__init__(uri)
        self._course = course

    def list_names(self, folder: str) -> list[str]:
        """As by pages, in the order of names: what is on the second is looked at later."""
        self._course.step()
        names = [name for name in super().list_names(folder) if name < "epoch"]
        self._course.step()
        return names + [name for name in super().list_names(folder) if name >= "epoch"]

    def read(self, path: str) -> bytes:
        self._course.step()
        return super().read(path)

    def read_existing(self, paths: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in paths:
            self._course.step()
            found |= super().read_existing([path])
        return found

    def write_new(self, path: str, data: bytes) -> None:
        self._course.step()
        super().write_new(path, data)

    def create(self, path: str, data: bytes) -> bool:
        self._course.step()
        created = super().create(path, data)
        if created and path.startswith(f"{layout.COMMITS}/"):
            self._course.created.append(Commit.from_json(data))
        return created

    def remove(self, path: str) -> None:
        self._course.step()
        super().remove(path)
