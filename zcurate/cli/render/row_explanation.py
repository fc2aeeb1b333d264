"""Print the explanation of one row on stdout, in sections of plain words; at most 80 columns in a pipe, style on a terminal only."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from zcurate.cli.render.charts import ABOVE, BELOW, MARK, SHADES, WIDTH, bar, chart
from zcurate.cli.render.numbers import percent
from zcurate.report.explain.explain import format_label
from zcurate.report.formats.table import COLORS
from zcurate.runtime.safe_text import visible_values

COLUMNS = 80
"""Width in a pipe."""
STRONG, WEAK = 0.8, 0.5
"""Percentile ranks from which a clue's words hold fully, and weakly; the judge names reasons from the first on."""
TITLES = {"loss": "loss, high = bad", "margin": "margin, low = bad", "z": "z [sigma], high = bad"}
"""Of the charts."""
REGRESSION_TITLES = {**TITLES, "z": "z [sigma], far from 0 = bad"}
"""Of the charts for regression, where errors are signed."""
STYLES = {MARK: "bold", ABOVE: "bold", BELOW: "bold", SHADES[True, False]: "green", SHADES[False, True]: "red", SHADES[True, True]: "yellow"}
"""Of a chart's characters."""
BAR = 30
"""Width of the bar of probability 1."""
MAX_KEY = 20
"""Characters of an id or path above which similar rows are listed by their number, to leave width for the values."""


def print_row(facts: dict[str, Any]) -> None:
    """Print one row.

    Args:
        facts: of `explain_row`.
    """
    console = Console(file=sys.stdout, highlight=False, emoji=False, width=None if sys.stdout.isatty() else COLUMNS)
    facts = visible_values(facts)
    with console.capture() as page:
        for print_section in (print_heading, print_threshold, print_heldout, print_curves, print_clues, print_values, print_neighbors, print_typical):
            print_section(facts, console)
        print_conclusion(facts, console)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in page.get().splitlines()))


def print_title(console: Console, title: str, remark: str = "") -> None:
    """Print an empty line and the title of a section, followed by a remark."""
    console.print()
    console.print(Text.assemble((title, "bold"), (f"  {remark}" if remark else "", "dim")))


def print_text(console: Console, text: str, style: str = "") -> None:
    """Print a text without markup, folded at the width."""
    console.print(Text(text, style))


def make_grid(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Make an empty table without boxes.

    Args:
        columns: headings; no header if all are empty.
        right: those to align right; these and the first column are not folded.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), show_header=any(columns))
    for at, name in enumerate(columns):
        table.add_column(Text(name), justify="right" if name in right else "left", no_wrap=name in right or at == 0, overflow="fold")
    return table


def print_heading(facts: dict[str, Any], console: Console) -> None:
    """Print the row's key, its given and suggested label, and its verdict with probabilities, rank and reasons."""
    keys = [f"{name} {facts[name]}" for name in ("id", "path") if facts.get(name) is not None]
    print_text(console, " · ".join([f"row {facts['row']}", *keys]), "bold")
    suggestion = f", suggested {format_label(facts['suggested'])}" if facts["suggested"] not in (None, facts["given"]) else ""
    print_text(console, f"{facts['label']}: {format_label(facts['given'])} given{suggestion}")
    remarks = []
    if facts["p_incorrect"] is not None:
        remarks += [f"p({name}) {facts[f'p_{name}']:.2f}" for name in ("incorrect", "hard", "outlier")]
    if facts["rank"] is not None:
        remarks.append(f"rank {facts['rank']} of {facts['ranked']}")
    console.print(Text.assemble((facts["verdict"], COLORS.get(facts["verdict"], "")), f"  {' · '.join(remarks)}" if remarks else ""))
    for reason in facts["reasons"]:
        print_text(console, f"  - {reason['words']}")


def print_threshold(facts: dict[str, Any], console: Console) -> None:
    """Print how p_incorrect compares with the threshold and with the planted errors."""
    found = facts["cut"]
    if found is None:
        return
    print_title(console, "Threshold")
    p, threshold = f"p(incorrect) {facts['p_incorrect']:.2f}", found["threshold"]
    print_text(console, f"{p} {'exceeds' if found['above'] else 'does not exceed'} the threshold {threshold:.2f}.")
    if found["planted"]:
        print_text(console, f"{percent(found['recall'])} of the {found['planted']} planted errors exceed it;")
    print_text(console, f"{percent(found['precision'])} of the rows called incorrect are expected to be wrong.")
    entry = found["at_row"]
    if entry is not None and found["planted"]:
        print_text(console, f"{entry['found']:.0f} of the planted errors ({percent(entry['recall'])}) exceed {entry['cut']:.2f}, as this row does.")
    elif found["planted"]:
        print_text(console, "The row does not exceed 0.10, below which there are few planted errors.")


def print_heldout(facts: dict[str, Any], console: Console) -> None:
    """Print the held-out prediction."""
    found = facts["heldout"]
    if found is None or facts["verdict"] == "skipped":
        return
    print_title(console, "Held-out prediction", "of models that never saw the row")
    if facts["task"] == "regression":
        print_target(facts, console)
        return
    table = make_grid("class", "p", "", right=("p",))
    table.show_header = False
    for entry in found:
        marks = ["given"] if entry["class"] == facts["given"] else ["suggested"] if entry["class"] == facts["suggested"] else []
        table.add_row(Text(entry["class"]), f"{entry['p']:.2f}", Text(f"{bar(entry['p'], BAR)}{' ' if marks and entry['p'] > 0 else ''}{', '.join(marks)}"))
    table.columns[0].no_wrap, table.columns[0].max_width = False, 30
    console.print(table)


