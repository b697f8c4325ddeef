"""From a recipe and dotted overrides to a typed config: defaults, then preset, then YAML, then overrides.

An unknown key or a value of the wrong type is a `ConfigError` that names the key, where it stands and the
nearest valid key.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmfm.errors import ConfigError
from mmfm.files import write_atomically

T = TypeVar("T")
Layer = tuple[DictConfig, str]  # values, and the name of the place they come from


def load(
    schema: type[T],
    recipe: str | Path | None = None,
    overrides: Sequence[str] = (),
    base: Callable[[DictConfig], DictConfig] | None = None,
) -> T:
    """Merge defaults of `schema`, `recipe` and `overrides` ("a.b=1") into one typed config.

    `base` sees the merged recipe and overrides and returns values that go below them, over the defaults
    (model presets work so). Values left as `???` are allowed here; `require` refuses them.
    Raises `ConfigError` for unknown keys, wrong types, values outside `choices`, unreadable recipes.
    """
    layers = [layer for layer in (_recipe_layer(recipe), _override_layer(overrides)) if layer]
    given = OmegaConf.create({})
    for values, place in layers:
        check_keys(schema, values, place)
        given = _merge(given, values, place)
    if base is not None:
        layers.insert(0, (base(given), "preset"))
    merged = OmegaConf.structured(schema)
    for values, place in layers:
        merged = _merge(merged, values, place)
    config = _to_object(merged)
    check_values(config)
    return typing.cast(T, config)


def read_yaml(path: str | Path) -> DictConfig:
    """Read a YAML mapping. Raises `ConfigError` that names the file when it is missing or malformed."""
    path = Path(path)
    if not path.is_file():
        near = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f" Recipes there: {', '.join(near)}" if near else ""
        raise ConfigError(f"recipe {path} not found.{hint}")
    try:
        values = OmegaConf.load(path)
    except Exception as error:  # yaml raises a family of its own
        raise ConfigError(f"recipe {path} is not valid YAML: {error}") from error
    if not isinstance(values, DictConfig):
        raise ConfigError(f"recipe {path} must be a mapping of keys to values")
    return values


def parse_overrides(overrides: Sequence[str]) -> DictConfig:
    """Turn "a.b=1" words into nested values. Raises `ConfigError` for a word without `=`."""
    for word in overrides:
        if "=" not in word or word.startswith("="):
            raise ConfigError(f"override {word!r} is not of the form key=value")
    try:
        return OmegaConf.from_dotlist(list(overrides))
    except Exception as error:  # a malformed value
        raise ConfigError(f"cannot read the overrides {' '.join(overrides)}: {error}") from error


def require(config: Any, *keys: str) -> None:
    """Refuse a config in which one of the dotted `keys` is missing or empty, naming it."""
    for key in keys:
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        if value in ("???", "", None):
            raise ConfigError(f"{key} is not set: give it in the recipe or as {key}=VALUE")


def to_yaml(config: Any) -> str:
    """The whole config as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def dump(config: Any, path: Path) -> None:
    """Write the whole config as YAML."""
    write_atomically(path, to_yaml(config))


def check_keys(schema: type, values: Any, place: str, prefix: str = "") -> None:
    """Refuse keys of `values` that `schema` does not have, and what is no list where one is meant.

    Raises `ConfigError` naming the key, or the nearest one.
    """
    hints = typing.get_type_hints(schema)
    for key in values:
        name = f"{prefix}{key}"
        if key not in hints:
            raise ConfigError(f"unknown key {name!r} in {place}.{_nearest(str(key), hints, prefix)}")
        _check_list(values, str(key), hints[key], name, place)
        if not is_dataclass(hints[key]) or OmegaConf.is_missing(values, key):
            continue
        if not isinstance(values._get_node(key), DictConfig):
            raise ConfigError(f"{name} in {place} is a group of keys ({', '.join(_names(hints[key]))})")
        check_keys(typing.cast(type, hints[key]), values[key], place, f"{name}.")


