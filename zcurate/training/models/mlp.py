"""Packed perceptrons: K small networks side by side as one batched product per layer.

Sees numbers as piecewise-linear bins, categories as embeddings, and adds a linear term on TF-IDF text. Weak on data whose classes
differ only in a long interaction of many columns; strong and fast elsewhere.
Sources: packing as in TabM (arXiv:2410.24210); encoding arXiv:2203.05556.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import Batch, EncodedRows
from zcurate.training.models.packed import PackedPerceptron, PackedText, embedding_gradient, embedding_rows

TEXT_GAIN = 4.0
"""Texts beside a perceptron learn this much faster than it does: with 1 / 4 / 8 and a column of noise beside the text, average
precision on the tuning sets of the bench was .469 / .478 / .473 (sentence_polarity_rand) and .864 / .943 / .936 (sms_spam_asym10)."""


class PackedMLP(nn.Module):
    """K perceptrons; with no hidden width, K linear models."""

    first_code: Tensor
    """(K, 1, 1) int64, where each member's embeddings begin."""

    def __init__(self, spec: ModelConfig, encoded: EncodedRows, n_members: int, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.generator = torch.Generator(device=encoded.device).manual_seed(generator.initial_seed())
        self.embedding: nn.Parameter | None = None
        width = encoded.width
        if encoded.codes is not None:
            table = torch.empty(n_members * encoded.n_codes, spec.embedding).normal_(0, 0.5, generator=generator)
            self.embedding = nn.Parameter(table)
            width += encoded.codes.shape[1] * spec.embedding
        self.register_buffer("first_code", torch.arange(n_members)[:, None, None] * encoded.n_codes, persistent=False)
        self.stack = PackedPerceptron(n_members, (width, *hidden, encoded.n_outputs), generator, spec.dropout, self.generator) if width else None
        self.text = PackedText(n_members, encoded.n_terms, encoded.n_outputs, TEXT_GAIN if hidden else 1.0) if encoded.n_terms else None

    def seen(self, inputs: Batch) -> Tensor:
        """Inputs of (K, B) rows to (K, B, D): what the first layer sees."""
        parts = [] if inputs.x is None else [inputs.x]
        if self.embedding is not None and inputs.codes is not None:
            wide = embedding_rows(self.embedding, inputs.codes + self.first_code).flatten(2)
            parts.append(wide.to(parts[0].dtype) if parts else wide)
        return torch.cat(parts, 2) if len(parts) > 1 else parts[0]

    def features(self, inputs: Batch) -> Tensor:
        """Inputs of (K, B) rows to (K, B, D): what the last layer sees."""
        assert self.stack is not None  # crack: narrows types only
        return self.stack.hidden(self.seen(inputs))[-1]

    def forward(self, inputs: Batch) -> Tensor:
        """Inputs of (K, B) rows to (K, B, C) logits, float32."""
        outputs = [] if self.stack is None else [self.stack(self.seen(inputs))]
        if self.text is not None:
            outputs.append(self.text(inputs))
        return outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]

    @property
    def has_manual_backward(self) -> bool:
        """Whether `forward_with_gradient` does all of the model's work; it spares autograd's part, a twentieth to a tenth of a step."""
        return self.stack is not None and self.text is None

    @torch.no_grad()
    def forward_with_gradient(self, inputs: Batch) -> tuple[Tensor, Callable[[Tensor], None]]:
        """What `forward` gives, and what is to be told its gradient (K, B, C) and leaves those of the parameters with them."""
        assert self.stack is not None  # crack: narrows types only
        output, found = self.stack.ahead(self.seen(inputs))
        return output, partial(self.learn, inputs, found)

    @torch.no_grad()
    def learn(self, inputs: Batch, found: list[Tensor], gradient: Tensor) -> None:
        """Leave the gradients of the parameters with them.

        Args:
            inputs: (K, B) rows.
            found: by the stack.
            gradient: (K, B, C) float32, of the output.
        """
        assert self.stack is not None  # crack: narrows types only
        self.stack.flat.grad, parts = self.stack.slopes
        embedded = 0 if self.embedding is None or inputs.codes is None else inputs.codes.shape[2] * self.embedding.shape[1]
        slope = self.stack.back(found, gradient, parts, embedded)
        if self.embedding is not None and inputs.codes is not None and slope is not None:
            self.embedding.grad = embedding_gradient(self.embedding, inputs.codes + self.first_code, slope.float())


def build(spec: ModelConfig, encoded: EncodedRows, n_members: int, generator: torch.Generator) -> nn.Module:
    """K packed perceptrons for `encoded`.

    Args:
        spec: `hidden`, `dropout`, `embedding`.
        encoded: shapes of the inputs and number of outputs.
        n_members: K.
        generator: source of the initial weights (CPU).
    """
    return PackedMLP(spec, encoded, n_members, spec.hidden, generator)
