"""Modes that fail where a computation waits for the device."""

import contextlib
from collections.abc import Iterator

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class NoFetching(TorchFunctionMode):
    """Fails where a tensor is fetched to the host, which on a CPU no operation tells."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        fetches = ("tolist", "item", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__")
        assert getattr(func, "__name__", "") not in fetches, func
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Neither of both."""
    with NoWaiting(), NoFetching():
        yield


class NoWaiting(TorchDispatchMode):
    """Fails where a computation needs a value on the host, which on a GPU waits for all that was asked before."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        waits = (
            "_local_scalar_dense",
            "equal.",
            "nonzero",
            "masked_select",
            "_unique",
            "bincount",
            "repeat_interleave.Tensor",
        )
        assert not any(f"aten.{name}" in str(func) for name in waits), func
        if str(func).startswith(("aten.index.", "aten.index_put")):
            masks = any(i is not None and i.dtype == torch.bool for i in args[1])
            fills = "index_put" in str(func) and args[2].dim() == 0  # a number: with a mask, torch fills it in
            assert masks == fills, "a mask as an index, or a number that is copied"
        return func(*args, **(kwargs or {}))
