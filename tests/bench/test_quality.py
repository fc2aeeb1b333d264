"""How well wrong labels are ranked and called, and how long it takes, on data sets whose truth is known.

Question: AUROC and average precision of the wrong rows by rank, AUROC of wrong against hard rows, precision, recall and F1 of
`incorrect`, share of hard-but-right rows called incorrect, calibration error, seconds and peak memory of one `zcurate scan`, beside
the best peer; and what each clue is worth. Data: a folder with NAME.parquet and NAME.truth.parquet (columns true_label, is_wrong,
kind), given by `--bench-data`. Run: pytest -m bench --bench-data FOLDER [--bench-sets a,b] -s. Options and kept numbers: README.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.bench import scoring
from zcurate import plugins

pytestmark = pytest.mark.bench
SHOWN = {"auroc": "auroc", "ap": "ap", "wrong_vs_hard": "wvh", "precision": "prec", "recall": "rec", "f1": "f1", "hard_flagged": "hard>inc"}
OWN = {"ece": "ece", "seconds": "s", "megabytes": "MB"}
PEERS = {"peer_ap": "ap", "peer_wrong_vs_hard": "wvh", "peer_f1": "f1"}


def peers_of(request, bench):
    """The best peers of each set, and why there are none."""
    path = Path(request.config.getoption("--bench-peers") or bench.folder / "BASELINES.md")
    return (scoring.best_peers(scoring.read_peers(path.read_text())), "") if path.exists() else ({}, f"no peers: there is no {path}")


def counts_of(bench):
    """The peers' own estimates of the number of wrong rows, by set, and why there are none."""
    path = bench.folder / "COUNTS.csv"
    return (pd.read_csv(path).set_index("set")["estimate"].to_dict(), "") if path.exists() else ({}, "peers' counts skipped: no COUNTS.csv (set,estimate)")


def row_of(bench, name, peer, scanned):
    """Everything about one set, flat."""
    truth = bench.truth(name)
    own = scoring.figures(scanned.report.table.to_pandas(), truth, scanned.report.card, peer)
    theirs = {f"peer_{key}": value for key, value in (peer or {}).items()}
    return {**scoring.traits(truth), **own, "seconds": scanned.seconds, "megabytes": scanned.megabytes, **theirs}


def filled(rows):
    """One row per set, with every column that the lines read, NaN where nothing is known."""
    needed = [f"peer_{key}" for key in (*scoring.FIGURES, "recall_of_f1", "precision_of_f1", "hard_flagged_of_f1", "cleanlab_f1", "expected")]
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("set")
    return table.reindex(columns=list(dict.fromkeys([*table.columns, "precision_at", "hard_at", *needed])))


def cell(value, width=8):
    """A number in fixed width; nothing where it is not known."""
    return f"{'':{width}}" if value is None or np.isnan(value) else f"{value:{width}.3f}" if abs(value) < 10 else f"{value:{width}.0f}"


def header():
    return (
        f"{'set':<24}" + "".join(f"{word:>9}" for word in (*SHOWN.values(), *OWN.values())) + "   best peer" + "".join(f"{word:>8}" for word in PEERS.values())
    )


def shown(name, row, note=""):
    ours = "".join(cell(row.get(key), 9) for key in (*SHOWN, *OWN))
    return f"{name:<24}{ours}   {'':9}{''.join(cell(row.get(key), 8) for key in PEERS)}  {note}".rstrip()


def show_means(table, say):
    numbers = table.select_dtypes("number")
    for family in ("classification", "regression", "human"):
        rows = scoring.members(table, family)
        if len(rows):
            say(shown(f"mean of {len(rows)} {family}"[:24], numbers.loc[rows.index].mean().to_dict()))
    say(shown(f"mean of all {len(table)}", numbers.mean().to_dict()))


