"""A fitted encoding as plain arrays and JSON values, to be kept in a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from zcurate.encoding.encoder import Encoder, FittedEncoding
from zcurate.encoding.targets import TargetScale
from zcurate.encoding.text import Vocabulary


def state_of(fitted: FittedEncoding) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the JSON values that a fitted encoding consists of.

    Args:
        fitted: of some rows.
    """
    encoder = fitted.encoder
    arrays = {f"field.{name}": one.cpu().numpy() for name, one in encoder.fields.items() if isinstance(one, Tensor)}
    pairs = {"vector": encoder.scale, "feature": fitted.scale, "target": None if encoder.target is None else (encoder.target.value, encoder.target.score)}
    arrays |= {f"{name}.{at}": array for name, pair in pairs.items() if pair is not None for at, array in enumerate(pair)}
    arrays |= {f"idf.{at}": one.idf for at, one in enumerate(fitted.vocabularies)}
    facts = {
        "centers": encoder.centers,
        "order": encoder.order,
        "time_parts": encoder.time_parts,
        "categories": {name: [values.to_pylist(), offset] for name, (values, offset) in encoder.categories.items()},
        "fields": {name: one for name, one in encoder.fields.items() if not isinstance(one, Tensor)},
        "n_outputs": encoder.n_outputs,
        "vocabularies": [{"kind": one.kind, "max_length": one.max_length, "terms": one.terms} for one in fitted.vocabularies],
    }
    return arrays, facts


def from_state(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> FittedEncoding:
    """Return the encoding that `state_of` described.

    Args:
        arrays: by name.
        facts: JSON values.
    """

    def pair(name: str) -> tuple[np.ndarray, np.ndarray] | None:
        return (arrays[f"{name}.0"], arrays[f"{name}.1"]) if f"{name}.0" in arrays else None

    fields: dict[str, Any] = {name.removeprefix("field."): torch.from_numpy(array) for name, array in arrays.items() if name.startswith("field.")}
    fields |= {name: tuple(one) if isinstance(one, list) else one for name, one in facts["fields"].items()}
    target = pair("target")
    encoder = Encoder(
        [None if one is None else (one[0], one[1]) for one in facts["centers"]],
        facts["order"],
        facts["time_parts"],
        {name: (pa.array(values, pa.string()), offset) for name, (values, offset) in facts["categories"].items()},
        pair("vector"),
        fields,
        None if target is None else TargetScale(*target),
        facts["n_outputs"],
    )
    vocabularies = [Vocabulary(one["kind"], one["max_length"], one["terms"], arrays[f"idf.{at}"]) for at, one in enumerate(facts["vocabularies"])]
    return FittedEncoding(encoder, vocabularies, pair("feature"))
