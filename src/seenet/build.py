"""From a YAML node to an object: Hydra's `instantiate`, with the types of the target checked first."""

import functools
import inspect
import types
import typing
from collections.abc import Sequence
from typing import Any

import hydra.utils
from omegaconf import DictConfig, OmegaConf

from seenet.errors import SeenetError, reason

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _accepts(kind: Any, value: object) -> bool:
    """Whether a plain YAML value fits an annotation; what is no plain type is left to the target."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_accepts(k, value) for k in typing.get_args(kind))
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (bool, str):
        return isinstance(value, kind)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list)
    return origin is not dict or isinstance(value, dict)


def _expected(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_expected(k) for k in typing.get_args(kind))
    if origin is typing.Literal:
        return ("one of " if len(typing.get_args(kind)) > 1 else "") + ", ".join(map(str, typing.get_args(kind)))
    if kind is type(None):
        return "null"
    if origin in (list, tuple, Sequence):
        return "a list"
    return "settings" if origin is dict else _NAMES.get(kind, str(kind))


def _check(target: Any, values: dict[str, Any], where: str) -> None:
    """Raise a SeenetError for a setting that the target does not have, or not of that type."""
    parameters = inspect.signature(target).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for key, value in values.items():
        if key not in parameters and not open_ended:
            raise SeenetError(f"{where}.{key}={value}: there is no such setting; expected {', '.join(parameters)}")
        if key in hints and not _accepts(hints[key], value):
            raise SeenetError(f"{where}.{key}={value}: expected {_expected(hints[key])}")


def build(node: DictConfig, where: str, skip: Sequence[str] = (), **runtime: object) -> Any:
    """The object that a YAML node describes.

    Args:
        node: has `_target_`; `name` is for people and is not passed on.
        where: the node's place in the configuration, for messages.
        skip: keys that are not the target's.
        runtime: what is only known now; goes before the node's own values.

    Raises:
        SeenetError: a target that cannot be imported, or a setting that it does not have or not of that type.
    """
    values: Any = OmegaConf.to_container(node, resolve=True)
    values = {k: v for k, v in values.items() if k not in ("name", *skip)}
    try:
        target = hydra.utils.get_object(values["_target_"])
    except (ImportError, AttributeError, ValueError) as error:
        raise SeenetError(f"{where}._target_={values['_target_']} cannot be imported: {error}") from error
    if target.__module__.startswith("seenet"):
        _check(target, {k: v for k, v in values.items() if not k.startswith("_")}, where)
    partial = values.pop("_partial_", False)
    # Runtime objects are handed over by us: on their way through Hydra dataclasses would become dicts.
    maker = hydra.utils.instantiate(values, _partial_=True, _convert_="all")
    if partial:
        return functools.partial(maker, **runtime)
    try:
        return maker(**runtime)
    except ModuleNotFoundError as error:
        raise SeenetError(f"{where}._target_={values['_target_']}: {reason(error)}") from error
