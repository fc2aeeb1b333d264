"""Training steps as CUDA graphs: each batch size is captured once and then replayed.

The step of a narrow network is about a hundred small kernels that take longer to launch than to run. A step must read its position from
tensors and write its results in place, so that the same kernels on the same memory process the next batch. A step that cannot be captured,
or whose replay differs from the eager step, is run eagerly from then on.
Source: CUDA graphs (https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zcurate.training.losses.zerror import LossOutput
from zcurate.training.sampler import Visits

EAGER_STEPS = 5
"""A batch size is captured at this occurrence: eager steps have then cost about as much as a capture, and lazy initialization is done."""
TOLERANCE = 0.05
"""Largest distance of a replayed update from the eager one, as a share of its length: sums in another order, but no other batch."""

Step = Callable[[int, bool], None]


def can_capture(device: torch.device) -> bool:
    """Whether the device supports CUDA graphs."""
    return device.type == "cuda"


def run_on_side_stream(step: Callable[[], None]) -> None:
    """Run a step on a side stream, which CUDA graphs require of the steps before a capture.

    Args:
        step: works on the current stream.
    """
    main_stream, side_stream = torch.cuda.current_stream(), torch.cuda.Stream()
    side_stream.wait_stream(main_stream)
    with torch.cuda.stream(side_stream):
        step()
    main_stream.wait_stream(side_stream)


def capture(step: Callable[[], None], generators: list[torch.Generator]) -> Callable[[], None]:
    """Capture the kernels of a step as a CUDA graph without running them.

    Args:
        step: launches the same kernels on the same memory every time.
        generators: that the step draws from.

    Returns:
        A function that replays the graph.

    Raises:
        RuntimeError: the step synchronizes with the GPU or does something else that cannot be captured.
    """
    graph, stream, gc_enabled = torch.cuda.CUDAGraph(), torch.cuda.Stream(), gc.isenabled()
    for generator in generators:
        graph.register_generator_state(generator)
    torch.cuda.synchronize()
    gc.disable()  # The release of unrelated tensors would be captured too.
    try:
        with torch.cuda.stream(stream):
            # Other threads may allocate GPU memory meanwhile.
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                step()
            finally:
                graph.capture_end()
    finally:
        if gc_enabled:
            gc.enable()
    return graph.replay


def restore_generator(generator: torch.Generator, state: Tensor) -> None:
    """Give a generator a new state object; after a failed capture the registered one cannot be drawn from.

    Args:
        generator: on a GPU.
        state: its state before the capture.
    """
    fresh = torch.Generator(device=generator.device)
    fresh.set_state(state)
    generator.graphsafe_set_state(fresh.graphsafe_get_state())


class GraphedStep:
    """A training step with one CUDA graph per batch size."""

    def __init__(self, step: Step, state: list[Tensor], generators: list[torch.Generator]) -> None:
        """Wrap a step; nothing is captured yet.

        Args:
            step: processes the next batch, given its size and whether it has no padding.
            state: all tensors that the step changes or that determine the next step.
            generators: that the step draws from.
        """
        self.step, self.state, self.generators = step, state, generators
        self.replays: dict[tuple[int, bool], Callable[[], None]] = {}
        """Replays the graph of each captured batch size."""
        self.n_calls = Counter[tuple[int, bool]]()
        self.failure = ""
        """Why steps are run eagerly; empty while CUDA graphs are used."""

    def __call__(self, size: int, full: bool) -> None:
        """Process the next batch.

        Args:
            size: rows per member.
            full: no row is padding.
        """
        key = (size, full)
        self.n_calls[key] += 1
        if self.failure:
            self.step(size, full)
        elif self.n_calls[key] < EAGER_STEPS:
            run_on_side_stream(lambda: self.step(size, full))
        elif self.n_calls[key] == EAGER_STEPS:
            self.capture(key)
        elif self.n_calls[key] == EAGER_STEPS + 1:
            self.verify(key)
        else:
            self.replays[key]()

    def capture(self, key: tuple[int, bool]) -> None:
        """Capture a batch size and process the batch.

        Args:
            key: size and whether it is full.
        """
        states = [one.get_state() for one in self.generators]
        try:
            self.replays[key] = capture(lambda: self.step(*key), self.generators)
        except RuntimeError as error:
            self.fall_back(str(error.__context__ or error).partition("\n")[0])
            for generator, state in zip(self.generators, states, strict=True):
                restore_generator(generator, state)
            self.step(*key)
            return
        self.replays[key]()

    def verify(self, key: tuple[int, bool]) -> None:
        """Process a batch by replay and then eagerly, and fall back to eager steps if the results differ.

        It must be the batch after the captured one, so that a number that was captured instead of read from a tensor is detected.

        Args:
            key: size and whether it is full.
        """
        before, generator_states = [one.clone() for one in self.state], [one.get_state() for one in self.generators]
        self.replays[key]()
        replayed = [one.clone() for one in self.state]
        for tensor, old in zip(self.state, before, strict=True):
            tensor.copy_(old)
        for generator, state in zip(self.generators, generator_states, strict=True):
            generator.set_state(state)
        self.step(*key)
        for eager, other, old in zip(self.state, replayed, before, strict=True):
            if not is_close(eager, other, old):
                self.fall_back("a replayed step differed from the eager step")
                return

    def fall_back(self, failure: str) -> None:
        """Discard all graphs and run eagerly from now on.

        Args:
            failure: the reason in a few words.
        """
        self.failure = failure
        self.replays.clear()


def is_close(eager: Tensor, replayed: Tensor, before: Tensor) -> bool:
    """Compare the results of an eager and a replayed update.

    Integers must be equal; floats may differ by `TOLERANCE` of the length of the update.

    Args:
        eager: result of the eager step.
        replayed: result of the replayed step.
        before: values before either.
    """
    if not eager.dtype.is_floating_point:
        return bool((eager == replayed).all())
    distance, length = (eager.double() - replayed.double()).norm(), (eager.double() - before.double()).norm()
    return bool(distance <= TOLERANCE * length + 1e-6 * eager.double().norm())


class StaticBuffers(NamedTuple):
    """Static input and output buffers of the CUDA graphs, overwritten in every epoch."""

    visits: Visits
    """(K, n)."""
    labels: Tensor
    """(K, n) training labels."""
    output: LossOutput
    """(K, n)."""
    thresholds: Tensor
    """(n_batches,) float32, tau of each batch [sigma]."""
    rates: Tensor
    """(n_batches,) float32, learning rate of each batch."""
    position: Tensor
    """(2,) int64: column of the next batch's first row, and number of the batch."""
