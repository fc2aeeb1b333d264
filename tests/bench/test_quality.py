"""How well wrong labels are ranked and called, and how long it takes, on data sets whose truth is known.

Question: average precision of the wrong rows by rank, F1 of `incorrect`, share of hard-but-right rows called incorrect, calibration
error, seconds and peak memory of one `zcurate scan`. Data: a folder with NAME.parquet and NAME.truth.parquet (columns true_label,
is_wrong, kind), given by `--bench-data`. Run: pytest -m bench --bench-data FOLDER [--bench-sets a,b] -s. Kept numbers: README.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from zcurate.report import load

pytestmark = pytest.mark.bench


def average_precision(score, wrong):
    hits = wrong[np.argsort(-score, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits).sum() / hits.sum())


def peers_of(folder):
    """Best average precision and F1 of each set's peers, where the folder has a BASELINES.md."""
    best: dict[str, tuple[float, float]] = {}
    path = Path(folder) / "BASELINES.md"
    for line in path.read_text().splitlines() if path.exists() else ():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 9 and re.fullmatch(r"[\d.]+", cells[3]) and "oracle" not in cells[1]:
            before = best.get(cells[0], (0.0, 0.0))
            best[cells[0]] = (max(before[0], float(cells[3])), max(before[1], float(cells[5])))
    return best


def figures(report, truth, seconds, peak):
    table = report.table.to_pandas()
    wrong = truth["is_wrong"].to_numpy(bool)
    hard = (truth["kind"] == "hard").to_numpy()
    known = ~(wrong & truth["true_label"].isna().to_numpy())
    flagged = (table["verdict"] == "incorrect").to_numpy()
    right = (flagged & wrong & known).sum()
    p = table["p_incorrect"].to_numpy(float)
    bins = np.clip((p * 10).astype(int), 0, 9)
    error = sum(abs(p[bins == k].mean() - wrong[bins == k].mean()) * (bins == k).mean() for k in range(10) if (bins == k).any())
    return {
        "ap": average_precision(-table["rank"].to_numpy(float), wrong),
        "f1": 2 * right / max(1, (flagged & known).sum() + (wrong & known).sum()),
        "hard called": (flagged & hard).sum() / max(1, hard.sum()),
        "ece": error,
        "s": seconds,
        "MB": peak / 1024,
    }


def test_every_set_is_scanned_and_scored(request, tmp_path, capsys):
    folder = request.config.getoption("--bench-data")
    if folder is None:
        pytest.skip("no --bench-data FOLDER")
    names = sorted(path.name[: -len(".truth.parquet")] for path in Path(folder).glob("*.truth.parquet"))
    wanted = request.config.getoption("--bench-sets")
    names = [name for name in names if wanted is None or name in wanted.split(",")]
    assert names, f"no NAME.truth.parquet in {folder}"
    peers, rows = peers_of(folder), {}
    for name in names:
        before = os.times()
        done = subprocess.run(
            ["/usr/bin/time", "-f", "%e %M", sys.executable, "-m", "zcurate", "scan", os.path.abspath(f"{folder}/{name}.parquet"), "--label", "label", "-q"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 3), (name, done.stderr)
        assert os.times().elapsed > before.elapsed
        seconds, peak = map(float, done.stderr.split()[-2:])
        report = load(str(tmp_path / f"{name}.zcurate.parquet"))
        if not report.card["judged"]:
            continue
        rows[name] = figures(report, pq.read_table(f"{folder}/{name}.truth.parquet").to_pandas(), seconds, peak)
        best = peers.get(name, (float("nan"), float("nan")))
        with capsys.disabled():
            line = "  ".join(f"{key} {value:.3f}" if value < 10 else f"{key} {value:.0f}" for key, value in rows[name].items())
            sys.stdout.write(f"{name:<24}{line}  best peer ap {best[0]:.3f} f1 {best[1]:.3f}\n")
    compared = [name for name in rows if name in peers]
    if len(compared) == len(names) > 5:
        assert np.mean([rows[name]["ap"] for name in compared]) >= np.mean([peers[name][0] for name in compared])