def test_every_set_is_scanned_and_scored(request, bench, say):
    (peers, why), (counts, why_not), rows, unjudged = peers_of(request, bench), counts_of(bench), {}, []
    say(f"\n{header()}")
    for name in bench.names:
        scanned = bench.scan(name)
        if not scanned.report.card["judged"]:
            unjudged.append(name)
            say(f"{name:<24}not judged: {scanned.report.card['why_unjudged']}")
            continue
        rows[name] = row_of(bench, name, peers.get(name), scanned) | ({"peer_expected": counts[name]} if name in counts else {})
        say(shown(name, rows[name], scanned.note))
    assert rows, f"no set was judged: {unjudged}"
    table = filled(rows)
    show_means(table, say)
    say()
    found = scoring.lines(table)
    for line in found:
        say(line)
    for reason in filter(None, (why, why_not)):
        say(reason)
    say(seconds_line(request, table))
    say(f"table: {bench.save(table, f'quality.{Path(bench.model).stem}.seed{bench.seeds[0]}')}")
    whole = complete(bench, table, peers)
    say(f"bars are asserted for: {', '.join(sorted(whole)) or 'no family, since no family is whole'}")
    short = [str(line) for line in found if line.good is False and line.family in whole]
    assert not short, "\n".join(short)
    assert not unjudged, unjudged


def complete(bench, table, peers):
    """Families of which every set of the folder was scanned, judged and has a peer."""
    every = pd.DataFrame({name: scoring.traits(bench.truth(name)) for name in bench.every}).T
    every["rows"] = every["rows"].astype(int)
    whole = set()
    for family in ("classification", "regression", "human", "large", "injected"):
        names = set(scoring.members(every, family).index)
        if names and names <= set(table.index) & set(peers):
            whole.add(family)
    return whole


def seconds_line(request, table):
    """S11 against the table of `--bench-before`, or the numbers kept beside this file."""
    path = Path(request.config.getoption("--bench-before") or Path(__file__).parent / "README.md")
    if path.suffix == ".csv":
        before = pd.read_csv(path, index_col="set")
        earlier = before["seconds" if "seconds" in before else "s"]
    else:
        kept = scoring.markdown_rows(path.read_text(), ("set", "s"))
        earlier = pd.Series({row["set"]: float(row["s"]) for row in kept}, dtype=float)
    return f"{scoring.seconds_line(table['seconds'], earlier)} (before: {path.name})"


def test_what_each_clue_is_worth(request, bench, say):
    asked = request.config.getoption("--bench-ablate")
    if asked is None:
        pytest.skip("no --bench-ablate all|CLUE,...")
    known = plugins.SIGNALS
    clues = list(known) if asked == "all" else asked.split(",")
    strange = sorted(set(clues) - set(known))
    assert not strange, f"--bench-ablate {','.join(strange)}: no such clue — known: {', '.join(known)}"
    say(f"\n{'set':<24}{'without':<24}{'ap':>8}{'change':>9}{'f1':>8}{'change':>9}")
    rows = [row for name in bench.names for row in ablated(bench, name, clues, say)]
    table = pd.DataFrame(rows, columns=["set", "without", "ap", "ap_change", "f1", "f1_change"])
    for clue in clues:
        mine = table[table["without"] == clue]
        say(change(f"mean of {len(mine)}", mine.mean(numeric_only=True).to_dict() | {"without": clue}))
    say(f"table: {bench.save(table.set_index(['set', 'without']), 'ablation')}")


def ablated(bench, name, clues, say):
    """The set's figures without each clue, and the change from the scan with all of them."""
    whole = row_of(bench, name, None, bench.scan(name))
    for clue in clues:
        row = row_of(bench, name, None, bench.scan(name, model=str(without(bench, clue))))
        out = {"set": name, "without": clue, "ap": row["ap"], "ap_change": row["ap"] - whole["ap"], "f1": row["f1"], "f1_change": row["f1"] - whole["f1"]}
        say(change(name, out))
        yield out


def change(name, row):
    return f"{name:<24}{row['without']:<24}{row['ap']:8.3f}{row['ap_change']:+9.3f}{row['f1']:8.3f}{row['f1_change']:+9.3f}"


def without(bench, clue):
    """A TOML file as `--bench-model`, with one clue left out."""
    model = Path(bench.model)
    settings = model.read_text() if model.suffix == ".toml" else f'name = "{bench.model}"\n'
    path = bench.out / f"{model.stem}.without_{clue}.toml"
    path.write_text(f'without = ["{clue}"]\n{settings}')
    return path
