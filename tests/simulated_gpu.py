"""A simulated GPU: its tensors are in CPU memory and marked, and calls that a real GPU refuses are refused.

Code that runs under `SimulatedGpu` has all tensors on the right device. Kernels, streams and speed are not simulated.
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
"""Calls that may take tensors of both devices or change the device."""
MIXED = ("__getitem__", "__setitem__")
"""Calls whose indices may be CPU tensors."""


class WrongDeviceError(AssertionError):
    """Tensors of two devices in one call, or a GPU tensor where only a CPU tensor is allowed."""


class SimulatedGpu(TorchFunctionMode):
    """Marks the tensors that would be on the GPU and refuses calls that mix them with CPU tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.marked: weakref.WeakValueDictionary[int, torch.Tensor] = weakref.WeakValueDictionary()
        self.n_calls, self.backward = 0, False

    def on_gpu(self, x: torch.Tensor) -> bool:
        """Whether a tensor is marked."""
        return self.marked.get(id(x)) is x

    def mark(self, out: Any, on_gpu: bool = True) -> Any:
        """Mark every tensor of a result, or remove the marks."""
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor):
                if on_gpu:
                    self.marked[id(x)] = x
                else:
                    self.marked.pop(id(x), None)
        return out

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", str(func))
        owner = getattr(func, "__self__", None)
        if self.backward:
            return func(*args, **kwargs)
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        on_gpu = [self.on_gpu(x) for x in tensors]
        if name == "__get__" and owner is torch.Tensor.device:
            return CUDA if on_gpu[0] else torch.device("cpu")
        if name == "__get__" and owner is torch.Tensor.is_cuda:
            return on_gpu[0]
        if name == "numpy" and any(on_gpu):
            raise WrongDeviceError("numpy() of a tensor on the GPU")
        requested = self.requested_device(name, args, kwargs)
        if requested is not None:
            args, kwargs = tree_map_only(torch.device, lambda _: torch.device("cpu"), (args, kwargs))
            kwargs = {key: "cpu" if key == "device" else value for key, value in kwargs.items()}
        if len({mark for x, mark in zip(tensors, on_gpu, strict=True) if x.dim()}) > 1 and name not in (*MOVES, *MIXED):
            raise WrongDeviceError(f"{name}: {[(tuple(x.shape), 'cuda' if mark else 'cpu') for x, mark in zip(tensors, on_gpu, strict=True)]}")
        self.n_calls += 1
        if name == "backward":
            # A custom backward function receives unmarked tensors from autograd.
            self.backward = True
            try:
                return func(*args, **kwargs)
            finally:
                self.backward = False
        if name == "cuda":
            return self.mark(args[0].clone())
        if name == "cpu":
            return args[0].clone() if on_gpu[0] else args[0]
        out = func(*args, **kwargs)
        if name == "__set__":
            self.mark(args[0], self.on_gpu(args[1]) if isinstance(args[1], torch.Tensor) else on_gpu[0])
            return out
        if requested is not None:
            moved = isinstance(out, torch.Tensor) and any(out is x for x in tensors) and requested != on_gpu[0]
            return self.mark(out.clone() if moved else out, requested)
        first = bool(on_gpu) and on_gpu[0]
        return self.mark(out, first if name in (*MOVES, *MIXED) else any(on_gpu)) if tensors else out

    def requested_device(self, name: str, args: Any, kwargs: dict[str, Any]) -> bool | None:
        """Whether a call requests the GPU (True), the CPU (False) or no device (None)."""
        device = kwargs.get("device")
        if device is None and name == "to":
            device = next((x for x in args[1:] if isinstance(x, (torch.device, str))), None)
        return None if device is None else torch.device(device).type == "cuda"


SYNCHRONIZING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::unique_dim", "aten::_unique2", "aten::masked_select"}
"""Operations that synchronize with the GPU and cannot be captured."""


class OperationRecorder(TorchDispatchMode):
    """Records the operations of a step with their tensor and number arguments, as a CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.before: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, schema = kwargs or {}, func._schema
        if schema.name in SYNCHRONIZING:
            raise RuntimeError(f"operation not permitted when stream is capturing: {schema.name}")
        arguments = [*zip(schema.arguments, args, strict=False), *((one, kwargs[one.name]) for one in schema.arguments if one.name in kwargs)]
        written = [x for one, value in arguments if one.alias_info is not None and one.alias_info.is_write for x in tree_leaves(value)]
        # Batch normalization updates its running mean and variance, which its schema does not declare.
        undeclared = args[3:5] if schema.name in ("aten::native_batch_norm", "aten::cudnn_batch_norm") else ()
        self.before += [(x, x.clone()) for x in (*written, *undeclared) if isinstance(x, torch.Tensor)]
        out = func(*args, **kwargs)
        if written or not any(one.alias_info is not None for one in schema.returns):
            self.operations.append((func, args, kwargs, None if written else out))
        return out

    @torch.no_grad()
    def undo(self) -> None:
        """Restore the tensors that were written to, since a capture has no effect."""
        for x, old in reversed(self.before):
            x.copy_(old)
        self.before.clear()

    @torch.no_grad()
    def replay(self) -> None:
        """Run all operations again on the same memory."""
        for func, args, kwargs, out in self.operations:
            result = func(*args, **kwargs)
            for old, new in zip(tree_leaves(out), tree_leaves(result), strict=False) if out is not None else ():
                if isinstance(old, torch.Tensor):
                    old.copy_(new)


class SimulatedGraphs:
    """Replaces `cuda_graphs.capture` without a GPU and counts captures and replays."""

    def __init__(self, monkeypatch: Any) -> None:
        self.n_captured, self.n_replayed = 0, 0
        monkeypatch.setattr(cuda_graphs, "capture", self.capture)
        monkeypatch.setattr(cuda_graphs, "run_on_side_stream", lambda step: step())
        monkeypatch.setattr(cuda_graphs, "restore_generator", lambda generator, state: generator.set_state(state))

    def capture(self, step: Callable[[], None], generators: list[torch.Generator]) -> Callable[[], None]:
        """Capture a step: numbers and shapes are fixed, tensors are read at replay, nothing is executed yet."""
        recorder, states = OperationRecorder(), [one.get_state() for one in generators]
        try:
            with recorder:
                step()
        finally:
            recorder.undo()
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
        self.n_captured += 1

        def replay() -> None:
            self.n_replayed += 1
            recorder.replay()

        return replay


class CpuGenerator(torch.Generator):
    """A generator on the CPU, whatever device is requested."""

    def __new__(cls, device: Any = None) -> Any:
        return super().__new__(cls, device="cpu")


@contextmanager
def gpu(monkeypatch: Any) -> Any:
    """Simulate a GPU, with generators and arithmetic of the CPU."""
    monkeypatch.setattr(torch, "Generator", CpuGenerator)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch, "autocast", lambda *_: nullcontext())
    SimulatedGraphs(monkeypatch)
    with SimulatedGpu() as mode:
        yield mode
