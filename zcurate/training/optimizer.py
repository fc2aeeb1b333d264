"""AdamW and Nesterov SGD on torch's fused kernels.

`torch.optim` is not used because its first use imports torch's compiler, a large part of the duration of a small scan.
Sources: arXiv:1711.05101 (AdamW), Sutskever et al. 2013 (Nesterov momentum).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zcurate.config.model_config import ModelConfig

BETAS, EPSILON = (0.9, 0.98), 1e-8
"""AdamW's decay rates and epsilon."""
MOMENTUM = 0.9
"""SGD's momentum."""
PENALTY = 10.0
"""Of the squared distance from parameters that training goes on from, decoupled from the gradient as AdamW's weight decay: with steps of the size of the
learning rate no parameter moves further than its inverse. Chosen on the tuning half (tests/bench/README.md)."""


class Optimizer:
    """The trainable parameters of a model and the optimizer's state of each."""

    def __init__(self, spec: ModelConfig, model: nn.Module) -> None:
        self.spec = spec
        self.parameters = [one for one in model.parameters() if one.requires_grad]
        self.first_moments = [torch.zeros_like(one) for one in self.parameters]
        self.second_moments = [torch.zeros_like(one) for one in self.parameters] if spec.optimiser == "adamw" else []
        self.n_steps = [torch.zeros((), device=one.device) for one in self.parameters]
        self.anchors: list[Tensor] = []
        """Parameters that training goes on from; empty where it starts anew."""

    def state(self) -> list[Tensor]:
        """Return all state tensors, to be written to in place."""
        return [*self.first_moments, *self.second_moments, *self.n_steps]

    def zero_grad(self) -> None:
        """Remove the gradients of the previous step."""
        for parameter in self.parameters:
            parameter.grad = None

    def stay_near(self) -> None:
        """Draw the parameters towards their values of now in every further step (arXiv:2404.12292)."""
        self.anchors = [one.detach().clone() for one in self.parameters]

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Update every parameter that has a gradient.

        Args:
            rate: learning rate of this step; a tensor () in a step captured as a CUDA graph, where it changes between replays.
        """
        with_gradient = [at for at, one in enumerate(self.parameters) if one.grad is not None]
        parameters, first_moments, n_steps = ([values[at] for at in with_gradient] for values in (self.parameters, self.first_moments, self.n_steps))
        gradients = [one.grad for one in parameters if one.grad is not None]
        torch._foreach_add_(n_steps, 1)
        if self.spec.optimiser == "adamw":
            torch._fused_adamw_(
                parameters, gradients, first_moments, [self.second_moments[at] for at in with_gradient], [], n_steps,
                lr=rate, beta1=BETAS[0], beta2=BETAS[1], weight_decay=self.spec.weight_decay, eps=EPSILON, amsgrad=False, maximize=False,
            )  # fmt: skip
        else:
            torch._fused_sgd_(
                parameters, gradients, first_moments,
                weight_decay=self.spec.weight_decay, momentum=MOMENTUM, lr=rate, dampening=0.0, nesterov=True, maximize=False, is_first_step=False,
            )  # fmt: skip
        if self.anchors:
            torch._foreach_lerp_(parameters, [self.anchors[at] for at in with_gradient], weight=min(1.0, PENALTY * float(rate)))
