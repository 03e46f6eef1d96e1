"""From a YAML node to an object: Hydra's `instantiate`, with the types of the target checked first."""

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

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
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
        return isinstance(value, list | tuple) and all(_accepts(typing.get_args(kind)[0], item) for item in value)
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
        return f"a list, each item {_expected(typing.get_args(kind)[0])}"
    return "settings" if origin is dict else _NAMES.get(kind, str(kind))


def _check(target: Any, values: dict[str, Any], where: str, runtime: Collection[str], partial: bool) -> None:
    """Raise a SeenetError for a setting that the target lacks, needs, or expects in another type."""
    try:
        parameters = inspect.signature(target).parameters
    except ValueError as error:  # a function in C that does not say
        raise SeenetError(f"{where}._target_: {one_line(error)}; expected a class or function in Python") from error
    try:
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):  # of another package, where a name is imported for type checkers alone
        hints = {}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    own = [name for name in parameters if name not in runtime]
    for key, value in values.items():
        if key not in parameters and not open_ended:
            raise SeenetError(f"{where}.{key}={value}: there is no such setting; expected {', '.join(own)}")
        if key in hints and not _accepts(hints[key], value):
            raise SeenetError(f"{where}.{key}={value}: expected {_expected(hints[key])}")
    required = [k for k in own if parameters[k].default is Parameter.empty and parameters[k].kind in _NAMED]
    missing = [key for key in required if key not in values]
    if missing and not partial:
        raise SeenetError(f"{where}.{missing[0]} is missing: {where}._target_ needs a value for it")


def _target(node: DictConfig | None, where: str, skip: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """The target of a node, and the node's values without `name` and what `skip` names."""
    if not OmegaConf.is_dict(node) or not isinstance(node.get("_target_"), str):
        raise SeenetError(f"{where}._target_ is missing: expected a class or function to build {where} with")
    values: Any = OmegaConf.to_container(node, resolve=True)
    values = {k: v for k, v in values.items() if k not in ("name", *skip)}
    silent = logging.getLogger("hydra.utils")  # which logs the error that is raised
    silent.disabled = True
    try:
        return hydra.utils.get_object(values["_target_"]), values
    except (ImportError, AttributeError, ValueError) as error:
        raise SeenetError(f"{where}._target_={values['_target_']} cannot be imported: {one_line(error)}") from error
    finally:
        silent.disabled = False


def check_settings(node: DictConfig, where: str, skip: Sequence[str] = (), runtime: Collection[str] = ()) -> None:
    """Check the settings of a YAML node against its target without building it.

    Args:
        node: has `_target_`.
        where: the node's place in the configuration, for messages.
        skip: keys that are not the target's.
        runtime: names of arguments that `instantiate_checked` gets in addition to the node's values.

    Raises:
        SeenetError: as `instantiate_checked`.
    """
    target, values = _target(node, where, skip)
    settings = {k: v for k, v in values.items() if not k.startswith("_") and k not in runtime}
    _check(target, settings, where, runtime, bool(values.get("_partial_")))


def instantiate_checked(node: DictConfig, where: str, skip: Sequence[str] = (), **runtime: object) -> Any:
    """The object that a YAML node describes.

    Args:
        node: has `_target_`; `name` is for people and is not passed on.
        where: the node's place in the configuration, for messages.
        skip: keys that are not the target's.
        runtime: what is only known now; goes before the node's own values.

    Raises:
        SeenetError: a target that cannot be imported, or a setting that it lacks, needs, or expects in another type.
    """
    check_settings(node, where, skip, runtime)
    _, values = _target(node, where, skip)
    partial = values.pop("_partial_", False)
    # Runtime objects are handed over by us: on their way through Hydra dataclasses would become dicts.
    maker = hydra.utils.instantiate(values, _partial_=True, _convert_="all")
    if partial:
        return functools.partial(maker, **runtime)
    try:
        return maker(**runtime)
    except SeenetError:
        raise
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        if values["_target_"].startswith("seenet.") and not isinstance(error, ModuleNotFoundError):
            raise
        raise SeenetError(f"{where}._target_={values['_target_']}: {one_line(error)}") from error
