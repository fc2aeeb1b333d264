"""Predict rows that no member of a kept model has seen, without the data that it was trained on.

Class centers and the covariance that classes share, in the space that each member learned, stand for those data (the statistics of arXiv:2401.06548): rows far
from every center belong to no class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import Batch, EncodedRows
from zcurate.runtime import device
from zcurate.training.detectors.neighbors import class_statistics, distances_to
from zcurate.training.kept_model import DISTANCE, KeptModel
from zcurate.training.models import builder
from zcurate.training.schedule import inference_batch_rows

if TYPE_CHECKING:
    from zcurate.training.members import MemberGroup

MAX_ROWS = 50_000
"""Training rows of a member from which centers and covariance are computed, at most; evenly spaced ones of more."""
CENTRE, ROOT = "space.centre", "space.root"
"""Names of what `learned_space` keeps."""


def space_of(model: nn.Module, inputs: Batch) -> Tensor:
    """Return the input of the last layer, (K, B, D) float32; the outputs of a model that has no `features`, and of texts alone, which reach them directly."""
    has_layers = inputs.x is not None or inputs.codes is not None or inputs.images is not None
    features = getattr(model, "features", None) if has_layers else None
    found: Tensor = model(inputs) if features is None else features(inputs)
    return found.float()


@torch.no_grad()
def learned_space(members: MemberGroup) -> dict[str, Tensor]:
    """Compute what a kept model needs to place new rows in the space that each member learned.

    Args:
        members: K members, trained.

    Returns:
        The centers of the classes (K, C, D), the Cholesky factors of the covariances (K, D, D), and (N,) float32 distances of the members' held-out rows to
        the nearest center, NaN for other rows.
    """
    encoded, rows = members.trainer.encoded, members.trainer.inference_rows
    members.model.eval()
    centres, roots = [], []
    chosen = [torch.nonzero(mask)[:, 0] for mask in members.training_mask]
    n = min(MAX_ROWS, *(len(ids) for ids in chosen))
    keys = torch.stack([ids[torch.linspace(0, len(ids) - 1, n, device=ids.device).long()] for ids in chosen])
    space = torch.cat([space_of(members.model, encoded.inputs(ids)) for ids in keys.split(rows, 1)], 1).nan_to_num_()
    for own, ids in zip(space, keys, strict=True):
        centre, root = class_statistics(own, members.labels[ids], encoded.n_outputs)
        centres.append(centre)
        roots.append(root)
    distance = torch.full((encoded.n_rows,), float("nan"), device=encoded.device)
    for ids, weight in members.all_heldout_batches():
        found = space_of(members.model, encoded.inputs(ids))
        for own, row, real, centre, root in zip(found, ids, weight > 0, centres, roots, strict=True):
            distance[row[real]] = distances_to(own[real], centre, root).amin(1)
    return {CENTRE: torch.stack(centres), ROOT: torch.stack(roots), DISTANCE: distance}


@torch.no_grad()
def predict_new(kept: KeptModel, rows: EncodedRows, spec: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Predict rows with all members of all rounds.

    Args:
        kept: the model.
        rows: N rows, encoded as those of its scan.
        spec: of its scan.

    Returns:
        (N, C) float32 mean probabilities, and (N,) float32 mean distances to the nearest class center in the last round's spaces.
    """
    n, on = rows.n_rows, rows.device
    p, distance = torch.zeros(n, rows.n_outputs, device=on), torch.zeros(n, device=on)
    size = inference_batch_rows(None if rows.images is None else tuple(rows.images.shape[1:]), on.type == "cuda")
    n_spaces = 0
    for at in range(kept.n_rounds):
        groups, _ = kept.members(at)
        for tensors in groups:
            n_members = spec.folds // len(groups)
            model = builder(spec.name)(spec, rows, n_members, device.generator(torch.device("cpu"), 0)).to(on)
            model.load_state_dict({name.removeprefix("model."): one for name, one in tensors.items() if name.startswith("model.")})
            model.eval()
            has_spaces = at == kept.n_rounds - 1
            for ids in torch.arange(n, device=on).split(size):
                inputs = rows.inputs(ids.expand(n_members, -1))
                p[ids] += model(inputs).float().softmax(2).mean(0) / (kept.n_rounds * len(groups))
                if has_spaces:
                    spaces = space_of(model, inputs)
                    for own, centre, root in zip(spaces, tensors[CENTRE].to(on), tensors[ROOT].to(on), strict=True):
                        distance[ids] += distances_to(own, centre, root).amin(1)
            n_spaces += n_members if has_spaces else 0
    return p.cpu().numpy(), (distance / max(1, n_spaces)).cpu().numpy()
