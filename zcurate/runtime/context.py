"""What a scan runs with: device, processes, array stores, progress, timings, limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zcurate.runtime.process_group import SingleProcess
from zcurate.runtime.progress import NoProgress, Progress, Stopwatch, Timings
from zcurate.runtime.store import ArrayStore, BlockSizes, InMemoryStore

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RunContext:
    """What a scan runs with; `dataclasses.replace` makes the next one as more becomes known."""

    progress: Progress = field(default_factory=NoProgress)
    """Receives stages, progress and warnings."""
    timings: Timings = field(default_factory=Timings)
    """Seconds by component, for `scan -v`."""
    stopwatch: Stopwatch | None = None
    """Seconds by stage, for the run card; made from `progress` when not given."""
    store: ArrayStore = field(default_factory=InMemoryStore)
    """Stores the rows and everything recorded of them."""
    image_store: ArrayStore = field(default_factory=InMemoryStore)
    """Stores the pixels of pictures."""
    block_sizes: BlockSizes = field(default_factory=BlockSizes)
    """Sizes of a memory-mapped store that the scan makes."""
    processes: SingleProcess = field(default_factory=SingleProcess)
    """The processes that train together."""
    device: torch.device | None = None
    """Device of the tensors; None until torch is loaded."""
    seed: int = 0
    """Random seed."""
    time_limit: float | None = None
    """Seconds that training may take; None for no limit."""
    n_threads: int = 1
    """CPU threads that the scan computes with."""
    owns_process: bool = False
    """The process is the command's own: it may fork, freeze the garbage collector, shorten torch's import. False in a user's own program."""
    ends_process: bool = False
    """Nothing but this scan's report is still to come: worker ranks may leave once their part is done."""
    features_file: str | None = None
    """Keeps the features of pictures for later scans; None to keep none."""
    download: bool = False
    """Weights of pre-trained networks may be downloaded."""
    command: str | None = None
    """What the user typed; text for the run card and nothing else."""

    def __post_init__(self) -> None:
        if self.stopwatch is None:
            object.__setattr__(self, "stopwatch", Stopwatch(self.progress))

    def stage(self, name: str) -> None:
        """Begin the next stage."""
        assert self.stopwatch is not None  # crack: narrows types only
        self.stopwatch.stage(name)

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far."""
        assert self.stopwatch is not None  # crack: narrows types only
        return self.stopwatch.seconds()

    @property
    def torch_device(self) -> torch.device:
        """`device`, once it is known."""
        assert self.device is not None  # crack: narrows types only
        return self.device
