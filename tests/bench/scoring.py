"""Score a scan against the ground truth and many scans against their competitors (peers), and check the bars of the benchmark.

Inputs are a report's table and run card, a truth table (true_label, is_wrong, kind) and the text of a peers' file. Pure functions of numpy and
pandas; no file is read here. Tested in tests/bench_tools/test_scoring.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from zcurate.judge.thresholds import Cut, cut_at

FIGURES = ("auroc", "ap", "wrong_vs_hard", "f1", "precision", "recall", "hard_flagged")
"""Columns of a peers' file; `figures` uses the same names."""
PRECISIONS = (0.8, 0.9, 0.95)
BINS = 10
CALIBRATION_ROWS = 2000
"""Minimum number of rows of a data set for the calibration lines."""


def average_precision(score: np.ndarray, wrong: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Average the precision at the rank of each wrong row.

    Args:
        score: (N,) high = suspicious; NaN ranks last.
        wrong: (N,) bool.
        weight: (N,) multiplicity of each row, or None for 1.
    """
    order = np.argsort(-score, kind="stable")
    count = np.ones(len(wrong)) if weight is None else weight[order].astype(float)
    hits = wrong[order] * count
    precision = np.cumsum(hits) / np.maximum(np.cumsum(count), 1e-12)
    return float((precision * hits).sum() / hits.sum()) if hits.sum() else float("nan")


def standard_error(score: np.ndarray, wrong: np.ndarray, n_samples: int = 200, seed: int = 0) -> float:
    """Estimate the standard deviation of the average precision from `n_samples` bootstrap samples of the rows."""
    rng, n = np.random.default_rng(seed), len(wrong)
    order = np.argsort(-score, kind="stable")
    descending = -np.arange(n, dtype=float)
    draws = [average_precision(descending, wrong[order], np.bincount(rng.integers(0, n, n), minlength=n)) for _ in range(n_samples)]
    return float(np.nanstd(draws, ddof=1))


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Compute the AUROC of positive rows, ties counting half; NaN scores rank last; NaN if a class is empty."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    ranks = pd.Series(np.where(np.isnan(score), -np.inf, score)).rank().to_numpy()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def precision_recall_f1(flagged: np.ndarray, wrong: np.ndarray) -> tuple[float, float, float]:
    """Compute precision (NaN if nothing is flagged), recall and F1 of the flagged rows."""
    hits = int((flagged & wrong).sum())
    precision = hits / int(flagged.sum()) if flagged.any() else float("nan")
    return precision, share(flagged, wrong), 2 * hits / max(1, int(flagged.sum() + wrong.sum()))


def share(selected: np.ndarray, group: np.ndarray) -> float:
    """Compute the share of the rows in `group` that are `selected`; NaN if the group is empty."""
    return float(selected[group].mean()) if group.any() else float("nan")


def calibration_error(p: np.ndarray, wrong: np.ndarray, bins: int = BINS) -> float:
    """Average |mean p - share wrong| over bins of equal width, weighted by their judged rows."""
    judged = ~np.isnan(p)
    p, wrong = p[judged], wrong[judged]
    if not len(p):
        return float("nan")
    bin_number = np.clip((p * bins).astype(int), 0, bins - 1)
    n = np.bincount(bin_number, minlength=bins)
    gap = np.bincount(bin_number, p, minlength=bins) - np.bincount(bin_number, wrong.astype(float), minlength=bins)
    return float(np.abs(gap[n > 0]).sum() / len(p))


def at_recall(score: np.ndarray, wrong: np.ndarray, hard: np.ndarray, recall: float) -> tuple[float, float]:
    """Compute precision and the share of hard rows flagged at the first cut of the ranking that reaches `recall`."""
    n_needed = round(recall * int(wrong.sum())) if np.isfinite(recall) else 0
    if n_needed < 1:
        return float("nan"), float("nan")
    order = np.argsort(-score, kind="stable")
    n = int(np.searchsorted(np.cumsum(wrong[order]), n_needed)) + 1
    flagged = np.zeros(len(wrong), bool)
    flagged[order[:n]] = True
    return share(wrong, flagged), share(flagged, hard)


def at_precision(p: np.ndarray, wrong: np.ndarray, wanted: float, reliability: float = 1.0) -> tuple[int, float]:
    """Count the rows that `--precision wanted` calls incorrect, and compute the share of them that is wrong (NaN if there are none)."""
    flagged = np.nan_to_num(p) > cut_at(Cut(precision=wanted), p, reliability)
    return int(flagged.sum()), share(wrong, flagged)


def traits(truth: pd.DataFrame) -> dict[str, Any]:
    """Describe a data set: task, human or injected errors, number of rows and of wrong rows."""
    kinds = set(truth["kind"])
    regression = "outlier-regression" in kinds or pd.api.types.is_float_dtype(truth["true_label"])
    noise = "human" if "human" in kinds else "injected"
    return {"family": "regression" if regression else "classification", "noise": noise, "rows": len(truth), "wrong": int(truth["is_wrong"].sum())}


def is_known(truth: pd.DataFrame) -> np.ndarray:
    """Return (N,) bool, False for wrong rows without a true label, which are excluded from precision, recall and F1."""
    missing = truth["true_label"].isna() | (truth["true_label"].astype(str) == "")
    return ~(truth["is_wrong"].to_numpy(bool) & missing.to_numpy())


def figures(table: pd.DataFrame, truth: pd.DataFrame, card: dict[str, Any], peer: dict[str, Any] | None = None) -> dict[str, float]:
    """Compute all figures of one scan.

    Wrong rows without a true label are excluded from precision, recall and F1, as in the peers' file, and count as wrong elsewhere.

    Args:
        table: table of the report, N rows.
        truth: ground truth, N rows.
        card: run card.
        peer: the data set's entry of `best_peers`; the ranking is also cut at the recall of its best-F1 peer.
    """
    wrong, hard, known = truth["is_wrong"].to_numpy(bool), (truth["kind"] == "hard").to_numpy(), is_known(truth)
    clean = ~wrong & ~hard
    score, p = -table["rank"].to_numpy(float), table["p_incorrect"].to_numpy(float)
    verdict = table["verdict"].astype(str).to_numpy()
    flagged = verdict == "incorrect"
    precision, recall, f1 = precision_recall_f1(flagged[known], wrong[known])
    wrong_or_hard = wrong | hard
    values = {
        "auroc": auroc(score, wrong),
        "ap": average_precision(score, wrong),
        "ap_se": standard_error(score, wrong),
        "wrong_vs_hard": auroc(score[wrong_or_hard], wrong[wrong_or_hard]),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "hard_flagged": share(flagged, hard),
        "hard_as_hard": share(verdict == "hard", hard),
        "clean_as_hard": share(verdict == "hard", clean),
        "ece": calibration_error(p, wrong),
        "expected": float(card["noise_rate"]["estimate"]) * int((~np.isnan(p)).sum()),
    }
    if peer is not None:
        values["precision_at"], values["hard_at"] = at_recall(score[known], wrong[known], hard[known], peer["recall_of_f1"])
    for wanted in PRECISIONS:
        values[f"n_{wanted}"], values[f"precision_{wanted}"] = at_precision(p, wrong, wanted, card.get("trust", 1.0))
    return values


def markdown_rows(text: str, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Parse the rows of the Markdown tables in `text` whose header contains all of `needed`."""
    header, rows = None, []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.lstrip().startswith("|") else []
        if not cells:
            header = None
        elif set(needed) <= set(cells):
            header = cells
        elif header is not None and len(cells) == len(header) and not set("".join(cells)) <= set("-: "):
            rows.append(dict(zip(header, cells, strict=True)))
    return rows


def read_peers(text: str) -> pd.DataFrame:
    """Parse a peers' file: set, peer and every figure of `FIGURES`, NaN if empty; without the clean-label oracle."""
    rows = [row for row in markdown_rows(text, ("set", "peer", *FIGURES)) if "oracle" not in row["peer"]]
    frame = pd.DataFrame(rows, columns=["set", "peer", *FIGURES])
    for name in FIGURES:
        frame[name] = pd.to_numeric(frame[name])
    return frame


def best_peers(peers: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Find for each data set the best value of each figure over all peers, and the figures of the peer with the best F1 (`..._of_f1`)."""
    best: dict[str, dict[str, Any]] = {}
    for name, rows in peers.groupby("set"):
        entry = {key: float(rows[key].min() if key == "hard_flagged" else rows[key].max()) for key in FIGURES}
        first = rows.loc[rows["f1"].idxmax()] if rows["f1"].notna().any() else pd.Series(dict.fromkeys(FIGURES, np.nan) | {"peer": ""})
        entry |= {f"{key}_of_f1": first[key] for key in ("peer", "recall", "precision", "hard_flagged")}
        cleanlab = rows.loc[rows["peer"].str.startswith("cleanlab"), "f1"]
        best[str(name)] = entry | {"cleanlab_f1": float(cleanlab.max()) if len(cleanlab) else float("nan")}
    return best


@dataclass(frozen=True)
class Line:
    """One result of the benchmark, with an optional bar that it must reach."""

    name: str
    family: str
    """Family whose data sets must all be present for the bar to be asserted: classification, regression, human, large or injected."""
    text: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def good(self) -> bool | None:
        """Whether the bar is reached; None without a bar or a value."""
        if np.isnan(self.value) or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.value >= self.at_least) and (self.at_most is None or self.value <= self.at_most)

    def __str__(self) -> str:
        bar = f"  [>= {self.at_least:g}]" if self.at_least is not None else f"  [<= {self.at_most:g}]" if self.at_most is not None else ""
        return f"{self.name:<4}{self.text}{bar}{ {True: '  reached', False: '  MISSED', None: ''}[self.good] }"


def of_family(table: pd.DataFrame, family: str) -> pd.DataFrame:
    """Select the rows of `table` (one per data set, with the columns of `traits`) that belong to a family."""
    classes = table["family"] == "classification"
    chosen = {
        "classification": classes,
        "regression": ~classes,
        "human": classes & (table["noise"] == "human"),
        "large": table["rows"] >= CALIBRATION_ROWS,
        "injected": (table["rows"] >= CALIBRATION_ROWS) & (table["noise"] == "injected"),
    }
    return table[chosen[family]]


def lines(table: pd.DataFrame) -> list[Line]:
    """Compute lines S1 to S7 from one row per data set: `traits`, `figures`, and the best peers' figures as `peer_...` (NaN without peers)."""
    result: list[Line] = []
    for family, family_lines in (
        ("classification", classification_lines),
        ("large", calibration_lines),
        ("injected", count_lines),
        ("human", human_lines),
        ("regression", regression_lines),
    ):
        rows = of_family(table, family)
        if len(rows):
            result += family_lines(rows)
    return sorted(result, key=lambda line: line.name)


def difference(rows: pd.DataFrame, ours: str, theirs: str) -> pd.Series:
    """Subtract column `theirs` from column `ours`, for the data sets that have both."""
    return (rows[ours] - rows[theirs]).dropna()


def mean_lines(name: str, rows: pd.DataFrame, family: str, words: str, ours: str, theirs: str, ahead: float, whose: str = "best peers") -> list[Line]:
    """Report the mean difference of one figure, which should be at least `ahead`; no line if no data set has a peer."""
    lead = difference(rows, ours, theirs)
    if not len(lead):
        return []
    compared, value = rows.loc[lead.index], float(lead.mean())
    text = f"{words}, {len(lead)} {family} sets: {compared[ours].mean():.3f}, {whose} {compared[theirs].mean():.3f}, difference {value:+.3f}"
    return [Line(name, family, text, value, at_least=ahead)]


def classification_lines(rows: pd.DataFrame) -> list[Line]:
    """Report S1 ranking, S2 hard rows, S3 F1, S4 verdict hard."""
    family = "classification"
    result = mean_lines("S1", rows, family, "mean average precision", "ap", "peer_ap", 0.03)
    lead = difference(rows, "ap", "peer_ap")
    if len(lead):
        allowed = np.maximum(0.02, 2 * rows.loc[lead.index, "ap_se"])
        worst = (lead + allowed).idxmin()
        margin = float(lead[worst] + allowed[worst])
        text = f"worst set {worst}: average precision {lead[worst]:+.3f} against the best peer, {-allowed[worst]:.3f} allowed, margin {margin:+.3f}"
        result.append(Line("S1", family, text, margin, at_least=0.0))
    result += mean_lines("S2", rows, family, "mean AUROC wrong against hard", "wrong_vs_hard", "peer_wrong_vs_hard", 0.02)
    result += peer_recall_lines(rows)
    result += mean_lines("S3", rows, family, "mean F1 of incorrect", "f1", "peer_f1", 0.03)
    for words, column, bar in (("hard rows", "hard_as_hard", {"at_least": 1 / 3}), ("clean rows", "clean_as_hard", {"at_most": 0.05})):
        value = float(rows[column].mean())
        result.append(Line("S4", family, f"share of {words} called hard, mean of {rows[column].notna().sum()} sets: {value:.3f}", value, **bar))
    return result


def peer_recall_lines(rows: pd.DataFrame) -> list[Line]:
    """Report S2 at the recall of each data set's peer with the best F1."""
    both = rows[["hard_at", "peer_hard_flagged_of_f1", "precision_at", "peer_precision_of_f1"]].dropna()
    if not len(both):
        return []
    theirs = both["peer_hard_flagged_of_f1"]
    ratio = (both["hard_at"] / theirs)[theirs > 0]
    of_means = both["hard_at"].mean() / theirs.mean() if theirs.mean() > 0 else float("nan")
    mean = float(ratio.mean())
    text = f"hard rows flagged at the best-F1 peer's recall, ours / theirs: mean ratio of {len(ratio)} sets {mean:.3f}, ratio of means {of_means:.3f}"
    lead = float((both["precision_at"] - both["peer_precision_of_f1"]).mean())
    return [
        Line("S2", "classification", text, mean, at_most=0.85),
        Line("S2", "classification", f"precision at that recall, ours minus theirs: mean of {len(both)} sets {lead:+.3f}", lead, at_least=0.04),
    ]


def calibration_lines(rows: pd.DataFrame) -> list[Line]:
    """Report S5 on data sets of `CALIBRATION_ROWS` rows or more: calibration error, and the precision that `--precision` reaches."""
    mean = float(rows["ece"].mean())
    result = [
        Line("S5", "large", f"mean calibration error in {BINS} bins, {len(rows)} sets of {CALIBRATION_ROWS} rows or more: {mean:.3f}", mean, at_most=0.03)
    ]
    for wanted in PRECISIONS:
        reached = rows[f"precision_{wanted}"]
        n_reached, n_impossible = int((reached >= wanted - 0.05).sum()), int((rows[f"n_{wanted}"] == 0).sum())
        text = f"--precision {wanted:g}: at least {wanted - 0.05:g} reached on {n_reached} of {len(rows) - n_impossible} sets, out of reach on {n_impossible}; mean {reached.mean():.3f}"
        value = n_reached / (len(rows) - n_impossible) if n_impossible < len(rows) else float("nan")
        result.append(Line("S5", "large", text, value, at_least=0.8))
    return result


def count_lines(rows: pd.DataFrame) -> list[Line]:
    """Report S5 on injected noise: the expected number of wrong rows against the truth, for zcurate and for the peers if known."""
    result = []
    for words, column in (("ours", "expected"), ("peers'", "peer_expected")):
        error = ((rows[column] - rows["wrong"]).abs() / rows["wrong"]).dropna()
        if len(error):
            n_close = int((error <= 0.2).sum())
            text = (
                f"expected number of wrong rows, {words}: within 20 % of the truth on {n_close} of {len(error)} injected sets, mean |error| {error.mean():.0%}"
            )
            result.append(Line("S5", "injected", text, n_close / len(error), at_least=0.8 if column == "expected" else None))
    return result


def human_lines(rows: pd.DataFrame) -> list[Line]:
    """Report S6: human errors, average precision above the best peer on each data set."""
    return lead_lines("S6", rows, "human", "human errors")


def regression_lines(rows: pd.DataFrame) -> list[Line]:
    """Report S7: regression, average precision above the best peer on each data set, mean F1 above cleanlab's."""
    leads = lead_lines("S7", rows, "regression", "regression")
    return leads + mean_lines("S7", rows, "regression", "mean F1 of incorrect", "f1", "peer_cleanlab_f1", 0.1, "cleanlab")


def lead_lines(name: str, rows: pd.DataFrame, family: str, words: str) -> list[Line]:
    """Report the lead in average precision over the best peer on every data set; the value is the smallest lead."""
    leads = difference(rows, "ap", "peer_ap")
    if not len(leads):
        return []
    text = f"{words}: average precision ahead of the best peer on {int((leads > 0).sum())} of {len(leads)} sets; "
    return [Line(name, family, text + ", ".join(f"{at} {lead:+.3f}" for at, lead in leads.items()), float(leads.min()), at_least=0.0)]


def agreement(verdicts: list[np.ndarray]) -> tuple[float, float]:
    """Average over pairs of runs: share of rows with the same verdict, and of rows called incorrect by either that are called so by both."""
    pairs = list(combinations(verdicts, 2))
    same = [float((a == b).mean()) for a, b in pairs]
    both = [share((a == "incorrect") & (b == "incorrect"), (a == "incorrect") | (b == "incorrect")) for a, b in pairs]
    return float(np.mean(same)), float(np.mean(both))


def seconds_line(now: pd.Series, before: pd.Series) -> Line:
    """Report S11: seconds by data set against an earlier table; meaningful only on the same machine under the same load."""
    both = pd.DataFrame({"now": now, "before": before}).dropna()
    ratio = float(np.exp(np.log(both["now"] / both["before"]).mean())) if len(both) else float("nan")
    text = f"seconds, {len(both)} sets: {both['now'].sum():.0f} in total, {both['before'].sum():.0f} before; geometric mean of now / before {ratio:.2f}"
    return Line("S11", "classification", text, ratio)
