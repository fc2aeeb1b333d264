"""A callback for Lightning: `Trainer(callbacks=[RecorderCallback(recorder)])`, and `recorder.report(given=labels)` after the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zcurate.integrations.recorder import Recorder
from zcurate.integrations.training_loop import TrainingLoop

try:
    from lightning.pytorch import Callback
except ImportError:
    from pytorch_lightning import Callback

NAMES = ("index", "output", "target")
"""What a step returns beside `loss`."""


class RecorderCallback(Callback):
    """Records each row from what the module's steps return.

    `training_step` returns a dictionary with `loss`, `index` (B,), `output` (B, C) logits and `target` (B,); `validation_step` and `predict_step` may
    return one with `index` and `output`: rows that the model has not trained on are recorded as held out.

    Args:
        recorder: takes the record. Several trainings may share it, as the folds of a cross-validation do.

    Raises:
        ValueError: during the training, a step that returns something else.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.loop = TrainingLoop(recorder)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin a training, unless a checkpoint of one was loaded."""
        if trainer.ckpt_path is None:
            self.loop = TrainingLoop(self.recorder)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record a training batch."""
        if not isinstance(outputs, Mapping) or not set(NAMES) <= set(outputs):
            raise ValueError(
                f"{type(pl_module).__name__}.training_step returned {described(outputs)} — expected a dictionary with loss, index, output and target — "
                "let the data set return each row's index beside it"
            )
        self.loop.train_batch(*(outputs[name] for name in NAMES))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End an epoch."""
        self.loop.end_epoch()

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Record a batch that the model did not train on, where the step returns its index."""
        if isinstance(outputs, Mapping) and {"index", "output"} <= set(outputs):
            self.loop.other_batch(outputs["index"], outputs["output"])

    on_predict_batch_end = on_validation_batch_end

    def state_dict(self) -> dict[str, Any]:
        """Return the record, for Lightning's checkpoints."""
        return {"recorder": self.recorder.state_dict(), "n_epochs": self.loop.n_epochs, "trained": self.loop.trained}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the record."""
        self.recorder.load_state_dict(state_dict["recorder"])
        self.loop.n_epochs, self.loop.trained = state_dict["n_epochs"], state_dict["trained"]


def described(outputs: Any) -> str:
    """Say what a step returned."""
    return f"a dictionary with {', '.join(map(str, outputs))}" if isinstance(outputs, Mapping) else type(outputs).__name__
