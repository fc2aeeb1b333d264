"""AdamW and Nesterov SGD on torch's fused kernels, without `torch.optim`: its first use imports torch's compiler, 1.3 of the 4 seconds
that a scan of a small table takes.

Leaves: `Optimiser`. Enters: a model's parameters and their gradients.
Sources: arXiv:1711.05101 (AdamW), Sutskever et al. 2013 (Nesterov momentum).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zcurate.config.model_config import ModelConfig

BETAS, EPSILON = (0.9, 0.98), 1e-8
MOMENTUM = 0.9


class Optimizer:
    """One model's parameters and what the optimiser remembers of each."""

    def __init__(self, spec: ModelConfig, model: nn.Module) -> None:
        self.spec = spec
        self.parameters = [one for one in model.parameters() if one.requires_grad]
        self.first = [torch.zeros_like(one) for one in self.parameters]
        self.second = [torch.zeros_like(one) for one in self.parameters] if spec.optimiser == "adamw" else []
        self.counts = [torch.zeros((), device=one.device) for one in self.parameters]

    def state(self) -> list[Tensor]:
        """All that it remembers, to be written into in place."""
        return [*self.first, *self.second, *self.counts]

    def forget(self) -> None:
        """Drop the gradients of the step before."""
        for one in self.parameters:
            one.grad = None

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Move every parameter that has a gradient.

        Args:
            rate: learning rate of this step; a tensor () where it changes under a recorded step.
        """
        live = [at for at, one in enumerate(self.parameters) if one.grad is not None]
        parameters, first, counts = ([kept[at] for at in live] for kept in (self.parameters, self.first, self.counts))
        gradients = [one.grad for one in parameters if one.grad is not None]
        torch._foreach_add_(counts, 1)
        if self.spec.optimiser == "adamw":
            torch._fused_adamw_(
                parameters, gradients, first, [self.second[at] for at in live], [], counts,
                lr=rate, beta1=BETAS[0], beta2=BETAS[1], weight_decay=self.spec.weight_decay, eps=EPSILON, amsgrad=False, maximize=False,
            )  # fmt: skip
        else:
            torch._fused_sgd_(
                parameters, gradients, first,
                weight_decay=self.spec.weight_decay, momentum=MOMENTUM, lr=rate, dampening=0.0, nesterov=True, maximize=False, is_first_step=False,
            )  # fmt: skip
