"""Recipes: YAML in, typed settings out; a wrong key or value is refused before any work.

A recipe names its `base` (another recipe) and what differs from it. Nothing in it is executed.
What a recipe is for (extraction, training, sweep) is told by its keys.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints, overload

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from reelbank.jobs.recipe_kinds import RecipeKind, kind_of_keys, kind_of_root
from reelbank.jobs.recipe_sentences import UNION_KEY, closest, sentence_of
from reelbank.pipeline.settings import ExtractSettings

DEFAULT = "default"
"""Recipe of `reelbank extract` without --recipe."""

# Both know plain values alone; those in C are ten times as fast, where PyYAML was built with them.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

Settings = TypeVar("Settings")


@cache
def recipe_names() -> tuple[str, ...]:
    """Recipes that ship with Reelbank; those in folders have names such as `theatre/lfb_batch`."""
    return tuple(sorted(_names_below(resources.files("reelbank.jobs.recipes"), "")))


def _names_below(folder: Traversable, prefix: str) -> list[str]:
    names: list[str] = []
    for item in folder.iterdir():
        if item.name.endswith(".yaml"):
            names.append(prefix + item.name.removesuffix(".yaml"))
        elif item.is_dir():
            names += _names_below(item, f"{prefix}{item.name}/")
    return names


def recipe_text(name: str) -> str:
    """YAML of a shipped recipe; raises ValueError with the closest names for an unknown one."""
    if name not in recipe_names():
        raise ValueError(f"unknown recipe {name!r}{closest(name, recipe_names())}")
    folder = resources.files("reelbank.jobs.recipes")
    return folder.joinpath(*f"{name}.yaml".split("/")).read_text("utf-8")


def recipe_kind(recipe: str) -> RecipeKind:
    """What a recipe is for, told by its keys and those of its bases."""
    return kind_of_keys(_tree(recipe, ()))


@overload
def load_recipe(recipe: str = ..., overrides: Sequence[str] = ...) -> ExtractSettings: ...
@overload
def load_recipe(recipe: str, overrides: Sequence[str], root: type[Settings]) -> Settings: ...
def load_recipe(
    recipe: str = DEFAULT, overrides: Sequence[str] = (), root: Any = ExtractSettings
) -> Any:
    """Settings of a shipped recipe or a YAML file, with `key.sub=value` overrides on top.

    `root` is what they are read into, one of `recipe_kinds.KINDS`. Raises ValueError that names the
    key, what was found, and the closest valid key, or what kind of recipe it is if another one.
    """
    tree = _tree(recipe, ())
    wanted = kind_of_root(root)
    found = kind_of_keys(tree, otherwise=wanted)
    if found is not wanted:
        raise ValueError(
            f"recipe {recipe} is {found.article} recipe, for {found.command!r}; {wanted.command!r} "
            f"takes {wanted.article} recipe, such as {wanted.example}"
        )
    for override in overrides:
        _set(tree, override)
    return settings_from(tree, f"recipe {recipe}", root)


@overload
def settings_from(tree: Mapping[str, Any], where: str) -> ExtractSettings: ...
@overload
def settings_from(tree: Mapping[str, Any], where: str, root: type[Settings]) -> Settings: ...
def settings_from(tree: Mapping[str, Any], where: str, root: Any = ExtractSettings) -> Any:
    """Typed settings from plain values; a named one (bank, line) that is null is left out."""
    named = {
        key: {name: one for name, one in tree[key].items() if one is not None}
        for key, hint in get_type_hints(root).items()
        if get_origin(hint) is dict and isinstance(tree.get(key), Mapping)
    }
    tree = {**tree, **named}
    try:
        # As JSON, because strict JSON rules admit lists where the settings have tuples.
        return _adapter(root).validate_json(json.dumps(tree, default=str), strict=True)
    except TypeError as error:
        raise ValueError(f"{where}: {error}; use plain YAML values") from error
    except ValidationError as error:
        raise ValueError(
            f"{where}: " + "; ".join(sentence_of(one, root) for one in error.errors())
        ) from error


def changed(settings: Settings, overrides: Sequence[str], where: str) -> Settings:
    """The same settings with `key.sub=value` overrides on top."""
    tree = _plain(settings)
    for override in overrides:
        _set(tree, override)
    return settings_from(tree, where, type(settings))


def resolved_yaml(settings: Any) -> str:
    """Every setting as it will run, as YAML that can be given as a recipe again."""
    if isinstance(settings, ExtractSettings):
        settings = settings.resolved()
    return yaml.dump(_plain(settings), Dumper=_DUMPER, sort_keys=False, allow_unicode=True)


def _plain(settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return found


@cache
def _adapter(root: Any) -> TypeAdapter[Any]:
    return TypeAdapter(with_config(ConfigDict(extra="forbid"))(root))


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
            f"recipe {seen[-1]}: base: unknown recipe {recipe!r}{closest(recipe, recipe_names())}"
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
        return yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not YAML: {' '.join(str(error).split())}") from error


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`; a mapping that is empty or of another `kind` replaces one."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and value:
            is_other = (
                UNION_KEY in below and value.get(UNION_KEY, below[UNION_KEY]) != below[UNION_KEY]
            )
            value = value if is_other else _merged(below, value)
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
