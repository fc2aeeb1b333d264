"""A callback for the Trainer of transformers: `Trainer(..., callbacks=[RecorderCallback(recorder)])`, then `recorder.report(given=labels)`."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

from zcurate.integrations.module_hooks import IndexHook
from zcurate.integrations.recorder import Recorder
from zcurate.integrations.training_loop import TrainingLoop


class RecorderCallback(TrainerCallback):
    """Records each row of a model for classification, of texts, pictures or anything else.

    The data set has a column `index` that counts the rows of the whole data set, and the arguments `remove_unused_columns=False`, so that it arrives.
    Rows of an evaluation or prediction that the model has not trained on are recorded as held out.

    Args:
        recorder: takes the record. Several trainings may share it, as the folds of a cross-validation do.

    Raises:
        ValueError: during the training, a batch without index or labels.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.hook: IndexHook | None = None
        self.loop = TrainingLoop(recorder)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Attach to the model."""
        self.close()
        self.loop = TrainingLoop(self.recorder)
        self.hook = IndexHook(model, self.record)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End an epoch."""
        self.loop.end_epoch()

    def record(self, module: torch.nn.Module, index: torch.Tensor | None, kwargs: dict[str, Any], output: Any) -> None:
        """Record a batch of the training, of an evaluation or of a prediction.

        Raises:
            ValueError: a training batch without index or labels.
        """
        if module.training and torch.is_grad_enabled():
            if index is None or kwargs.get("labels") is None:
                raise ValueError(
                    "RecorderCallback: a training batch without index or without labels — expected a column 'index' that counts the rows beside 'labels', "
                    "and TrainingArguments(remove_unused_columns=False, label_smoothing_factor=0)"
                )
            self.loop.train_batch(index, output.logits, kwargs["labels"])
        elif index is not None:
            self.loop.other_batch(index, output.logits)

    def close(self) -> None:
        """Detach from the model. It stays attached after the training, as predictions of held-out rows follow."""
        if self.hook is not None:
            self.hook.remove()
        self.hook = None
