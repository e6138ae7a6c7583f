"""The command `reelbank` inside this process, with its exit status and what it wrote."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from reelbank.jobs.cli import main


@dataclass(frozen=True)
class Answer:
    """What a person gets back."""

    status: int
    raw: bytes
    """Standard output."""
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def reelbank(*arguments: str | Path) -> Answer:
    """Run the whole command, from the words of its line to its exit status."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    words = ["reelbank", *map(str, arguments)]
    with (
        patch.object(sys, "argv", words),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    out.flush()
    err.flush()
    code = ended.value.code
    status = code if isinstance(code, int) else 0 if code is None else 1
    return Answer(status, out.buffer.getvalue(), err.buffer.getvalue().decode())


def refused(*arguments: str | Path) -> str:
    """The one sentence with which a command is refused as wrong usage."""
    answer = reelbank(*arguments)
    assert answer.status == 2, answer
    assert "Traceback" not in answer.err
    assert answer.out == ""
    lines = answer.err.strip().splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("reelbank: ")
    return lines[0].removeprefix("reelbank: ")
