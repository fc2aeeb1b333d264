"""Figures of the benchmark on small cases with known results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.bench import scoring

PEERS = """
| set | peer | auroc | ap | wrong_vs_hard | f1 | precision | recall | hard_flagged |
|---|---|---|---|---|---|---|---|---|
| a | (clean-label oracle) | 0.999 | 0.999 | 0.999 |  |  |  |  |
| a | cleanlab one | 0.900 | 0.700 | 0.600 | 0.500 | 0.400 | 0.660 | 0.300 |
| a | other | 0.800 | 0.750 | 0.500 | 0.600 | 0.500 | 0.750 | 0.200 |

text between
| b | not in a table | 1 | 1 | 1 | 1 | 1 | 1 | 1 |
"""


def flags(*rows, n=10):
    mask = np.zeros(n, bool)
    mask[list(rows)] = True
    return mask


def descending(n=10):
    return -np.arange(n, dtype=float)


def test_average_precision_is_the_mean_precision_at_each_wrong_row():
    assert scoring.average_precision(descending(), flags(0, 3)) == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert scoring.average_precision(np.array([1.0, np.nan, 3.0]), flags(1, n=3)) == pytest.approx(1 / 3)
    assert np.isnan(scoring.average_precision(descending(), flags()))


def test_average_precision_counts_each_row_by_its_weight():
    assert scoring.average_precision(descending(3), flags(1, n=3), np.array([0, 1, 5])) == 1
    assert scoring.average_precision(descending(3), flags(1, n=3), np.array([2, 1, 0])) == pytest.approx(1 / 3)


def test_the_standard_error_is_zero_for_a_perfect_ranking_and_reproducible():
    wrong = flags(*range(50), n=200)
    assert scoring.standard_error(descending(200), wrong) == 0
    shuffled = np.random.default_rng(0).permutation(wrong)
    error = scoring.standard_error(descending(200), shuffled)
    assert error == scoring.standard_error(descending(200), shuffled)
    assert 0.01 < error < 0.1


def test_auroc_is_the_share_of_ordered_pairs_and_ties_count_half():
    assert scoring.auroc(np.array([3.0, 2.0, 1.0]), flags(0, 2, n=3)) == 0.5
    assert scoring.auroc(np.array([1.0, 1.0]), flags(0, n=2)) == 0.5
    assert scoring.auroc(np.array([np.nan, 0.0]), flags(1, n=2)) == 1
    assert np.isnan(scoring.auroc(descending(), flags()))


def test_precision_recall_and_f1_of_flagged_rows():
    assert scoring.precision_recall_f1(flags(0, 1, 2, 3), flags(0, 1, 9)) == pytest.approx((1 / 2, 2 / 3, 4 / 7))
    precision, recall, f1 = scoring.precision_recall_f1(flags(), flags(0))
    assert np.isnan(precision) and recall == f1 == 0


def test_calibration_error_weights_bins_by_rows_and_excludes_unjudged_rows():
    p = np.array([0.05, 0.05, 0.95, 1.0, np.nan])
    wrong = np.array([False, True, True, True, False])
    assert scoring.calibration_error(p, wrong) == pytest.approx((2 * 0.45 + 2 * 0.025) / 4)
    assert np.isnan(scoring.calibration_error(np.array([np.nan]), wrong[:1]))


def test_the_ranking_is_cut_where_it_reaches_the_recall():
    precision, hard = scoring.at_recall(descending(), flags(0, 2, 5, 9), flags(1, 3, 6, 7), 0.75)
    assert (precision, hard) == (3 / 6, 2 / 4)
    assert np.isnan(scoring.at_recall(descending(), flags(0), flags(1), float("nan"))).all()


def test_a_requested_precision_flags_as_many_rows_as_the_scan_would():
    p = np.array([1.0, 0.8, 0.6, 0.1])
    assert scoring.at_precision(p, flags(0, 2, n=4), 0.7) == (3, pytest.approx(2 / 3))
    n, precision = scoring.at_precision(np.array([0.4, np.nan]), flags(0, n=2), 0.8)
    assert n == 0 and np.isnan(precision)


def truth_of(kinds, labels):
    return pd.DataFrame({"kind": kinds, "true_label": labels, "is_wrong": [kind not in ("clean", "hard") for kind in kinds]})


@pytest.mark.parametrize(
    ("kinds", "labels", "expected"),
    [
        (["clean", "human"], ["a", None], ("classification", "human")),
        (["hard", "symmetric"], [1, 2], ("classification", "injected")),
        (["clean", "human"], [1.5, np.nan], ("regression", "human")),
        (["clean", "outlier-regression"], [1, 2], ("regression", "injected")),
    ],
)
def test_traits_follow_from_the_truth(kinds, labels, expected):
    traits = scoring.traits(truth_of(kinds, labels))
    assert (traits["family"], traits["noise"], traits["rows"], traits["wrong"]) == (*expected, 2, 1)


def test_wrong_rows_without_a_true_label_are_not_known():
    truth = truth_of(["clean", "human", "human", "human", "hard"], ["a", None, "", "b", None])
    assert scoring.is_known(truth).tolist() == [True, False, False, True, True]


def test_figures_of_six_rows():
    truth = truth_of(["human", "clean", "human", "hard", "hard", "clean"], ["x", "x", None, "x", "x", "x"])
    table = pd.DataFrame({"rank": [1, 3, 2, 4, 5, np.nan], "p_incorrect": [0.9, 0.7, 0.8, 0.2, 0.1, np.nan]})
    table["verdict"] = ["incorrect", "incorrect", "incorrect", "hard", "clean", "unlabelled"]
    figures = scoring.figures(table, truth, {"noise_rate": {"estimate": 0.4}}, {"recall_of_f1": 1.0})
    expected = {
        "auroc": 1, "ap": 1, "wrong_vs_hard": 1, "precision": 1 / 2, "recall": 1, "f1": 2 / 3, "hard_flagged": 0, "hard_as_hard": 1 / 2,
        "clean_as_hard": 0, "expected": 2, "precision_at": 1, "hard_at": 0, "n_0.8": 1, "precision_0.8": 1, "n_0.95": 0,
    }  # fmt: skip
    assert {key: figures[key] for key in expected} == pytest.approx(expected)


def test_the_peers_file_is_read_without_the_oracle():
    peers = scoring.read_peers(PEERS)
    assert peers["peer"].tolist() == ["cleanlab one", "other"]
    best = scoring.best_peers(peers)
    assert set(best) == {"a"}
    assert (best["a"]["ap"], best["a"]["auroc"], best["a"]["f1"], best["a"]["hard_flagged"]) == (0.75, 0.9, 0.6, 0.2)
    assert (best["a"]["peer_of_f1"], best["a"]["recall_of_f1"], best["a"]["hard_flagged_of_f1"]) == ("other", 0.75, 0.2)
    assert best["a"]["cleanlab_f1"] == 0.5


def test_a_line_knows_whether_its_bar_is_reached():
    assert scoring.Line("S1", "classification", "", -0.1, at_least=0).good is False
    assert scoring.Line("S2", "classification", "", 0.9, at_most=1).good is True
    assert scoring.Line("S4", "classification", "", 0.9).good is None
    assert scoring.Line("S4", "classification", "", float("nan"), at_least=0).good is None


def sets(**changes):
    """Two classification sets and one regression set; every figure is 0.5, every peer's 0.4."""
    row = {"rows": 2000, "wrong": 100, "expected": 110.0, "ap_se": 0.001, "n_0.8": 5, "n_0.9": 5, "n_0.95": 0, "noise": "injected"}
    row |= dict.fromkeys((*scoring.FIGURES, "hard_as_hard", "clean_as_hard", "ece", "precision_at", "hard_at", "precision_0.8", "precision_0.9"), 0.5)
    row |= dict.fromkeys([f"peer_{name}" for name in (*scoring.FIGURES, "precision_of_f1", "hard_flagged_of_f1", "cleanlab_f1")], 0.4)
    row |= {"precision_0.95": np.nan, "peer_expected": np.nan}
    rows = {"a": row | {"family": "classification", "noise": "human"}, "b": row | {"family": "classification"}, "c": row | {"family": "regression"}}
    for name, values in changes.items():
        rows[name] = rows[name] | values
    return pd.DataFrame.from_dict(rows, orient="index")


