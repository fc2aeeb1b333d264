"""What a person's answers do to a report, the truth answering for the person.

Questions: by how much do 25 and 100 answers bring the probabilities, the number of wrong rows and the ranking nearer to the truth (T1); is a list of
incorrect and suspect rows better than one of incorrect rows alone (T2); is a model trained on the applied data better (T3). Data and options as in
test_quality.py; README.md has the commands.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.bench import scoring
from zcurate.report.decisions import Decision
from zcurate.report.picks import pick_rows
from zcurate.report.select import floats, is_among
from zcurate.report.update import update

pytestmark = pytest.mark.bench
MIN_ROWS, SEEDS, ANSWERS = 1000, 5, (25, 100)
BARS = {25: {"ece": 0.026, "off": 0.13, "gap": 0.014, "ap_gain": 0.003, "within": 0.9}, 100: {"ece": 0.018, "off": 0.07, "gap": 0.007, "ap_gain": 0.008}}
"""What was asked for: calibration error, number of wrong rows off by, F1 short of the best cut's, gain in average precision, share of sets within 25 %."""


def measured(report, wrong):
    """Figures of a report: calibration error, relative error of the number of wrong rows, F1 at the cut of greatest expected F1, best F1, average precision."""
    p, rank = floats(report.table.column("p_incorrect")), floats(report.table.column("rank"))
    judged = ~np.isnan(p)
    p, wrong, rank = p[judged], wrong[judged], rank[judged]
    order = np.argsort(rank)
    n, hits = np.arange(1, len(p) + 1), np.cumsum(wrong[order])
    by_p = np.argsort(-p, kind="stable")
    expected, found = np.cumsum(p[by_p]), np.cumsum(wrong[by_p])
    at = int((expected / (n + p.sum())).argmax())
    f1 = 2 * found / (n + wrong.sum())
    return {
        "ece": scoring.calibration_error(p, wrong),
        "off": abs(p.sum() / wrong.sum() - 1),
        "f1": f1[at],
        "gap": f1.max() - f1[at],
        "ap": float(((hits / n)[wrong[order]]).mean()),
    }


def answered(report, truth, n, seed):
    """Update a report with n answers of the truth, picked for teaching."""
    picks = pick_rows(report, "teach", n, seed, np.zeros(0, np.int64))
    given = report.table.column("given").to_pylist()
    decisions = []
    for row, p in zip(picks.row.tolist(), picks.draw_probability.tolist(), strict=True):
        is_wrong, right = bool(truth["is_wrong"].iloc[row]), truth["true_label"].iloc[row]
        label = None if not is_wrong or pd.isna(right) or str(right) not in {str(one["name"]) for one in report.card["classes"]} else str(right)
        word = "keep" if not is_wrong else "relabel" if label is not None and label != given[row] else "drop"
        decisions.append(Decision(word, label if word == "relabel" else None, row=row, draw_probability=p))
    return update(report, decisions).report


