"""Label maps as text protocol buffers, in both spellings that are found in the wild.

`item { name: "..." id: 1 }` and `label { name: "..." label_id: 1 label_type: ... }`, with or
without line breaks and spaces between the fields; other fields are passed over.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from reelbank.stores.importers.values import MAX_CLASS

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>[A-Za-z_]\w*)"""
    r"""|(?P<number>\d+)|(?P<mark>[{}:])|(?P<space>[\s,;]+|\#[^\n]*)"""
)
_ESCAPED = re.compile(r"\\(.)")


def read_label_map(path: Path) -> dict[int, str]:
    """Number -> name of each class; ValueError names file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: not UTF-8 text ({error.reason})") from error
    names: dict[int, str] = {}
    for line, fields in _blocks(path, list(_tokens(path, text))):
        number = fields.get("label_id", fields.get("id", ""))
        name = fields.get("name")
        if not number.isdecimal() or int(number) > MAX_CLASS or not name:
            raise _fault(path, line, "a class needs a name and a number (id or label_id)")
        if int(number) in names:
            raise _fault(path, line, f"class {number} is there twice")
        names[int(number)] = name
    return names


def _tokens(path: Path, text: str) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of each token."""
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _fault(path, line, f"{text[position]!r} is not expected in a label map")
        kind, found = match.lastgroup or "", match[0]
        if kind == "text":
            yield line, kind, _ESCAPED.sub(r"\1", found[1:-1])
        elif kind != "space":
            yield line, kind, found
        line += found.count("\n")
        position = match.end()


def _blocks(path: Path, tokens: list[tuple[int, str, str]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and fields of each block `item {...}` or `label {...}`."""
    position = 0
    while position < len(tokens):
        line, _, word = tokens[position]
        if word not in ("item", "label") or _word_at(tokens, position + 1) != "{":
            raise _fault(path, line, f"expected item {{...}} or label {{...}}, found {word!r}")
        position += 2
        fields: dict[str, str] = {}
        while _word_at(tokens, position) != "}":
            if _word_at(tokens, position + 1) != ":" or position + 2 >= len(tokens):
                raise _fault(path, line, "the class that begins here is not fields in braces")
            fields[tokens[position][2]] = tokens[position + 2][2]
            position += 3
        position += 1
        yield line, fields


def _word_at(tokens: list[tuple[int, str, str]], position: int) -> str | None:
    """Mark or word there; None for a text, as a name may be '}' or ':', and past the end."""
    if position >= len(tokens) or tokens[position][1] == "text":
        return None
    return tokens[position][2]


def _fault(path: Path, line: int, reason: str) -> ValueError:
    return ValueError(f"{path.name}, line {line}: {reason}")
