"""Quality and time of scans on data sets with known ground truth.

Question: AUROC and average precision of the wrong rows by rank, AUROC of wrong against hard rows, precision, recall and F1 of
`incorrect`, share of hard rows with a right label called incorrect, calibration error, seconds and peak memory of one `zcurate scan`, compared with
the best peer; and the contribution of each clue. Data: a folder with NAME.parquet and NAME.truth.parquet (columns true_label, is_wrong,
kind), given by `--bench-data`. Run: pytest -m bench --bench-data FOLDER [--bench-sets a,b] -s. Options and results: README.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.bench import scoring
from zcurate import plugins

pytestmark = pytest.mark.bench
COLUMNS = {"auroc": "auroc", "ap": "ap", "wrong_vs_hard": "wvh", "precision": "prec", "recall": "rec", "f1": "f1", "hard_flagged": "hard>inc"}
EXTRA_COLUMNS = {"ece": "ece", "seconds": "s", "megabytes": "MB"}
PEER_COLUMNS = {"peer_ap": "ap", "peer_wrong_vs_hard": "wvh", "peer_f1": "f1"}


def peers_of(request, bench):
    """Read the best peers of each data set; without any, the reason."""
    path = Path(request.config.getoption("--bench-peers") or bench.folder / "BASELINES.md")
    return (scoring.best_peers(scoring.read_peers(path.read_text())), "") if path.exists() else ({}, f"no peers: there is no {path}")


def counts_of(bench):
    """Read the peers' estimates of the number of wrong rows by data set; without any, the reason."""
    path = bench.folder / "COUNTS.csv"
    return (pd.read_csv(path).set_index("set")["estimate"].to_dict(), "") if path.exists() else ({}, "peers' counts skipped: no COUNTS.csv (set,estimate)")


def row_of(bench, name, peer, scanned):
    """Collect all figures of one data set in a flat dictionary."""
    truth = bench.truth(name)
    ours = scoring.figures(scanned.report.table.to_pandas(), truth, scanned.report.card, peer)
    theirs = {f"peer_{key}": value for key, value in (peer or {}).items()}
    return {**scoring.traits(truth), **ours, "seconds": scanned.seconds, "megabytes": scanned.megabytes, **theirs}


def complete_columns(rows):
    """Build a table of one row per data set with every column that the lines read, NaN if unknown."""
    needed = [f"peer_{key}" for key in (*scoring.FIGURES, "recall_of_f1", "precision_of_f1", "hard_flagged_of_f1", "cleanlab_f1", "expected")]
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("set")
    return table.reindex(columns=list(dict.fromkeys([*table.columns, "precision_at", "hard_at", *needed])))


def cell(value, width=8):
    """Format a number in fixed width; blank if unknown."""
    return f"{'':{width}}" if value is None or np.isnan(value) else f"{value:{width}.3f}" if abs(value) < 10 else f"{value:{width}.0f}"


def header():
    return (
        f"{'set':<24}"
        + "".join(f"{word:>9}" for word in (*COLUMNS.values(), *EXTRA_COLUMNS.values()))
        + "   best peer"
        + "".join(f"{word:>8}" for word in PEER_COLUMNS.values())
    )


def format_row(name, row, note=""):
    ours = "".join(cell(row.get(key), 9) for key in (*COLUMNS, *EXTRA_COLUMNS))
    return f"{name:<24}{ours}   {'':9}{''.join(cell(row.get(key), 8) for key in PEER_COLUMNS)}  {note}".rstrip()


def print_means(table, print_line):
    numbers = table.select_dtypes("number")
    for family in ("classification", "regression", "human"):
        rows = scoring.of_family(table, family)
        if len(rows):
            print_line(format_row(f"mean of {len(rows)} {family}"[:24], numbers.loc[rows.index].mean().to_dict()))
    print_line(format_row(f"mean of all {len(table)}", numbers.mean().to_dict()))


