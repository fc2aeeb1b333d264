"""What the callbacks for other people's training loops share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from zcurate.integrations.recorder import Recorder


class TrainingLoop:
    """Feeds a `Recorder` from one model's training.

    Epochs are numbered from 0 in each training, so that the folds of a cross-validation join. Outputs for rows that this model has not trained on
    (validation, prediction) are recorded as held out, from its first whole epoch on.
    """

    def __init__(self, recorder: Recorder) -> None:
        """Begin with a model that has trained on nothing.

        Args:
            recorder: takes the record; several trainings may share it.
        """
        self.recorder = recorder
        self.n_epochs = 0
        self.trained = torch.zeros(recorder.n_rows, dtype=torch.bool)

    def train_batch(self, index: Tensor, output: Tensor, target: Tensor) -> None:
        """Record a training batch; see `Recorder.update`."""
        self.recorder.update(index, output, target)
        self.trained = self.trained.to(output.device)
        self.trained[index.long().to(output.device)] = True

    def other_batch(self, index: Tensor, output: Tensor) -> None:
        """Record a batch of an evaluation: the rows that the model has not trained on, once it knows something.

        Args:
            index: (B,) position of each row in the data set.
            output: (B, C) logits.
        """
        if self.n_epochs:
            new = ~self.trained[index.long().to(self.trained.device)]
            self.recorder.heldout(index.to(new.device)[new], output.to(new.device)[new])

    def end_epoch(self) -> None:
        """End an epoch; see `Recorder.epoch`."""
        self.recorder.epoch(self.n_epochs)
        self.n_epochs += 1
