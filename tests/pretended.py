"""A GPU that is not there: tensors asked for on it lie in the CPU's memory and are marked, and what a real one refuses is refused.

What runs under `Pretended` shows that every tensor of a computation is on the device that it should be on. It shows nothing of kernels, streams or speed.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA = torch.device("cuda", 0)
MOVES = (
    "to",
    "cuda",
    "cpu",
    "copy_",
    "__get__",
    "__set__",
    "numpy",
    "tolist",
    "item",
    "set_",
    "__bool__",
    "__int__",
    "__float__",
    "__repr__",
    "__index__",
    "_has_compatible_shallow_copy_type",
)
MIXED = ("__getitem__", "__setitem__")
"""Places may be given by CPU tensors."""


class WrongPlaceError(AssertionError):
    """Tensors of two devices in one call, or a GPU's tensor where only a CPU's may be."""


class Pretended(TorchFunctionMode):
    """Marks which tensors would be on the GPU, and refuses calls that mix them with others."""

    def __init__(self) -> None:
        super().__init__()
        self.there: weakref.WeakValueDictionary[int, torch.Tensor] = weakref.WeakValueDictionary()
        self.n_calls, self.backward = 0, False

    def on_gpu(self, x: torch.Tensor) -> bool:
        """Whether a tensor is marked."""
        return self.there.get(id(x)) is x

    def mark(self, out: Any, there: bool = True) -> Any:
        """Mark every tensor of a result."""
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor):
                if there:
                    self.there[id(x)] = x
                else:
                    self.there.pop(id(x), None)
        return out

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", str(func))
        owner = getattr(func, "__self__", None)
        if self.backward:
            return func(*args, **kwargs)
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        marked = [self.on_gpu(x) for x in tensors]
        if name == "__get__" and owner is torch.Tensor.device:
            return CUDA if marked[0] else torch.device("cpu")
        if name == "__get__" and owner is torch.Tensor.is_cuda:
            return marked[0]
        if name == "numpy" and any(marked):
            raise WrongPlaceError("numpy() of a tensor on the GPU")
        asked = self.asked(name, args, kwargs)
        if asked is not None:
            args, kwargs = tree_map_only(torch.device, lambda _: torch.device("cpu"), (args, kwargs))
            kwargs = {key: "cpu" if key == "device" else value for key, value in kwargs.items()}
        if len({mark for x, mark in zip(tensors, marked, strict=True) if x.dim()}) > 1 and name not in (*MOVES, *MIXED):
            raise WrongPlaceError(f"{name}: {[(tuple(x.shape), 'cuda' if mark else 'cpu') for x, mark in zip(tensors, marked, strict=True)]}")
        self.n_calls += 1
        if name == "backward":
            # What a function written by hand sees there comes from within, without marks.
            self.backward = True
            try:
                return func(*args, **kwargs)
            finally:
                self.backward = False
        if name == "cuda":
            return self.mark(args[0].clone())
        if name == "cpu":
            return args[0].clone() if marked[0] else args[0]
        out = func(*args, **kwargs)
        if name == "__set__":
            self.mark(args[0], self.on_gpu(args[1]) if isinstance(args[1], torch.Tensor) else marked[0])
            return out
        if asked is not None:
            moved = isinstance(out, torch.Tensor) and any(out is x for x in tensors) and asked != marked[0]
            return self.mark(out.clone() if moved else out, asked)
        first = bool(marked) and marked[0]
        return self.mark(out, first if name in (*MOVES, *MIXED) else any(marked)) if tensors else out

    def asked(self, name: str, args: Any, kwargs: dict[str, Any]) -> bool | None:
        """Whether a call asks for the GPU, for the CPU (False), or for no device."""
        wanted = kwargs.get("device")
        if wanted is None and name == "to":
            wanted = next((x for x in args[1:] if isinstance(x, (torch.device, str))), None)
        return None if wanted is None else torch.device(wanted).type == "cuda"


class OnCpu(torch.Generator):
    """A generator on the CPU, whatever device is asked for."""

    def __new__(cls, device: Any = None) -> Any:
        return super().__new__(cls, device="cpu")


@contextmanager
def gpu(monkeypatch: Any) -> Any:
    """A pretended GPU, whose generators are on the CPU and whose products are the CPU's."""
    monkeypatch.setattr(torch, "Generator", OnCpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch, "autocast", lambda *_: nullcontext())
    with Pretended() as mode:
        yield mode
