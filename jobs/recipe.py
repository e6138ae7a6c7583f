"""Recipes: YAML in, typed settings out; a wrong key or value is refused before any work.

A recipe names its `base` (another recipe) and what differs from it. Nothing in it is executed.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from reelbank.pipeline.settings import ExtractSettings

DEFAULT = "default"
"""Recipe of `reelbank extract` without --recipe."""

_UNION_KEY = "kind"


def recipe_names() -> list[str]:
    """Recipes that ship with Reelbank."""
    folder = resources.files("reelbank.jobs.recipes")
    return sorted(
        item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")
    )


def recipe_text(name: str) -> str:
    """YAML of a shipped recipe; raises ValueError with the closest names for an unknown one."""
    if name not in recipe_names():
        raise ValueError(f"unknown recipe {name!r}{_closest(name, recipe_names())}")
    return resources.files("reelbank.jobs.recipes").joinpath(f"{name}.yaml").read_text("utf-8")


def load_recipe(recipe: str = DEFAULT, overrides: Sequence[str] = ()) -> ExtractSettings:
    """Settings of a shipped recipe or a YAML file, with `key.sub=value` overrides on top.

    Raises ValueError that names the key, what was found, and the closest valid key.
    """
    tree = _tree(recipe, ())
    for override in overrides:
        _set(tree, override)
    return settings_from(tree, f"recipe {recipe}")


def settings_from(tree: Mapping[str, Any], where: str) -> ExtractSettings:
    """Typed settings from plain values; a bank or backbone that is null is left out."""
    named = {
        key: {name: one for name, one in tree[key].items() if one is not None}
        for key in ("backbones", "banks")
        if isinstance(tree.get(key), Mapping)
    }
    tree = {**tree, **named}
    try:
        # As JSON, because strict JSON rules admit lists where the settings have tuples.
        return _adapter().validate_json(json.dumps(tree, default=str), strict=True)
    except TypeError as error:
        raise ValueError(f"{where}: {error}; use plain YAML values") from error
    except ValidationError as error:
        raise ValueError(
            f"{where}: " + "; ".join(_sentence(one) for one in error.errors())
        ) from error


def resolved_yaml(settings: ExtractSettings) -> str:
    """Every setting as it will run, as YAML that can be given as a recipe again."""
    plain = json.loads(json.dumps(asdict(settings.resolved())))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


@cache
def _adapter() -> TypeAdapter[ExtractSettings]:
    strict = with_config(ConfigDict(extra="forbid"))(ExtractSettings)
    return TypeAdapter(strict)


def _tree(recipe: str, seen: tuple[str, ...]) -> dict[str, Any]:
    """Plain values of a recipe over those of its base."""
    if recipe in seen:
        raise ValueError(
            f"recipe {recipe}: its base leads back to itself: {' -> '.join((*seen, recipe))}"
        )
    is_file = recipe.endswith((".yaml", ".yml"))
    if is_file and not Path(recipe).is_file():
        raise ValueError(
            f"{recipe}: no such recipe file; shipped recipes: {', '.join(recipe_names())}"
        )
    if not is_file and Path(recipe).is_file():
        raise ValueError(f"{recipe}: a recipe is a YAML file; its name must end in .yaml or .yml")
    if not is_file and seen and recipe not in recipe_names():
        raise ValueError(
            f"recipe {seen[-1]}: base: unknown recipe {recipe!r}{_closest(recipe, recipe_names())}"
        )
    tree = _plain_yaml(_text(recipe) if is_file else recipe_text(recipe), f"recipe {recipe}")
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ValueError(f"recipe {recipe}: expected keys with values, found {type(tree).__name__}")
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ValueError(f"recipe {recipe}: base must name a recipe, found {base!r}")
    if is_file and base.endswith((".yaml", ".yml")):
        base = str(Path(recipe).parent / base)
    return _merged(_tree(base, (*seen, recipe)), tree)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"recipe {path}: not UTF-8 text ({error.reason}); save it so") from error


def _plain_yaml(text: str, where: str) -> Any:
    """Values of YAML text; a tag that would make Python objects is refused."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not YAML: {' '.join(str(error).split())}") from error


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`; a mapping that is empty or of another `kind` replaces one."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if (
            isinstance(below, Mapping)
            and isinstance(value, Mapping)
            and value
            and value.get(_UNION_KEY, below.get(_UNION_KEY)) == below.get(_UNION_KEY)
        ):
            value = _merged(below, value)
        merged[key] = value
    return merged


def _set(tree: dict[str, Any], override: str) -> None:
    """Put one `key.sub=value` into the tree; the value is read as YAML."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ValueError(f"--set {override}: expected key=value, for example key_step_seconds=0.5")
    value = _plain_yaml(text, f"--set {override}")
    for key in reversed(keys):
        value = {key: value}
    merged = _merged(tree, value)
    tree.clear()
    tree.update(merged)


def _sentence(error: Mapping[str, Any]) -> str:
    # pydantic names the chosen member of a union in the path; a person did not write that.
    path = [str(step) for step in error["loc"]]
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _fields_at(path[:-1])
        return f"unknown key {'.'.join(_written(path))!r}{_closest(path[-1], known)}"
    if error["type"] == "union_tag_not_found":
        kinds = ", ".join(sorted(_members(_node_at(path))))
        return f"{'.'.join(_written(path))}: say which kind it is; known: {kinds}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{'.'.join(_written(path))}: {message}" if path else message
    found = json.dumps(error["input"], default=str)
    found = found if len(found) <= 60 else found[:57] + "..."
    return (
        f"{'.'.join(_written(path)) or 'recipe'}: {message[0].lower()}{message[1:]}, found {found}"
    )


def _written(path: Sequence[str]) -> list[str]:
    """The path as it stands in the YAML: without the tags of unions."""
    return _walk(path)[0]


def _node_at(path: Sequence[str]) -> Any:
    """The annotation at a path."""
    return _walk(path)[1]


def _fields_at(path: Sequence[str]) -> list[str]:
    members = _members(_node_at(path))
    one = next(iter(members.values())) if len(members) == 1 else None
    return [field.name for field in fields(one)] if one is not None else []


def _walk(path: Sequence[str]) -> tuple[list[str], Any]:
    """Down the settings: the steps that a person writes, and the annotation where they lead."""
    written: list[str] = []
    node: Any = ExtractSettings
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
        kind = get_type_hints(node).get(_UNION_KEY)
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


def _closest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{meant} known: {', '.join(sorted(known))}" if known else ""
