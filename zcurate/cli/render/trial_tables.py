"""Print a trial on stdout in tables of at most 80 columns; style on a terminal only."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zcurate.cli.render.numbers import decimals, percent, percent_range
from zcurate.runtime.safe_text import visible_values

WIDTH = 80
"""Columns in a pipe."""
PARTS = {None: "", 1: "1st quarter", 2: "2nd", 3: "3rd", 4: "4th"}
"""Names of the quarters of the run."""
CUTS_NOTE = """\
before: flagged before planting too; precision: from none of these being wrong,
to all of these being wrong"""
RANKINGS_NOTE = """\
AP, AUROC: planted errors against rows with p_incorrect up to 0.5 as given
AP, all: against every other row, also those suspected as given
wrong/hard: AUROC of planted errors against rows called hard as given
both losses are those of the second scan, trained with its robust loss"""
BUDGET_NOTE = """\
suspected, hard, outlier: by their probabilities as given; the losses are those
of the second scan"""
TRAINED_NOTE = """\
networks that train on the quarter of the copy's rows that the rule chooses by
their losses, anew in each epoch; tested on other rows under the given labels"""


def print_trial(facts: dict[str, Any], verbose: bool) -> None:
    """Print a judged trial.

    Args:
        facts: of a `Trial`.
        verbose: also list the planted errors that were missed.
    """
    console = Console(file=sys.stdout, highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDTH)
    facts = visible_values(facts)
    for line in describe_trial(facts):
        console.print(line, markup=False, soft_wrap=True)
    console.print()
    console.print(kind_table(facts))
    console.print()
    for line in findings(facts):
        console.print(line, markup=False, soft_wrap=True)
    console.print()
    console.print(cut_table(facts["cuts"]))
    console.print(CUTS_NOTE, style="dim", markup=False, soft_wrap=True)
    console.print()
    console.print(ranking_table(facts["rankings"]))
    console.print(RANKINGS_NOTE, style="dim", markup=False, soft_wrap=True)
    if facts["prioritise"]:
        console.print()
        console.print(budget_table(facts["prioritise"]))
        console.print(BUDGET_NOTE, style="dim", markup=False, soft_wrap=True)
        console.print()
        console.print(trained_table(facts["prioritise_trained"]))
        console.print(TRAINED_NOTE, style="dim", markup=False, soft_wrap=True)
    if verbose:
        console.print()
        console.print(missed_table(facts["rows"]) if facts["at_cut"]["planted"] < facts["n_planted"] else "no planted error was missed")


def describe_trial(facts: dict[str, Any]) -> list[str]:
    """Describe the data, the model and the planted errors."""
    task = f"{facts['n_classes']} classes" if facts["n_classes"] else "regression"
    part = percent(facts["n_planted"] / facts["n_labelled"])
    given = ", ".join(f"{n} {word}" for word, n in facts["as_given"].items())
    partial = ["training was stopped by --time-limit; the numbers are less reliable"] if facts["partial"] else []
    return [
        f"{facts['input']['rows']} rows, label '{facts['label']}': {task}, model {facts['model']} on {facts['device']}",
        f"as given: {given}",
        f"{facts['n_planted']} errors planted in a copy, {part} of the labelled rows",
        *partial,
    ]


def make_grid(*columns: str) -> Table:
    """Make an empty table with the first column left-aligned and the others right-aligned."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if at else "left", no_wrap=True)
    return table


def kind_table(facts: dict[str, Any]) -> Table:
    """Tabulate recall by kind at the user's threshold, and the verdicts of the missed errors."""
    verdicts = ("[bright_red]suspect[/]", "[yellow]hard[/]", "[green]clean[/]", "[magenta]outlier[/]")
    table = make_grid("planted", "rows", "found", "recall", "95 %", *verdicts, *restored_cell(facts, "restored"))
    for row in facts["kinds"]:
        numbers = (
            row["planted"],
            row["found"],
            percent(row["recall"]),
            percent_range(row["recall_low"], row["recall_high"]),
            *(row[word] for word in ("suspect", "hard", "clean", "outlier")),
        )
        table.add_row(row["kind"], *(str(number) for number in numbers), *restored_cell(facts, str(row["restored"])))
    return table


def restored_cell(facts: dict[str, Any], cell: str) -> list[str]:
    """Return the cell of the column on suggested labels; none for regression."""
    return [cell] if facts["n_classes"] else []


def findings(facts: dict[str, Any]) -> list[str]:
    """Compare precision and recall with what the scan expected, and count what became of hard rows."""
    cut, expected, hard = facts["at_cut"], facts["expected"], facts["hard"]
    return [
        f"flagged but not planted: {cut['before'] + cut['other']}, of which {cut['before']} were flagged before planting",
        f"precision {percent_range(cut['precision_low'], cut['precision_high'])}, the scan expected {percent(expected['precision'])}",
        f"recall {percent(cut['recall'])}, the scan expected {percent(expected['recall'])}",
        f"called hard as given: {hard['rows']}, of which now " + ", ".join(f"{hard[word]} {word}" for word in ("incorrect", "suspect", "hard", "clean")),
    ]


def cut_table(rows: list[dict[str, Any]]) -> Table:
    """Tabulate the flagged rows at each cut."""
    table = make_grid("p_incorrect", "flagged", "planted", "before", "other", "recall", "95 %", "precision")
    for row in rows:
        counts = (str(row[name]) for name in ("flagged", "planted", "before", "other"))
        precision = percent_range(row["precision_low"], row["precision_high"])
        table.add_row(f"> {row['cut']:.2f}", *counts, percent(row["recall"]), percent_range(row["recall_low"], row["recall_high"]), precision)
    return table


def ranking_table(rows: list[dict[str, Any]]) -> Table:
    """Tabulate the quality of each ranking."""
    names = ("average_precision", "auroc", "average_precision_all", "over_hard")
    table = make_grid("ranking by", "AP", "AUROC", "AP, all", "wrong/hard")
    for row in rows:
        table.add_row(row["ranking"], *(decimals(row[name]) for name in names))
    return table


def budget_table(rows: list[dict[str, Any]]) -> Table:
    """Tabulate the groups that a loss-prioritised training budget would go to, by rule and quarter of the run."""
    groups = [name for name in rows[0] if name not in ("rule", "part")]
    table = make_grid("training budget by", "", *groups)
    for row in rows:
        is_first = row["part"] in (None, 1)
        table.add_row(row["rule"] if is_first else "", PARTS[row["part"]], *(percent(row[name]) for name in groups))
    return table


def trained_table(rows: list[dict[str, Any]]) -> Table:
    """Tabulate what networks trained by each rule are worth on other rows."""
    measure = "accuracy" if "accuracy" in rows[0] else "error"
    table = make_grid("trained on a quarter", measure, "sd", "planted")
    for row in rows:
        table.add_row(row["rule"], decimals(row[measure]), decimals(row["deviation"]), percent(row["planted"]))
    return table


def missed_table(rows: list[dict[str, Any]]) -> Table:
    """Tabulate the planted errors that were not called incorrect, most suspicious first."""
    table = make_grid("missed row", "given", "planted", "kind", "p", "verdict")
    for row in sorted(rows, key=lambda row: -row["p_incorrect"]):
        if row["verdict"] != "incorrect":
            table.add_row(str(row["row"]), escape(str(row["given"])), escape(str(row["shown"])), row["kind"], f"{row['p_incorrect']:.2f}", row["verdict"])
    return table
