"""What a trial prints on stdout: aligned tables of at most 80 columns; bold and colour on a terminal only.

Leaves: text. Enters: a trial's facts.
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zcurate.cli.render.scan_summary import percent

WIDTH = 80
PARTS = {None: "", 1: "1st quarter", 2: "2nd", 3: "3rd", 4: "4th"}
CUTS_NOTE = """\
before: flagged in the data as given too; precision: if all of these are right,
to if all of these are wrong"""
RANKINGS_NOTE = """\
AP, AUROC: planted errors against rows with p_incorrect up to 0.5 as given
AP, all: against every other row, also those suspected as given
wrong/hard: AUROC of planted errors against rows called hard as given
both losses are of the same scan, trained with its robust loss"""
BUDGET_NOTE = """\
suspected, hard, outlier: by their probabilities as given; the losses are those
of this scan, no model was trained by the rule"""


def print_trial(facts: dict[str, Any], verbose: bool) -> None:
    """Print a trial that has something to count.

    Args:
        facts: of a `Trial`.
        verbose: also list the planted rows that were missed.
    """
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    for line in heading(facts):
        console.print(line, markup=False, soft_wrap=True)
    console.print()
    console.print(kinds(facts))
    console.print()
    for line in findings(facts):
        console.print(line, markup=False, soft_wrap=True)
    console.print()
    console.print(cuts(facts["cuts"]))
    console.print(CUTS_NOTE, style="dim", markup=False, soft_wrap=True)
    console.print()
    console.print(rankings(facts["rankings"]))
    console.print(RANKINGS_NOTE, style="dim", markup=False, soft_wrap=True)
    if facts["prioritise"]:
        console.print()
        console.print(budget(facts["prioritise"]))
        console.print(BUDGET_NOTE, style="dim", markup=False, soft_wrap=True)
    if verbose:
        console.print()
        console.print(missed(facts["rows"]) if facts["at_cut"]["planted"] < facts["n_planted"] else "no planted error was missed")


def heading(facts: dict[str, Any]) -> list[str]:
    """What was tried on what."""
    task = f"{facts['n_classes']} classes" if facts["n_classes"] else "regression"
    part = percent(facts["n_planted"] / facts["n_labelled"])
    given = ", ".join(f"{n} {word}" for word, n in facts["as_given"].items())
    partial = ["training was cut short by --time-limit; the numbers are less sure"] if facts["partial"] else []
    return [
        f"{facts['input']['rows']} rows, label '{facts['label']}': {task}, model {facts['model']} on {facts['device']}",
        f"as given: {given}",
        f"{facts['n_planted']} errors planted in a copy, {part} of the labelled rows",
        *partial,
    ]


def grid(*columns: str) -> Table:
    """An empty table whose first column is to the left and the others to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if at else "left", no_wrap=True)
    return table


def between(low: float | None, high: float | None) -> str:
    """`76 to 100 %`; a dash where nothing is known."""
    return "–" if low is None or high is None else f"{100 * low:.0f} to {100 * high:.0f} %"


def decimals(value: float | None) -> str:
    """Three decimals; a dash where nothing is known."""
    return "–" if value is None else f"{value:.3f}"


def kinds(facts: dict[str, Any]) -> Table:
    """Recall by kind at the user's cut, and how the missed ones were called."""
    table = grid("planted", "rows", "found", "recall", "95 %", "[yellow]hard[/]", "[green]clean[/]", "[magenta]outlier[/]", *restored(facts, "right label"))
    for row in facts["kinds"]:
        numbers = (
            row["planted"],
            row["found"],
            percent(row["recall"]),
            between(row["recall_low"], row["recall_high"]),
            *(row[word] for word in ("hard", "clean", "outlier")),
        )
        table.add_row(row["kind"], *(str(number) for number in numbers), *restored(facts, str(row["restored"])))
    return table


def restored(facts: dict[str, Any], cell: str) -> list[str]:
    """The cell of the column on suggested labels; none for regression."""
    return [cell] if facts["n_classes"] else []


def findings(facts: dict[str, Any]) -> list[str]:
    """What was flagged that was not planted, what the scan had expected of itself, and what became of hard rows."""
    cut, expected, hard = facts["at_cut"], facts["expected"], facts["hard"]
    return [
        f"flagged though not planted: {cut['before'] + cut['other']}, of which {cut['before']} were flagged before planting",
        f"precision {between(cut['precision_low'], cut['precision_high'])}, the scan expected {percent(expected['precision'])}",
        f"recall {percent(cut['recall'])}, the scan expected {percent(expected['recall'])}",
        f"called hard as given: {hard['rows']}, of which now {hard['incorrect']} incorrect, {hard['hard']} hard, {hard['clean']} clean",
    ]


def cuts(rows: list[dict[str, Any]]) -> Table:
    """Who is flagged at each cut."""
    table = grid("p_incorrect", "flagged", "planted", "before", "other", "recall", "95 %", "precision")
    for row in rows:
        counts = (str(row[name]) for name in ("flagged", "planted", "before", "other"))
        precision = between(row["precision_low"], row["precision_high"])
        table.add_row(f"> {row['cut']:.2f}", *counts, percent(row["recall"]), between(row["recall_low"], row["recall_high"]), precision)
    return table


def rankings(rows: list[dict[str, Any]]) -> Table:
    """Each ranking's quality."""
    names = ("average_precision", "auroc", "average_precision_all", "over_hard")
    table = grid("ranking by", "AP", "AUROC", "AP, all", "wrong/hard")
    for row in rows:
        table.add_row(row["ranking"], *(decimals(row[name]) for name in names))
    return table


def budget(rows: list[dict[str, Any]]) -> Table:
    """Where a loss-prioritised training budget would go, by rule and quarter of the run."""
    groups = [name for name in rows[0] if name not in ("rule", "part")]
    table = grid("training budget by", "", *groups)
    for row in rows:
        first = row["part"] in (None, 1)
        table.add_row(row["rule"] if first else "", PARTS[row["part"]], *(percent(row[name]) for name in groups))
    return table


def missed(rows: list[dict[str, Any]]) -> Table:
    """Planted rows that were not called incorrect, most suspicious first."""
    table = grid("missed row", "given", "shown", "kind", "p", "called")
    for row in sorted(rows, key=lambda row: -row["p_incorrect"]):
        if row["verdict"] != "incorrect":
            table.add_row(str(row["row"]), escape(str(row["given"])), escape(str(row["shown"])), row["kind"], f"{row['p_incorrect']:.2f}", row["verdict"])
    return table
