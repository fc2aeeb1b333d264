"""A step on a GPU, recorded once for each size of batch and then replayed: a narrow network's step is a hundred small kernels, which take
longer to start than to run.

Leaves: `Replay`. Enters: a step that reads where it is from tensors and writes all that it changes in place, so that the same kernels on the
same memory do the next batch. A step that cannot be recorded, or whose replay differs from the step itself, is run as it is from then on.
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
"""A size is recorded when it comes up this often: by then not recording has cost about as much, and what is set up at first use is there."""
TOLERANCE = 0.05
"""A replayed step may move the parameters otherwise than the step itself by this share of the way: sums in another order, no other batch."""

Step = Callable[[int, bool], None]


def can_record(device: torch.device) -> bool:
    """Whether steps can be recorded there."""
    return device.type == "cuda"


def run_on_side_stream(step: Callable[[], None]) -> None:
    """Run a step on a stream of its own, as those must that come before a recording.

    Args:
        step: works on the current stream.
    """
    here, stream = torch.cuda.current_stream(), torch.cuda.Stream()
    stream.wait_stream(here)
    with torch.cuda.stream(stream):
        step()
    here.wait_stream(stream)


def record(step: Callable[[], None], generators: list[torch.Generator]) -> Callable[[], None]:
    """Write down what a step does on the GPU without doing it.

    Args:
        step: the same kernels on the same memory every time.
        generators: that it draws from.

    Returns:
        What does it.

    Raises:
        RuntimeError: the step waits for the GPU, or does something else that cannot be written down.
    """
    graph, stream, collecting = torch.cuda.CUDAGraph(), torch.cuda.Stream(), gc.isenabled()
    for one in generators:
        graph.register_generator_state(one)
    torch.cuda.synchronize()
    gc.disable()  # Tensors freed from elsewhere would be written down too.
    try:
        with torch.cuda.stream(stream):
            # Other threads may ask the GPU for memory meanwhile.
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                step()
            finally:
                graph.capture_end()
    finally:
        if collecting:
            gc.enable()
    return graph.replay


def restore_generator(generator: torch.Generator, seed: Tensor) -> None:
    """Give a generator a state of its own again: one that a recording broke off with draws no more.

    Args:
        generator: on a GPU.
        seed: its state before.
    """
    fresh = torch.Generator(device=generator.device)
    fresh.set_state(seed)
    generator.graphsafe_set_state(fresh.graphsafe_get_state())


class GraphedStep:
    """The recordings of one step."""

    def __init__(self, step: Step, state: list[Tensor], generators: list[torch.Generator]) -> None:
        """Nothing recorded yet.

        Args:
            step: does the next batch, given its size and whether all of its rows count.
            state: everything that it changes and goes by.
            generators: that it draws from.
        """
        self.step, self.state, self.generators = step, state, generators
        self.recorded: dict[tuple[int, bool], Callable[[], None]] = {}
        self.met = Counter[tuple[int, bool]]()
        self.why_not = ""
        """Why steps are not recorded any more; empty while they are."""

    def __call__(self, size: int, full: bool) -> None:
        """Do the next batch.

        Args:
            size: rows per member.
            full: none of them is padding.
        """
        key = (size, full)
        self.met[key] += 1
        if self.why_not:
            self.step(size, full)
        elif self.met[key] < EAGER_STEPS:
            run_on_side_stream(lambda: self.step(size, full))
        elif self.met[key] == EAGER_STEPS:
            self.begin(key)
        elif self.met[key] == EAGER_STEPS + 1:
            self.compare(key)
        else:
            self.recorded[key]()

    def begin(self, key: tuple[int, bool]) -> None:
        """Record a size, and do the batch.

        Args:
            key: size and whether it is full.
        """
        seeds = [one.get_state() for one in self.generators]
        try:
            self.recorded[key] = record(lambda: self.step(*key), self.generators)
        except RuntimeError as error:
            self.give_up(str(error.__context__ or error).partition("\n")[0])
            for one, seed in zip(self.generators, seeds, strict=True):
                restore_generator(one, seed)
            self.step(*key)
            return
        self.recorded[key]()

    def compare(self, key: tuple[int, bool]) -> None:
        """Do a batch both ways, the step itself last; give up where they differ. It is the batch after the recorded one, so that what
        was written down as a number and should have been read anew shows.

        Args:
            key: size and whether it is full.
        """
        before, seeds = [one.clone() for one in self.state], [one.get_state() for one in self.generators]
        self.recorded[key]()
        replayed = [one.clone() for one in self.state]
        for one, was in zip(self.state, before, strict=True):
            one.copy_(was)
        for generator, seed in zip(self.generators, seeds, strict=True):
            generator.set_state(seed)
        self.step(*key)
        for now, other, was in zip(self.state, replayed, before, strict=True):
            if not is_close(now, other, was):
                self.give_up("a replayed step differed from the step itself")
                return

    def give_up(self, why: str) -> None:
        """Record nothing more.

        Args:
            why: in a few words.
        """
        self.why_not = why
        self.recorded.clear()


def is_close(now: Tensor, other: Tensor, was: Tensor) -> bool:
    """Whether two ways lead to the same place but for rounding: whole numbers exactly, others within `CLOSE` of the way.

    Args:
        now: where one way led.
        other: where the other led.
        was: where both began.
    """
    if not now.dtype.is_floating_point:
        return bool((now == other).all())
    apart, way = (now.double() - other.double()).norm(), (now.double() - was.double()).norm()
    return bool(apart <= TOLERANCE * way + 1e-6 * now.double().norm())


class StaticBuffers(NamedTuple):
    """An epoch's visits where replayed steps find them, and what they are told and say: the same memory in every epoch."""

    visits: Visits
    """(K, n)."""
    labels: Tensor
    """(K, n) shown labels."""
    found: LossOutput
    """(K, n)."""
    thresholds: Tensor
    """(n_batches,) float32, tau of each batch [sigma]."""
    rates: Tensor
    """(n_batches,) float32, learning rate of each batch."""
    at: Tensor
    """(2,) int64: place of the next batch's first row, and the batch's number."""