def print_target(facts: dict[str, Any], console: Console) -> None:
    """Print the predicted against the given target of a regression."""
    found = facts["heldout"]
    table = make_grid("", "")
    table.add_row("predicted", format_label(facts["predicted"]))
    table.add_row("interval", f"{format_label(found['interval_low'])} to {format_label(found['interval_high'])} (90 % of right targets)")
    table.add_row("given", format_label(facts["given"]))
    if found["residual"] is not None:
        table.add_row("residual", f"{found['residual']:+.6g}, {found['residual_z']:+.1f} predicted standard deviations")
    console.print(table)


def print_curves(facts: dict[str, Any], console: Console) -> None:
    """Print charts of loss, margin and z over the epochs against both bands."""
    found = facts["curves"]
    if found is None:
        return
    regression = facts["task"] == "regression"
    print_title(console, "Training curves", "of models that train on the row")
    rows = "all rows" if regression else f"the rows labelled {format_label(facts['given'])}"
    print_text(console, f"{MARK} this row")
    print_text(console, f"{SHADES[True, False]} the middle 80 % of {rows} ({found['rows']})", "green")
    if found["planted"]:
        print_text(console, f"{SHADES[False, True]} the middle 80 % of the planted errors ({found['planted']})", "red")
        print_text(console, f"{SHADES[True, True]} both bands", "yellow")
    if found["later_round"]:
        print_text(
            console,
            "In the first round the row carried a planted label; its curve is of a later, shorter round, the bands mostly of the first.",
        )
    for name, title in (REGRESSION_TITLES if regression else TITLES).items():
        one = found[name]
        console.print()
        print_text(console, f"{title}: {final_values(one, 'all rows' if regression else 'its class')}")
        for line in chart(one["row"], one["class"], one["planted"], max(8, min(WIDTH, console.width - 12))):
            console.print(style_chart(line), no_wrap=True, overflow="crop")


def final_values(one: dict[str, Any], band_name: str) -> str:
    """Format the last value of a curve and the bands' medians there: `1.93 at the end, its class 0.21, planted 1.6`.

    Args:
        one: a curve and its bands.
        band_name: of the first band.
    """
    n = len(one["row"])
    medians = [(word, one[key]["middle"][n - 1]) for word, key in ((band_name, "class"), ("planted", "planted")) if one[key] and len(one[key]["middle"]) >= n]
    return ", ".join([f"{one['row'][-1]:.3g} at the end", *(f"{word} {value:.3g}" for word, value in medians)])


def style_chart(line: str) -> Text:
    """Style the characters of a chart's line."""
    text = Text()
    for character in line:
        text.append(character, STYLES.get(character, ""))
    return text


def print_clues(facts: dict[str, Any], console: Console) -> None:
    """Print the clues with weight, percentile rank and words."""
    found = facts["clues"]
    if not found:
        return
    print_title(console, "Clues", "percentile: share of the rows that look less suspicious")
    table = make_grid("clue", "weight", "percentile", "in words", right=("weight", "percentile"))
    for entry in found:
        table.add_row(Text(entry["clue"]), f"{entry['weight']:.2f}", percent(entry["place"]), Text(clue_words(entry)))
    console.print(table)


def clue_words(entry: dict[str, Any]) -> str:
    """Qualify a clue's words by how far they hold for the row."""
    if entry["place"] is None:
        return "cannot tell"
    qualifier = "" if entry["place"] >= STRONG else "weakly: " if entry["place"] >= WEAK else "not so: "
    return f"{qualifier}{entry['words']}{'' if entry['weight'] else ' (not used)'}"


def print_values(facts: dict[str, Any], console: Console) -> None:
    """Print the values that speak most against the label."""
    if not facts["telling"]:
        return
    print_title(console, "Values that speak most against the label")
    for word in facts["telling"]:
        print_text(console, f"  {word}")


def print_neighbors(facts: dict[str, Any], console: Console) -> None:
    """Print the most similar rows with their labels, or why they are not known."""
    found = facts["nearest"]
    if found is None:
        if facts["nearest_missing"]:
            print_title(console, "Most similar rows")
            print_text(console, f"not shown — {facts['nearest_missing']}")
        return
    print_title(console, "Most similar rows", found["measure"])
    entries, names = (found["itself"], *found["rows"]), list(found["itself"]["values"])
    key = next((name for name in ("id", "path") if name in found["itself"]), "row")
    if names and max(len(str(entry[key])) for entry in entries) > MAX_KEY:
        key = "row"
    table = make_grid(key, "given", "verdict", "distance", *names, right=("distance",))
    table.columns[0].no_wrap = False
    for entry in entries:
        distance = "itself" if entry is found["itself"] else f"{entry['distance']:.2f}"
        verdict = Text(str(entry["verdict"]), COLORS.get(str(entry["verdict"]), ""))
        name = entry["row"] if entry[key] is None else entry[key]
        table.add_row(Text(str(name)), Text(format_label(entry["given"])), verdict, distance, *(Text(str(value)) for value in entry["values"].values()))
    console.print(table)


def print_typical(facts: dict[str, Any], console: Console) -> None:
    """Print the pictures that are typical of the row's two classes."""
    if not facts.get("typical"):
        return
    print_title(console, "Typical pictures")
    for entries in facts["typical"].values():
        shown = ", ".join(str(entry["row"] if entry["path"] is None else entry["path"]) for entry in entries)
        print_text(console, f"{format_label(entries[0]['label'])}  {shown}")


def print_conclusion(facts: dict[str, Any], console: Console) -> None:
    """Print which columns the report lacks, and the conclusion."""
    if facts["missing"]:
        console.print()
        print_text(console, f"written by an older zcurate: no {', '.join(facts['missing'])} in the report; scan again to see more", "dim")
    console.print()
    print_text(console, facts["meaning"], "bold")