def test_answers_bring_a_report_nearer_to_the_truth(bench, print_line):
    rows = []
    print_line(f"\n{'set':<24}{'answers':>8}{'ece':>8}{'off':>7}{'F1':>7}{'gap':>7}{'ap':>7}")
    for name in bench.names:
        truth = bench.truth(name)
        if len(truth) < MIN_ROWS:
            continue
        report = bench.scan(name).report
        if not report.card["judged"]:
            continue
        wrong = truth["is_wrong"].to_numpy(bool)
        found = {0: measured(report, wrong)}
        for n in ANSWERS:
            figures = [measured(answered(report, truth, n, seed), wrong) for seed in range(SEEDS)]
            found[n] = {key: float(np.mean([one[key] for one in figures])) for key in figures[0]}
        for n, figures in found.items():
            rows.append({"set": name, "answers": n, **figures, "ap_gain": figures["ap"] - found[0]["ap"], "f1_gain": figures["f1"] - found[0]["f1"]})
            print_line(
                f"{name:<24}{n:>8}" + "".join(f"{figures[key]:>{width}.3f}" for key, width in (("ece", 8), ("off", 7), ("f1", 7), ("gap", 7), ("ap", 7)))
            )
    table = pd.DataFrame(rows)
    if table.empty:
        pytest.skip("no set of 1 000 rows and more")
    means = table.groupby("answers").mean(numeric_only=True)
    for n, line in means.iterrows():
        of_n = table[table["answers"] == n]
        within, worst = (of_n["off"] <= 0.25).mean(), (of_n["ap_gain"].min(), of_n["f1_gain"].min())
        print_line(
            f"T1 {n:>4} answers, {len(of_n)} sets: ece {line['ece']:.4f}, off {line['off']:.3f}, within 25 % {within:.2f}, F1 {line['f1']:.4f} (short of the best cut "
            f"{line['gap']:.4f}), ap {line['ap_gain']:+.4f}, worst set ap {worst[0]:+.3f} F1 {worst[1]:+.3f}; asked {BARS.get(n, '-')}"
        )
    print_line(f"table: {bench.save(table.set_index(['set', 'answers']), 'teaching')}")
    assert means.loc[25, "ece"] < means.loc[0, "ece"]
    assert means.loc[25, "off"] < means.loc[0, "off"]


def test_suspect_rows_make_the_list_better(bench, print_line):
    rows = []
    for name in bench.names:
        report, truth = bench.scan(name).report, bench.truth(name)
        if not report.card["judged"]:
            continue
        wrong = truth["is_wrong"].to_numpy(bool)
        figures = {}
        for key, words in (("incorrect", ("incorrect",)), ("with_suspect", ("incorrect", "suspect"))):
            figures[key] = scoring.precision_recall_f1(is_among(report.table.column("verdict"), words), wrong)[2]
        rows.append({"set": name, **figures})
    table = pd.DataFrame(rows).set_index("set")
    print_line(f"\nT2 {len(table)} sets: F1 of incorrect {table['incorrect'].mean():.4f}, of incorrect and suspect {table['with_suspect'].mean():.4f}")


@pytest.mark.parametrize("name", ["titanic_sym10", "california_mix10"])
def test_a_model_on_the_applied_data_is_better(bench, print_line, name, tmp_path):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import mean_absolute_error

    if name not in bench.names:
        pytest.skip(f"{name} is not among the sets")
    report, truth, data = bench.scan(name).report, bench.truth(name), bench.data(name)
    regression = not report.card["classes"]
    taught = answered(report, truth, 25, 0)
    path = bench.folder / f"{name}.parquet"
    taught.apply(str(tmp_path / "new.parquet"), action="relabel", data=str(path))
    scores = {"given": [], "applied": []}
    for seed in range(5):
        half = np.random.default_rng(seed).random(len(data)) < 0.5
        for key, frame in (("given", data), ("applied", pd.read_parquet(tmp_path / "new.parquet"))):
            if len(frame) != len(data):
                kept = np.ones(len(data), bool)
                kept[[row for row, word in enumerate(taught.table.column("decision").to_pylist()) if word == "drop"]] = False
                frame = frame.set_index(np.flatnonzero(kept)).reindex(range(len(data)))
            x = frame.drop(columns="label").apply(lambda column: column if column.dtype.kind in "fiub" else column.astype("category").cat.codes).astype(float)
            train = half & frame["label"].notna().to_numpy()
            model = HistGradientBoostingRegressor(random_state=0) if regression else HistGradientBoostingClassifier(random_state=0)
            model.fit(x[train], frame["label"][train] if regression else frame["label"][train].astype(str))
            right, predicted = truth["true_label"][~half], model.predict(x[~half])
            scores[key].append(
                -mean_absolute_error(right.astype(float), predicted) if regression else float((right.astype(str).to_numpy() == predicted).mean())
            )
    given, applied = (np.array(scores[key]) for key in ("given", "applied"))
    print_line(
        f"T3 {name}: {'mean absolute error' if regression else 'accuracy'} on true labels, 5 halves: given {abs(given.mean()):.4f}, applied {abs(applied.mean()):.4f}"
    )
    assert applied.mean() > given.mean()