def only_line(table, name, words):
    (line,) = [line for line in scoring.lines(table) if line.name == name and words in line.text]
    return line


def test_the_worst_set_may_trail_by_two_standard_errors_or_two_hundredths():
    assert only_line(sets(b={"ap": 0.385}), "S1", "worst set b").value == pytest.approx(0.005)
    assert only_line(sets(b={"ap": 0.370}), "S1", "worst set b").good is False
    assert only_line(sets(b={"ap": 0.370, "ap_se": 0.02}), "S1", "worst set").good is True


def test_each_line_uses_its_own_family_of_sets():
    table = sets(a={"hard_at": 0.2}, b={"precision_0.8": 0.76, "precision_0.9": np.nan, "n_0.9": 0, "expected": 121.0}, c={"ap": 0.3})
    assert only_line(table, "S1", "mean average precision").value == pytest.approx(0.1)
    ratio = only_line(table, "S2", "ratio of means")
    assert ratio.value == pytest.approx((0.5 + 1.25) / 2) and "ratio of means 0.875" in ratio.text
    assert "0.75 reached on 1 of 3 sets, out of reach on 0" in only_line(table, "S5", "0.8:").text
    assert "0.85 reached on 0 of 2 sets, out of reach on 1" in only_line(table, "S5", "0.9:").text
    assert "within 20 % of the truth on 1 of 2 injected sets" in only_line(table, "S5", "ours").text
    assert "0 of 1 injected" in only_line(sets(b={"peer_expected": 150.0}), "S5", "peers'").text
    assert only_line(table, "S6", "1 of 1").good is True
    assert only_line(table, "S7", "0 of 1").good is False
    assert only_line(table, "S7", "cleanlab").value == pytest.approx(0.1)


def test_without_peers_there_are_no_comparisons():
    table = sets()
    table[[name for name in table if name.startswith("peer_")]] = np.nan
    assert {line.name for line in scoring.lines(table)} == {"S4", "S5"}


def test_the_agreement_is_the_mean_over_pairs_of_runs():
    runs = [np.array(words.split()) for words in ("incorrect hard clean", "incorrect clean clean", "clean incorrect clean")]
    same, both = scoring.agreement(runs)
    assert same == pytest.approx((2 / 3 + 1 / 3 + 1 / 3) / 3)
    assert both == pytest.approx((1 + 0 + 0) / 3)


def test_earlier_seconds_are_read_from_a_markdown_table():
    stored = scoring.markdown_rows("| set | AP | s |\n|---|---|---|\n| a | 0.5 | 12 |\n", ("set", "s"))
    assert stored == [{"set": "a", "AP": "0.5", "s": "12"}]
    line = scoring.seconds_line(pd.Series({"a": 6.0, "b": 1.0}), pd.Series({"a": 12.0}))
    assert line.value == pytest.approx(0.5) and "1 sets: 6 in total, 12 before" in line.text
