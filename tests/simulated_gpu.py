"""A GPU that is not there: tensors asked for on it lie in the CPU's memory and are marked, and what a real one refuses is refused.

What runs under `Pretended` shows that every tensor of a computation is on the device that it should be on. It shows nothing of kernels, streams or speed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from zcurate.training import cuda_graphs

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


WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::unique_dim", "aten::_unique2", "aten::masked_select"}
"""What a GPU's stream must be waited for, which no recording may hold."""


class Recorder(TorchDispatchMode):
    """Writes down the operations of a step with the tensors and numbers that they were given, as a CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any]] = []
        self.before: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, schema = kwargs or {}, func._schema
        if schema.name in WAITS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {schema.name}")
        given = [*zip(schema.arguments, args, strict=False), *((one, kwargs[one.name]) for one in schema.arguments if one.name in kwargs)]
        written = [x for one, value in given if one.alias_info is not None and one.alias_info.is_write for x in tree_leaves(value)]
        # Batch normalisation moves its running mean and variance without saying so.
        moved = args[3:5] if schema.name in ("aten::native_batch_norm", "aten::cudnn_batch_norm") else ()
        self.before += [(x, x.clone()) for x in (*written, *moved) if isinstance(x, torch.Tensor)]
        out = func(*args, **kwargs)
        if written or not any(one.alias_info is not None for one in schema.returns):
            self.done.append((func, args, kwargs, None if written else out))
        return out

    @torch.no_grad()
    def undo(self) -> None:
        """Put back what was written to: a recording does nothing."""
        for x, was in reversed(self.before):
            x.copy_(was)
        self.before.clear()

    @torch.no_grad()
    def replay(self) -> None:
        """Do it all again on the same memory."""
        for func, args, kwargs, out in self.done:
            found = func(*args, **kwargs)
            for old, new in zip(tree_leaves(out), tree_leaves(found), strict=False) if out is not None else ():
                if isinstance(old, torch.Tensor):
                    old.copy_(new)


class Recordings:
    """`replay.record` without a GPU, and how often what it made was replayed."""

    def __init__(self, monkeypatch: Any) -> None:
        self.n_recorded, self.n_replayed = 0, 0
        monkeypatch.setattr(cuda_graphs, "record", self.record)
        monkeypatch.setattr(cuda_graphs, "run_on_side_stream", lambda step: step())
        monkeypatch.setattr(cuda_graphs, "restore_generator", lambda generator, seed: generator.set_state(seed))

    def record(self, step: Callable[[], None], generators: list[torch.Generator]) -> Callable[[], None]:
        """As the real one: numbers and shapes are frozen, tensors are read anew, nothing is done yet."""
        recorder, seeds = Recorder(), [one.get_state() for one in generators]
        try:
            with recorder:
                step()
        finally:
            recorder.undo()
            for one, seed in zip(generators, seeds, strict=True):
                one.set_state(seed)
        self.n_recorded += 1

        def again() -> None:
            self.n_replayed += 1
            recorder.replay()

        return again


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
    Recordings(monkeypatch)
    with Pretended() as mode:
        yield mode
