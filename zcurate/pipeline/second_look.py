"""What is found without the columns that give the label away: a fast answer from models that take seconds, made only where there are such columns."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from zcurate.arrays.sample import sample
from zcurate.runtime.progress import NoProgress

if TYPE_CHECKING:
    from zcurate.config.model_config import ModelConfig
    from zcurate.data.dataset import Dataset, Leak
    from zcurate.runtime.context import RunContext

SECOND_LOOK_ROWS = 20_000
"""Rows on which the models without leaking columns are fitted, at most."""

NEAR_PERFECT = 0.995
"""Held-out balanced accuracy from which one looks for a column that gives the label away; by taste."""
ONE_COLUMN_ROWS, MIN_CLASS_ROWS = 5_000, 10
"""Rows on which single columns are tried, at most, and rows of each class that this needs."""
MAX_FLOAT32 = 3.4e38
"""Largest number that trees are fitted to."""
MAX_OPTIONS = 5
"""Columns that the advice names."""


def look_without_leaks(data: Dataset, spec: ModelConfig, run: RunContext) -> dict[str, Any]:
    """Fit auxiliary models to the columns that do not leak, and count the labels that look wrong to them.

    Args:
        data: all rows, or a sample; a classification with leaks.
        spec: how columns are encoded.
        run: seed.

    Returns:
        `skill`, the held-out balanced accuracy, and `suspected`, the number of labels more likely wrong than right among all rows; empty where no column
        is left that these models use.
    """
    import numpy as np
    import pyarrow as pa

    from zcurate.data.table import ResidentTable
    from zcurate.encoding.encoder import encode
    from zcurate.evidence import noise_model
    from zcurate.evidence.heldout import most_probable
    from zcurate.training.auxiliary import background, trees
    from zcurate.training.auxiliary.blend import negative_log_likelihood

    leaking = {name for leak in data.leaks for name in leak.columns}
    features = tuple(column for column in data.roles.features if column.name not in leaking)
    if not features or data.task.kind == "regression" or data.pictures is not None:
        return {}
    rows = sample(len(data.given), SECOND_LOOK_ROWS)
    rows = rows[~np.isin(rows, [skip.row for skip in data.skipped])]
    taken = pa.array(rows)
    part = dataclasses.replace(
        data, roles=dataclasses.replace(data.roles, features=features), table=data.table.take(taken), given=data.given.take(taken),
        arrays={column.name: data.arrays[column.name].take(taken) for column in features}, skipped=(), n_total_rows=None,
    )  # fmt: skip
    encoded = encode(ResidentTable(part), spec, dataclasses.replace(run, progress=NoProgress()))
    table = background.table_for_trees(encoded, run.seed)
    predictions = background.naive_bayes_predictions(encoded, run.seed) | background.ridge_predictions(encoded, run.seed)
    if encoded.columns is None and table.x.shape[1]:
        predictions |= trees.fit_trees(table, trees.KINDS, run.n_threads)
    y = table.y
    labelled = np.flatnonzero(y >= 0)
    if not predictions or not len(labelled):
        return {}
    y = y[labelled]
    p = min((one.rows[labelled] for one in predictions.values()), key=lambda rows: float(negative_log_likelihood(rows, y).mean()))
    wrong = noise_model.p_incorrect_under(p, y, noise_model.estimate_noise(p, y))[0]
    recall = [float((most_probable(p)[y == code] == code).mean()) for code in np.unique(y)]
    return {"skill": float(np.mean(recall)), "suspected": round(float((wrong > 0.5).mean()) * data.n_rows)}


def columns_that_suffice(data: Dataset, skill: float) -> tuple[Leak, ...]:
    """Find columns each of which alone predicts the label nearly as well as all do, where the prediction is nearly perfect.

    Args:
        data: all rows, or a sample.
        skill: held-out balanced accuracy of the scan.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from sklearn.model_selection import cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    from zcurate.data.dataset import Leak
    from zcurate.encoding.targets import class_codes

    if data.task.kind == "regression" or data.pictures is not None or skill < NEAR_PERFECT:
        return ()
    rows = sample(len(data.given), ONE_COLUMN_ROWS)
    y = class_codes(data)[rows]
    if (np.bincount(y[y >= 0], minlength=data.n_classes) < MIN_CLASS_ROWS).any():
        return ()
    found = []
    for column in data.roles.features:
        array = data.arrays[column.name].take(pa.array(rows))
        if column.kind in ("text", "vector"):
            continue
        codes = array.dictionary_encode().indices if column.kind == "category" else array
        if pa.types.is_temporal(codes.type):
            codes = codes.cast(pa.time64("us") if pa.types.is_time(codes.type) else pa.timestamp("us"), safe=False).cast(pa.int64())
        numbers = np.nan_to_num(pc.cast(codes, pa.float64(), safe=False).to_numpy(zero_copy_only=False), nan=-1.0)
        # scikit-learn's trees compute with float32.
        x = np.clip(numbers, -MAX_FLOAT32, MAX_FLOAT32)[:, None]
        tree = DecisionTreeClassifier(max_leaf_nodes=4 * data.n_classes, min_samples_leaf=3, random_state=0)
        if cross_val_score(tree, x[y >= 0], y[y >= 0], cv=2, scoring="balanced_accuracy").mean() >= NEAR_PERFECT:
            found.append(Leak((column.name,), "alone predicts the label almost without error"))
    return tuple(found)


def second_look_text(data: Dataset, found: dict[str, Any], card: dict[str, Any]) -> list[str]:
    """Compare what is found without the leaking columns with what the scan found.

    Args:
        data: with leaks.
        found: from `look_without_leaks`; empty for none.
        card: run card.
    """
    if not found:
        return []
    names = [name for leak in data.leaks for name in leak.columns]
    columns = f"'{names[0]}'" if len(names) == 1 else f"the {len(names)} columns that leak the label"
    n_called = sum(entry["incorrect"] for entry in card["classes"])
    options = " ".join(leak.option() for leak in data.leaks) if len(names) <= MAX_OPTIONS else "--exclude for each of them"
    return [
        f"without {columns}: held-out balanced accuracy {found['skill']:.2f} instead of {card['skill']['value']:.2f},"
        f" and about {found['suspected']} labels look wrong instead of {n_called} — scan again with {options}"
    ]
