"""Instantiation of YAML nodes with Hydra, after a check against the target's signature."""

import functools
import inspect
import logging
import types
import typing
from collections.abc import Collection, Sequence
from inspect import Parameter
from typing import Any

import hydra.utils
from omegaconf import DictConfig, OmegaConf

from seenet.core.errors import SeenetError, one_line

Node = DictConfig | dict[str, Any]
"""A node of the configuration, composed or resolved."""

_PASSED_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _is_accepted(annotation: Any, value: object) -> bool:
    """Return whether a YAML value fits an annotation; unknown annotations accept all values."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_is_accepted(k, value) for k in typing.get_args(annotation))
    if origin is typing.Literal:
        return value in typing.get_args(annotation)
    if annotation is type(None):
        return value is None
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation in (bool, str):
        return isinstance(value, annotation)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(
            _is_accepted(typing.get_args(annotation)[0], item) for item in value
        )
    return origin is not dict or isinstance(value, dict)


def _describe_type(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe_type(k) for k in typing.get_args(annotation))
    if origin is typing.Literal:
        return ("one of " if len(typing.get_args(annotation)) > 1 else "") + ", ".join(
            map(str, typing.get_args(annotation))
        )
    if annotation is type(None):
        return "null"
    if origin in (list, tuple, Sequence):
        return f"a list, each item {_describe_type(typing.get_args(annotation)[0])}"
    return "settings" if origin is dict else _TYPE_NAMES.get(annotation, str(annotation))


def _check_values(target: Any, values: dict[str, Any], where: str, runtime: Collection[str], partial: bool) -> None:
    """Raise a SeenetError for an unknown or missing setting or a value of the wrong type."""
    try:
        parameters = inspect.signature(target).parameters
    except ValueError as error:  # functions in C have no signature
        raise SeenetError(f"{where}._target_: {one_line(error)}; expected a class or function in Python") from error
    try:
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):  # annotations of other packages may exist for type checkers only
        hints = {}
    accepts_any_key = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    own = [name for name in parameters if name not in runtime]
    for key, value in values.items():
        if key not in parameters and not accepts_any_key:
            raise SeenetError(f"{where}.{key}={value}: there is no such setting; expected {', '.join(own)}")
        if key in hints and not _is_accepted(hints[key], value):
            raise SeenetError(f"{where}.{key}={value}: expected {_describe_type(hints[key])}")
    required = [k for k in own if parameters[k].default is Parameter.empty and parameters[k].kind in _PASSED_BY_NAME]
    missing = [key for key in required if key not in values]
    if missing and not partial:
        raise SeenetError(f"{where}.{missing[0]} is missing: {where}._target_ needs a value for it")


def _resolve_target(node: Node | None, where: str, skip: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return the target of a node and the values of the node, without `name` and the keys in `skip`."""
    values: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(values, dict) or not isinstance(values.get("_target_"), str):
        raise SeenetError(f"{where}._target_ is missing: expected a class or function to build {where} with")
    values = {k: v for k, v in values.items() if k not in ("name", *skip)}
    hydra_logger = logging.getLogger("hydra.utils")  # logs the same error that it raises
    hydra_logger.disabled = True
    try:
        return hydra.utils.get_object(values["_target_"]), values
    except (ImportError, AttributeError, ValueError) as error:
        raise SeenetError(f"{where}._target_={values['_target_']} cannot be imported: {one_line(error)}") from error
    finally:
        hydra_logger.disabled = False


def check_settings(node: Node, where: str, skip: Sequence[str] = (), runtime: Collection[str] = ()) -> None:
    """Check the settings of a YAML node against its target without instantiating it.

    Args:
        node: a node with `_target_`.
        where: the key of the node in the configuration, for messages.
        skip: keys that are not arguments of the target.
        runtime: names of arguments that `instantiate_checked` receives in addition to the values of the node.

    Raises:
        SeenetError: as `instantiate_checked`.
    """
    target, values = _resolve_target(node, where, skip)
    settings = {k: v for k, v in values.items() if not k.startswith("_") and k not in runtime}
    _check_values(target, settings, where, runtime, bool(values.get("_partial_")))


def instantiate_checked(node: Node, where: str, skip: Sequence[str] = (), **runtime: object) -> Any:
    """Instantiate the object that a YAML node describes.

    Args:
        node: a node with `_target_`. Its `name` is a label and is not passed to the target.
        where: the key of the node in the configuration, for messages.
        skip: keys that are not arguments of the target.
        runtime: arguments that are known at run time only; they override the values of the node.

    Raises:
        SeenetError: a target that cannot be imported, an unknown or missing setting, or a value of the wrong type.
    """
    check_settings(node, where, skip, runtime)
    _, values = _resolve_target(node, where, skip)
    partial = values.pop("_partial_", False)
    # Runtime objects bypass Hydra, which would convert dataclasses to dicts.
    factory = hydra.utils.instantiate(values, _partial_=True, _convert_="all")
    if partial:
        return functools.partial(factory, **runtime)
    try:
        return factory(**runtime)
    except SeenetError:
        raise
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        if values["_target_"].startswith("seenet.") and not isinstance(error, ModuleNotFoundError):
            raise
        raise SeenetError(f"{where}._target_={values['_target_']}: {one_line(error)}") from error
