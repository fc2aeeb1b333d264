"""Figures of a scan against the truth, of many scans against their peers, and the lines that the bench must reach.

Leaves: dicts, pandas frames, `Line`. Enters: a report's table and card, a truth table (true_label, is_wrong, kind), a peers' file.
Pure functions of numpy and pandas; no file is read here. Tested in tests/test_scoring.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from zcurate.judge.thresholds import Cut, cut_at

FIGURES = ("auroc", "ap", "wrong_vs_hard", "f1", "precision", "recall", "hard_flagged")
"""Columns of a peers' file, under the names that `figures` gives them too."""
PRECISIONS = (0.8, 0.9, 0.95)
BINS = 10
CALIBRATION_ROWS = 2000
"""Sets with fewer rows do not count in the calibration lines."""


def average_precision(score: np.ndarray, wrong: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean over the wrong rows of the precision down to each.

    Args:
        score: (N,) high = suspicious; NaN ranks last.
        wrong: (N,) bool.
        weight: (N,) how often each row counts, or None for once each.
    """
    order = np.argsort(-score, kind="stable")
    count = np.ones(len(wrong)) if weight is None else weight[order].astype(float)
    hits = wrong[order] * count
    precision = np.cumsum(hits) / np.maximum(np.cumsum(count), 1e-12)
    return float((precision * hits).sum() / hits.sum()) if hits.sum() else float("nan")


def standard_error(score: np.ndarray, wrong: np.ndarray, times: int = 200, seed: int = 0) -> float:
    """Standard deviation of the average precision over `times` bootstrap samples of the rows."""
    rng, n = np.random.default_rng(seed), len(wrong)
    order = np.argsort(-score, kind="stable")
    falling = -np.arange(n, dtype=float)
    draws = [average_precision(falling, wrong[order], np.bincount(rng.integers(0, n, n), minlength=n)) for _ in range(times)]
    return float(np.nanstd(draws, ddof=1))


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive row scores above another one, ties counting half; NaN scores lowest, NaN when a side is empty."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    ranks = pd.Series(np.where(np.isnan(score), -np.inf, score)).rank().to_numpy()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def calls(flagged: np.ndarray, wrong: np.ndarray) -> tuple[float, float, float]:
    """Precision (NaN when nothing is flagged), recall and F1 of the flagged rows."""
    right = int((flagged & wrong).sum())
    precision = right / int(flagged.sum()) if flagged.any() else float("nan")
    return precision, share(flagged, wrong), 2 * right / max(1, int(flagged.sum() + wrong.sum()))


def share(these: np.ndarray, among: np.ndarray) -> float:
    """Share of the rows `among` that are also `these`; NaN when there are none."""
    return float(these[among].mean()) if among.any() else float("nan")


def calibration_error(p: np.ndarray, wrong: np.ndarray, bins: int = BINS) -> float:
    """Mean over the judged rows of |mean p - share wrong| of their bin; bins of equal width."""
    judged = ~np.isnan(p)
    p, wrong = p[judged], wrong[judged]
    if not len(p):
        return float("nan")
    at = np.clip((p * bins).astype(int), 0, bins - 1)
    n = np.bincount(at, minlength=bins)
    gap = np.bincount(at, p, minlength=bins) - np.bincount(at, wrong.astype(float), minlength=bins)
    return float(np.abs(gap[n > 0]).sum() / len(p))


def at_recall(score: np.ndarray, wrong: np.ndarray, hard: np.ndarray, recall: float) -> tuple[float, float]:
    """Precision, and share of the hard rows flagged, where the ranking is cut as soon as it has found `recall` of the wrong rows."""
    need = round(recall * int(wrong.sum())) if np.isfinite(recall) else 0
    if need < 1:
        return float("nan"), float("nan")
    order = np.argsort(-score, kind="stable")
    n = int(np.searchsorted(np.cumsum(wrong[order]), need)) + 1
    flagged = np.zeros(len(wrong), bool)
    flagged[order[:n]] = True
    return share(wrong, flagged), share(flagged, hard)


def at_precision(p: np.ndarray, wrong: np.ndarray, wanted: float, reliability: float = 1.0) -> tuple[int, float]:
    """Rows that `--precision wanted` calls incorrect, and the share of them that is wrong (NaN when none is called)."""
    flagged = np.nan_to_num(p) > cut_at(Cut(precision=wanted), p, reliability)
    return int(flagged.sum()), share(wrong, flagged)


def traits(truth: pd.DataFrame) -> dict[str, Any]:
    """What kind of set it is: task, whether people made its errors, rows, wrong rows."""
    kinds = set(truth["kind"])
    regression = "outlier-regression" in kinds or pd.api.types.is_float_dtype(truth["true_label"])
    noise = "human" if "human" in kinds else "injected"
    return {"family": "regression" if regression else "classification", "noise": noise, "rows": len(truth), "wrong": int(truth["is_wrong"].sum())}


def is_known(truth: pd.DataFrame) -> np.ndarray:
    """(N,) bool, False for wrong rows that have no true label: they are left out of precision, recall and F1."""
    nowhere = truth["true_label"].isna() | (truth["true_label"].astype(str) == "")
    return ~(truth["is_wrong"].to_numpy(bool) & nowhere.to_numpy())


def figures(table: pd.DataFrame, truth: pd.DataFrame, card: dict[str, Any], peer: dict[str, Any] | None = None) -> dict[str, float]:
    """Everything that is measured of one scan.

    Wrong rows without a true label are left out of precision, recall and F1, as in the peers' file, and count as wrong elsewhere.

    Args:
        table: the report's, N rows.
        truth: N rows.
        card: the run card.
        peer: the set's row of `best_peers`; its own recall is where our ranking is cut.
    """
    wrong, hard, known = truth["is_wrong"].to_numpy(bool), (truth["kind"] == "hard").to_numpy(), is_known(truth)
    clean = ~wrong & ~hard
    score, p = -table["rank"].to_numpy(float), table["p_incorrect"].to_numpy(float)
    verdict = table["verdict"].astype(str).to_numpy()
    flagged = verdict == "incorrect"
    precision, recall, f1 = calls(flagged[known], wrong[known])
    either = wrong | hard
    out = {
        "auroc": auroc(score, wrong),
        "ap": average_precision(score, wrong),
        "ap_se": standard_error(score, wrong),
        "wrong_vs_hard": auroc(score[either], wrong[either]),
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
        out["precision_at"], out["hard_at"] = at_recall(score[known], wrong[known], hard[known], peer["recall_of_f1"])
    for wanted in PRECISIONS:
        out[f"n_{wanted}"], out[f"precision_{wanted}"] = at_precision(p, wrong, wanted, card.get("trust", 1.0))
    return out


def markdown_rows(text: str, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of the Markdown tables in `text` whose header has all of `needed`, cells by header."""
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
    """A peers' file: set, peer and every figure of `FIGURES`, NaN where empty; the clean-label oracle is no peer."""
    rows = [row for row in markdown_rows(text, ("set", "peer", *FIGURES)) if "oracle" not in row["peer"]]
    frame = pd.DataFrame(rows, columns=["set", "peer", *FIGURES])
    for name in FIGURES:
        frame[name] = pd.to_numeric(frame[name])
    return frame


def best_peers(peers: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Per set: the best value of each figure whoever reached it, and what the peer of the best F1 pays for it (`..._of_f1`)."""
    best: dict[str, dict[str, Any]] = {}
    for name, rows in peers.groupby("set"):
        figure = {key: float(rows[key].min() if key == "hard_flagged" else rows[key].max()) for key in FIGURES}
        first = rows.loc[rows["f1"].idxmax()] if rows["f1"].notna().any() else pd.Series(dict.fromkeys(FIGURES, np.nan) | {"peer": ""})
        figure |= {f"{key}_of_f1": first[key] for key in ("peer", "recall", "precision", "hard_flagged")}
        cleanlab = rows.loc[rows["peer"].str.startswith("cleanlab"), "f1"]
        best[str(name)] = figure | {"cleanlab_f1": float(cleanlab.max()) if len(cleanlab) else float("nan")}
    return best


@dataclass(frozen=True)
class Line:
    """One thing that the bench shows, and where a bar is set, whether it is reached."""

    name: str
    family: str
    """Sets that all must be there before the bar is asserted: `classification`, `regression`, `human`, `large` or `injected`."""
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


def members(table: pd.DataFrame, family: str) -> pd.DataFrame:
    """The rows of `table` (one per set, with the columns of `traits`) that a line is about."""
    classes = table["family"] == "classification"
    keep = {
        "classification": classes,
        "regression": ~classes,
        "human": classes & (table["noise"] == "human"),
        "large": table["rows"] >= CALIBRATION_ROWS,
        "injected": (table["rows"] >= CALIBRATION_ROWS) & (table["noise"] == "injected"),
    }
    return table[keep[family]]


def lines(table: pd.DataFrame) -> list[Line]:
    """S1 to S7 from one row per set: `traits`, `figures`, and the best peers' figures as `peer_...` (NaN where a set has none)."""
    out: list[Line] = []
    for family, make in (
        ("classification", classification_lines),
        ("large", calibration_lines),
        ("injected", count_lines),
        ("human", human_lines),
        ("regression", regression_lines),
    ):
        rows = members(table, family)
        if len(rows):
            out += make(rows)
    return sorted(out, key=lambda line: line.name)


def gap(rows: pd.DataFrame, ours: str, theirs: str) -> pd.Series:
    """Ours minus theirs, for the sets that have both."""
    return (rows[ours] - rows[theirs]).dropna()


def mean_lines(name: str, rows: pd.DataFrame, family: str, words: str, ours: str, theirs: str, ahead: float, whose: str = "best peers") -> list[Line]:
    """The mean difference of one figure, which should be `ahead`; no line where no set has a peer."""
    far = gap(rows, ours, theirs)
    if not len(far):
        return []
    kept, value = rows.loc[far.index], float(far.mean())
    text = f"{words}, {len(far)} {family} sets: {kept[ours].mean():.3f}, {whose} {kept[theirs].mean():.3f}, difference {value:+.3f}"
    return [Line(name, family, text, value, at_least=ahead)]


def classification_lines(rows: pd.DataFrame) -> list[Line]:
    """S1 ranking, S2 hard rows, S3 F1, S4 verdict hard."""
    kind = "classification"
    out = mean_lines("S1", rows, kind, "mean average precision", "ap", "peer_ap", 0.03)
    far = gap(rows, "ap", "peer_ap")
    if len(far):
        allowed = np.maximum(0.02, 2 * rows.loc[far.index, "ap_se"])
        worst = (far + allowed).idxmin()
        text = f"worst set {worst}: average precision {far[worst]:+.3f} against the best peer, {-allowed[worst]:.3f} allowed, left over {far[worst] + allowed[worst]:+.3f}"
        out.append(Line("S1", kind, text, float(far[worst] + allowed[worst]), at_least=0.0))
    out += mean_lines("S2", rows, kind, "mean AUROC wrong against hard", "wrong_vs_hard", "peer_wrong_vs_hard", 0.02)
    out += own_recall_lines(rows)
    out += mean_lines("S3", rows, kind, "mean F1 of incorrect", "f1", "peer_f1", 0.03)
    for words, column, bar in (("hard rows", "hard_as_hard", {"at_least": 1 / 3}), ("clean rows", "clean_as_hard", {"at_most": 0.05})):
        value = float(rows[column].mean())
        out.append(Line("S4", kind, f"share of {words} called hard, mean of {rows[column].notna().sum()} sets: {value:.3f}", value, **bar))
    return out


def own_recall_lines(rows: pd.DataFrame) -> list[Line]:
    """S2 at the recall of each set's peer of the best F1."""
    both = rows[["hard_at", "peer_hard_flagged_of_f1", "precision_at", "peer_precision_of_f1"]].dropna()
    if not len(both):
        return []
    theirs = both["peer_hard_flagged_of_f1"]
    ratio = (both["hard_at"] / theirs)[theirs > 0]
    of_means = both["hard_at"].mean() / theirs.mean() if theirs.mean() > 0 else float("nan")
    mean = float(ratio.mean())
    text = f"hard rows flagged at the best-F1 peer's recall, ours / theirs: mean ratio of {len(ratio)} sets {mean:.3f}, ratio of means {of_means:.3f}"
    far = float((both["precision_at"] - both["peer_precision_of_f1"]).mean())
    return [
        Line("S2", "classification", text, mean, at_most=0.85),
        Line("S2", "classification", f"precision at that recall, ours minus theirs: mean of {len(both)} sets {far:+.3f}", far, at_least=0.04),
    ]


def calibration_lines(rows: pd.DataFrame) -> list[Line]:
    """S5 on sets of `CALIBRATION_ROWS` rows or more: calibration error, and what `--precision` delivers."""
    mean = float(rows["ece"].mean())
    out = [Line("S5", "large", f"mean calibration error in {BINS} bins, {len(rows)} sets of {CALIBRATION_ROWS} rows or more: {mean:.3f}", mean, at_most=0.03)]
    for wanted in PRECISIONS:
        reached = rows[f"precision_{wanted}"]
        good, none = int((reached >= wanted - 0.05).sum()), int((rows[f"n_{wanted}"] == 0).sum())
        text = f"--precision {wanted:g}: at least {wanted - 0.05:g} reached on {good} of {len(rows) - none} sets, out of reach on {none}; mean {reached.mean():.3f}"
        out.append(Line("S5", "large", text, good / (len(rows) - none) if none < len(rows) else float("nan"), at_least=0.8))
    return out


def count_lines(rows: pd.DataFrame) -> list[Line]:
    """S5 on injected noise: the expected number of wrong rows against the truth, ours and, where there is one, the peers'."""
    out = []
    for words, column in (("ours", "expected"), ("peers'", "peer_expected")):
        off = ((rows[column] - rows["wrong"]).abs() / rows["wrong"]).dropna()
        if len(off):
            near = int((off <= 0.2).sum())
            text = f"expected number of wrong rows, {words}: within 20 % of the truth on {near} of {len(off)} injected sets, mean |error| {off.mean():.0%}"
            out.append(Line("S5", "injected", text, near / len(off), at_least=0.8 if column == "expected" else None))
    return out


def human_lines(rows: pd.DataFrame) -> list[Line]:
    """S6: people's errors, average precision ahead on each."""
    return each_lines("S6", rows, "human", "people's errors")


def regression_lines(rows: pd.DataFrame) -> list[Line]:
    """S7: regression, average precision ahead on each, mean F1 ahead of cleanlab's."""
    each = each_lines("S7", rows, "regression", "regression")
    return each + mean_lines("S7", rows, "regression", "mean F1 of incorrect", "f1", "peer_cleanlab_f1", 0.1, "cleanlab")


def each_lines(name: str, rows: pd.DataFrame, family: str, words: str) -> list[Line]:
    """Average precision ahead of the best peer on every set; the value is the smallest lead."""
    far = gap(rows, "ap", "peer_ap")
    if not len(far):
        return []
    text = f"{words}: average precision ahead of the best peer on {int((far > 0).sum())} of {len(far)} sets; "
    return [Line(name, family, text + ", ".join(f"{at} {lead:+.3f}" for at, lead in far.items()), float(far.min()), at_least=0.0)]


def agreement(verdicts: list[np.ndarray]) -> tuple[float, float]:
    """Of pairs of runs, in the mean: share of rows with the same verdict; rows both call incorrect among those that either does."""
    pairs = list(combinations(verdicts, 2))
    same = [float((a == b).mean()) for a, b in pairs]
    both = [share((a == "incorrect") & (b == "incorrect"), (a == "incorrect") | (b == "incorrect")) for a, b in pairs]
    return float(np.mean(same)), float(np.mean(both))


def seconds_line(now: pd.Series, before: pd.Series) -> Line:
    """S11: seconds by set beside an earlier table's; machine and load must be the same for the ratio to mean anything."""
    both = pd.DataFrame({"now": now, "before": before}).dropna()
    ratio = float(np.exp(np.log(both["now"] / both["before"]).mean())) if len(both) else float("nan")
    text = f"seconds, {len(both)} sets: {both['now'].sum():.0f} in all, {both['before'].sum():.0f} before; geometric mean of now / before {ratio:.2f}"
    return Line("S11", "classification", text, ratio)
