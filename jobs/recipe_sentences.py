"""What is said of a recipe's mistakes: the key as it was written, what was found, what is known."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

UNION_KEY = "kind"
"""Key that tells the members of a union of settings apart."""


def sentence_of(error: Mapping[str, Any], root: type) -> str:
    """One of pydantic's errors about settings of class `root`, for the person who wrote them."""
    # pydantic names the chosen member of a union in the path; a person did not write that.
    path = [str(step) for step in error["loc"]]
    key = ".".join(_walk(root, path)[0])
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {key!r}{closest(path[-1], _fields_at(root, path[:-1]))}"
    if error["type"] == "union_tag_not_found":
        kinds = ", ".join(sorted(_members(_walk(root, path)[1])))
        return f"{key}: say which kind it is; known: {kinds}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{key}: {message}" if path else message
    found = json.dumps(error["input"], default=str)
    found = found if len(found) <= 60 else found[:57] + "..."
    return f"{key or 'recipe'}: {message[0].lower()}{message[1:]}, found {found}"


def closest(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name: the nearest one, and all."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{meant} known: {', '.join(sorted(known))}" if known else ""


def _fields_at(root: type, path: Sequence[str]) -> list[str]:
    members = _members(_walk(root, path)[1])
    one = next(iter(members.values())) if len(members) == 1 else None
    return [field.name for field in fields(one)] if one is not None else []


def _walk(root: type, path: Sequence[str]) -> tuple[list[str], Any]:
    """Down the settings: the steps that a person writes, and the annotation where they lead."""
    written: list[str] = []
    node: Any = root
    for step in path:
        members = _members(node)
        if len(members) > 1 and step in members:
            node = members[step]
            continue
        written.append(step)
        node = _child(next(iter(members.values()), None) if len(members) == 1 else None, node, step)
    return written, node


def _members(node: Any) -> dict[str, Any]:
    """Settings classes that an annotation admits, by their `kind`."""
    if is_dataclass(node):
        kind = get_type_hints(node).get(UNION_KEY)
        names = get_args(kind) or (getattr(node, "__name__", ""),)
        return {str(names[0]): node}
    if get_origin(node) is Annotated:
        return _members(get_args(node)[0])
    if get_origin(node) in (Union, UnionType):
        return {name: one for arg in get_args(node) for name, one in _members(arg).items()}
    return {}


def _child(owner: Any, node: Any, step: str) -> Any:
    if owner is not None:
        return get_type_hints(owner, include_extras=True).get(step)
    if get_origin(node) is dict:
        return get_args(node)[1]
    return None