def test_every_set_is_scanned_and_scored(request, bench, print_line):
    (peers, no_peers), (counts, no_counts), rows, unjudged = peers_of(request, bench), counts_of(bench), {}, []
    print_line(f"\n{header()}")
    for name in bench.names:
        scanned = bench.scan(name)
        if not scanned.report.card["judged"]:
            unjudged.append(name)
            print_line(f"{name:<24}not judged: {scanned.report.card['why_unjudged']}")
            continue
        rows[name] = row_of(bench, name, peers.get(name), scanned) | ({"peer_expected": counts[name]} if name in counts else {})
        print_line(format_row(name, rows[name], scanned.note))
    assert rows, f"no set was judged: {unjudged}"
    table = complete_columns(rows)
    print_means(table, print_line)
    print_line()
    lines = scoring.lines(table)
    for line in lines:
        print_line(line)
    for reason in filter(None, (no_peers, no_counts)):
        print_line(reason)
    print_line(seconds_line(request, table))
    print_line(f"table: {bench.save(table, f'quality.{Path(bench.model).stem}.seed{bench.seeds[0]}')}")
    complete = complete_families(bench, table, peers)
    print_line(f"bars are asserted for: {', '.join(sorted(complete)) or 'no family, because none is complete'}")
    missed = [str(line) for line in lines if line.good is False and line.family in complete]
    assert not missed, "\n".join(missed)
    assert not unjudged, unjudged


def complete_families(bench, table, peers):
    """Find the families in which every data set of the folder was scanned, judged and has a peer."""
    everything = pd.DataFrame({name: scoring.traits(bench.truth(name)) for name in bench.all_names}).T
    everything["rows"] = everything["rows"].astype(int)
    complete = set()
    for family in ("classification", "regression", "human", "large", "injected"):
        names = set(scoring.of_family(everything, family).index)
        if names and names <= set(table.index) & set(peers):
            complete.add(family)
    return complete


def seconds_line(request, table):
    """Report S11 against the table of `--bench-before`, by default the results in README.md."""
    path = Path(request.config.getoption("--bench-before") or Path(__file__).parent / "README.md")
    if path.suffix == ".csv":
        before = pd.read_csv(path, index_col="set")
        earlier = before["seconds" if "seconds" in before else "s"]
    else:
        stored = scoring.markdown_rows(path.read_text(), ("set", "s"))
        earlier = pd.Series({row["set"]: float(row["s"]) for row in stored}, dtype=float)
    return f"{scoring.seconds_line(table['seconds'], earlier)} (before: {path.name})"


def test_the_contribution_of_each_clue(request, bench, print_line):
    requested = request.config.getoption("--bench-ablate")
    if requested is None:
        pytest.skip("no --bench-ablate all|CLUE,...")
    clues = list(plugins.SIGNALS) if requested == "all" else requested.split(",")
    unknown = sorted(set(clues) - set(plugins.SIGNALS))
    assert not unknown, f"--bench-ablate {','.join(unknown)}: no such clue — known: {', '.join(plugins.SIGNALS)}"
    print_line(f"\n{'set':<24}{'without':<24}{'ap':>8}{'change':>9}{'f1':>8}{'change':>9}")
    rows = [row for name in bench.names for row in ablated(bench, name, clues, print_line)]
    table = pd.DataFrame(rows, columns=["set", "without", "ap", "ap_change", "f1", "f1_change"])
    for clue in clues:
        of_clue = table[table["without"] == clue]
        print_line(format_change(f"mean of {len(of_clue)}", of_clue.mean(numeric_only=True).to_dict() | {"without": clue}))
    print_line(f"table: {bench.save(table.set_index(['set', 'without']), 'ablation')}")


def ablated(bench, name, clues, print_line):
    """Yield the figures of a data set without each clue, and their change from the scan with all clues."""
    baseline = row_of(bench, name, None, bench.scan(name))
    for clue in clues:
        row = row_of(bench, name, None, bench.scan(name, model=str(model_without(bench, clue))))
        changes = {"ap_change": row["ap"] - baseline["ap"], "f1": row["f1"], "f1_change": row["f1"] - baseline["f1"]}
        result = {"set": name, "without": clue, "ap": row["ap"], **changes}
        print_line(format_change(name, result))
        yield result


def format_change(name, row):
    return f"{name:<24}{row['without']:<24}{row['ap']:8.3f}{row['ap_change']:+9.3f}{row['f1']:8.3f}{row['f1_change']:+9.3f}"


def model_without(bench, clue):
    """Write a TOML file equal to `--bench-model` with one clue removed."""
    model = Path(bench.model)
    settings = model.read_text() if model.suffix == ".toml" else f'name = "{bench.model}"\n'
    path = bench.out / f"{model.stem}.without_{clue}.toml"
    path.write_text(f'without = ["{clue}"]\n{settings}')
    return path