def _check_list(values: Any, key: str, hint: Any, name: str, place: str) -> None:
    """Refuse a single value, or `A,B`, where a list is meant."""
    special = OmegaConf.is_missing(values, key) or OmegaConf.is_interpolation(values, key)
    if typing.get_origin(hint) is not list or special or isinstance(values._get_node(key), ListConfig):
        return
    value = values[key]
    hint_at = f": {name}=[{'' if value is None else value}]" if not isinstance(value, DictConfig) else ""
    raise ConfigError(f"{name} in {place} is a list{hint_at}")


def check_values(config: Any, prefix: str = "") -> None:
    """Refuse values outside the choices and bounds of their options. Raises `ConfigError` naming the key."""
    for spec in fields(config):
        value = getattr(config, spec.name)
        name = f"{prefix}{spec.name}"
        entries = value if isinstance(value, list) else [value]
        for entry in filter(is_dataclass, entries):
            check_values(entry, f"{name}.")
        for key, entry in value.items() if isinstance(value, dict) else ():
            if is_dataclass(entry):
                check_values(entry, f"{name}.{key}.")
        if not is_dataclass(value) and value != "???":
            _check_value(name, value, spec.metadata)


def _check_value(name: str, value: Any, rules: Mapping[str, Any]) -> None:
    choices, length = rules.get("choices"), rules.get("length")
    if choices and value not in choices:
        raise ConfigError(f"{name}={value!r} is not one of {', '.join(choices)}")
    if length is not None and len(value) != length:
        raise ConfigError(f"{name}={value} must have {length} entries")
    numbers = list(value.values()) if isinstance(value, dict) else value
    numbers = numbers if isinstance(numbers, list) else [numbers]
    low, high = rules.get("minimum"), rules.get("maximum")
    for number in numbers if low is not None or high is not None else []:
        if low is not None and not number >= low:
            raise ConfigError(f"{name}={value} must be at least {low}")
        if high is not None and not number <= high:
            raise ConfigError(f"{name}={value} must be at most {high}")


def _recipe_layer(recipe: str | Path | None) -> Layer | None:
    return (read_yaml(recipe), str(recipe)) if recipe is not None else None


def _override_layer(overrides: Sequence[str]) -> Layer | None:
    return (parse_overrides(overrides), "the overrides") if overrides else None


def _merge(merged: DictConfig, values: DictConfig, place: str) -> DictConfig:
    try:
        return typing.cast(DictConfig, OmegaConf.merge(merged, values))
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        raise ConfigError(f"{_key(error)} in {place}: {_first_line(error)}") from error


def _to_object(merged: DictConfig) -> Any:
    """Instantiate the dataclasses, leaving `???` in place of what is missing."""
    try:
        container = OmegaConf.to_container(merged, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{_key(error)}: {_first_line(error)}") from error
    return _instantiate(typing.cast(type, OmegaConf.get_type(merged)), container)


def _instantiate(schema: type, values: Any) -> Any:
    hints = typing.get_type_hints(schema)
    built = {
        key: _instantiate(hints[key], value) if is_dataclass(hints[key]) else _items(hints[key], value)
        for key, value in values.items()
    }
    return schema(**built)


def _items(hint: Any, value: Any) -> Any:
    """Instantiate dataclasses inside a list or dict option."""
    arguments = typing.get_args(hint)
    if not arguments or not is_dataclass(arguments[-1]):
        return value
    item = typing.cast(type, arguments[-1])
    if isinstance(value, list):
        return [_instantiate(item, entry) for entry in value]
    if isinstance(value, dict):
        return {name: _instantiate(item, entry) for name, entry in value.items()}
    return value


def _key(error: Exception) -> str:
    return str(getattr(error, "full_key", None) or getattr(error, "key", None) or "a value")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _names(schema: Any) -> list[str]:
    return [spec.name for spec in fields(schema)]


def _nearest(key: str, hints: dict[str, Any], prefix: str) -> str:
    close = difflib.get_close_matches(key, hints, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {prefix}{close[0]}?"
    return f" Valid keys: {', '.join(prefix + name for name in hints)}"
