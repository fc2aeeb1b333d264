"""A callback for skorch: `NeuralNetClassifier(..., callbacks=[RecorderCallback(recorder)])`, and `recorder.report(given=y)` after the fit."""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import Callback

from zcurate.integrations.module_hooks import INDEX, IndexHook
from zcurate.integrations.recorder import Recorder
from zcurate.integrations.training_loop import TrainingLoop


class RecorderCallback(Callback):
    """Records each row of a net for classification.

    X is a dictionary of the module's arguments and `index`, which counts the rows: `net.fit({"x": X, "index": numpy.arange(len(X))}, y)`; the module
    does not get the index. Rows that the module has not trained on, in validation or in `predict`, are recorded as held out.

    Args:
        recorder: takes the record. Copies that scikit-learn makes for its folds share it: `cross_val_predict(net, SliceDict(x=X, index=...), y)`.

    Raises:
        ValueError: during the fit, a batch without index.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.hook_: IndexHook | None = None

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Attach to the module."""
        # Names that end in an underscore are no parameters of the callback.
        if self.hook_ is not None:
            self.hook_.remove()
        self.loop_ = TrainingLoop(self.recorder)
        self.hook_ = IndexHook(net.module_, lambda module, index, _, output: self.record_other(net, module, index, output))

    def record_other(self, net: Any, module: torch.nn.Module, index: torch.Tensor | None, output: Any) -> None:
        """Record a batch of a validation or of `predict`."""
        if index is not None and not module.training:
            self.loop_.other_batch(index, logits_of(net, output))

    def on_batch_end(self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        """Record a training batch."""
        if not training:
            return
        inputs, target = batch
        if not hasattr(inputs, "get") or inputs.get(INDEX) is None:
            raise ValueError('RecorderCallback: a batch without index — expected net.fit({"x": X, "index": numpy.arange(len(X))}, y), x as the module names it')
        self.loop_.train_batch(torch.as_tensor(inputs[INDEX]), logits_of(net, kwargs["y_pred"]), torch.as_tensor(target))

    def on_epoch_end(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        """End an epoch."""
        self.loop_.end_epoch()

    def __sklearn_clone__(self) -> RecorderCallback:
        """Return a callback of another fit with the same recorder."""
        return type(self)(self.recorder)


def logits_of(net: Any, output: Any) -> torch.Tensor:
    """Return the module's outputs as logits: with `NLLLoss`, the default, they are probabilities, of which skorch takes the logarithm."""
    found: torch.Tensor = (output[0] if isinstance(output, tuple) else output).detach()
    return found.clamp_min(1e-12).log() if isinstance(net.criterion_, torch.nn.NLLLoss) else found
