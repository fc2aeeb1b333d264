"""What `explain` prints of one row on stdout: sections in plain words, at most 80 columns in a pipe; bold and colour on a terminal only.

Leaves: text. Enters: a dict of `dossier.compose`.
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from zcurate.cli.render.charts import ABOVE, BELOW, MARK, SHADES, WIDTH, bar, chart
from zcurate.cli.render.scan_summary import COLORS, percent
from zcurate.report.explain.explain import label_text

COLUMNS = 80
STRONG, WEAK = 0.8, 0.5
"""A clue's place from which its words hold, and below which they do not; the judge names reasons from the first on."""
TITLES = {"loss": "loss, high = bad", "margin": "margin, low = bad", "z": "z [sigma], high = bad"}
OF_TARGETS = {**TITLES, "z": "z [sigma], far from 0 = bad"}
"""Regression's errors are signed."""
STYLES = {MARK: "bold", ABOVE: "bold", BELOW: "bold", SHADES[True, False]: "green", SHADES[False, True]: "red", SHADES[True, True]: "yellow"}
BAR = 30
MOST_KEY = 20
"""Longer ids make room for the values beside them; rows go by their number then."""


def print_row(facts: dict[str, Any]) -> None:
    """Print one row.

    Args:
        facts: of `dossier.compose`.
    """
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else COLUMNS)
    with console.capture() as page:
        for part in (heading, cut, heldout, curves, clues, values, neighbours, closing):
            part(facts, console)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in page.get().splitlines()))


def section(console: Console, title: str, remark: str = "") -> None:
    """An empty line and a title, with a remark beside it."""
    console.print()
    console.print(Text.assemble((title, "bold"), (f"  {remark}" if remark else "", "dim")))


def say(console: Console, text: str, style: str = "") -> None:
    """Plain words, folded at the width."""
    console.print(Text(text, style))


def grid(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table without boxes; columns of `right` are to the right, those and the first are never folded."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), show_header=any(columns))
    for at, name in enumerate(columns):
        table.add_column(Text(name), justify="right" if name in right else "left", no_wrap=name in right or at == 0, overflow="fold")
    return table


def heading(facts: dict[str, Any], console: Console) -> None:
    """Which row, what is given, what is suggested, and the verdict with its probabilities."""
    keys = [f"{name} {facts[name]}" for name in ("id", "path") if facts.get(name) is not None]
    say(console, " · ".join([f"row {facts['row']}", *keys]), "bold")
    change = f", suggested {label_text(facts['suggested'])}" if facts["suggested"] not in (None, facts["given"]) else ""
    say(console, f"{facts['label']}: {label_text(facts['given'])} given{change}")
    told = Text.assemble((facts["verdict"], COLORS.get(facts["verdict"], "")))
    if facts["p_incorrect"] is not None:
        told.append(f"  p {facts['p_incorrect']:.2f} wrong, {facts['p_hard']:.2f} right but hard, {facts['p_outlier']:.2f} of no class")
    if facts["rank"] is not None:
        told.append(f"; rank {facts['rank']} of {facts['ranked']}")
    console.print(told)
    for reason in facts["reasons"]:
        say(console, f"  - {reason['words']}")


def cut(facts: dict[str, Any], console: Console) -> None:
    """Where `incorrect` begins and how the row compares."""
    found = facts["cut"]
    if found is None:
        return
    section(console, "Where the cut lies")
    p, threshold = facts["p_incorrect"], found["threshold"]
    word = "called" if facts["verdict"] == "incorrect" else "not called"
    side = "above" if found["above"] else "not above"
    say(console, f"Rows with p above {threshold:.2f} are called incorrect; {p:.2f} is {side}, so it is {word} so.")
    say(console, f"Of the {found['planted']} errors that the scan planted itself {percent(found['recall'])} lie above the cut;")
    say(console, f"of the rows called incorrect {percent(found['precision'])} are expected to be wrong.")
    at = found["at_row"]
    if at is not None:
        say(console, f"{at['found']:.0f} of the planted errors ({percent(at['recall'])}) lie above p {at['cut']:.2f}, as this row does.")
    elif found["planted"]:
        say(console, "The row lies below p 0.10, where few of the planted errors lie.")


def heldout(facts: dict[str, Any], console: Console) -> None:
    """What models that never trained on the row predict."""
    found = facts["heldout"]
    if found is None or facts["verdict"] == "skipped":
        return
    section(console, "What models that never saw the row predict")
    if facts["task"] == "regression":
        targets(facts, console)
        return
    table = grid("class", "p", "", right=("p",))
    table.show_header = False
    for entry in found:
        marks = ["given"] if entry["class"] == facts["given"] else ["suggested"] if entry["class"] == facts["suggested"] else []
        table.add_row(Text(entry["class"]), f"{entry['p']:.2f}", Text(f"{bar(entry['p'], BAR)}{' ' if marks and entry['p'] > 0 else ''}{', '.join(marks)}"))
    table.columns[0].no_wrap, table.columns[0].max_width = False, 30
    console.print(table)


def targets(facts: dict[str, Any], console: Console) -> None:
    """Regression: given against predicted."""
    found = facts["heldout"]
    table = grid("", "")
    table.add_row("predicted", label_text(facts["predicted"]))
    table.add_row("interval", f"{label_text(found['interval_low'])} to {label_text(found['interval_high'])} (90 % of right targets)")
    table.add_row("given", label_text(facts["given"]))
    if found["residual"] is not None:
        table.add_row("residual", f"{found['residual']:+.6g}, which is {found['residual_z']:+.1f} predicted standard deviations")
    console.print(table)


def curves(facts: dict[str, Any], console: Console) -> None:
    """Loss, margin and z over the epochs against both bands."""
    found = facts["curves"]
    if found is None:
        return
    section(console, "While training on it")
    whose = "all rows" if facts["task"] == "regression" else f"the rows labelled {label_text(facts['given'])}"
    say(console, f"{MARK} this row")
    say(console, f"{SHADES[True, False]} the middle 80 % of {whose} ({found['rows']})", "green")
    if found["planted"]:
        say(console, f"{SHADES[False, True]} the middle 80 % of the planted errors ({found['planted']})", "red")
        say(console, f"{SHADES[True, True]} both bands", "yellow")
    if found["later_round"]:
        say(
            console,
            "The first round was shown another label of this row on purpose; its curve is of a later, shorter round, the bands mostly of the first.",
        )
    for name, title in (OF_TARGETS if facts["task"] == "regression" else TITLES).items():
        one = found[name]
        console.print()
        say(console, f"{title}: {ends(one, 'all rows' if facts['task'] == 'regression' else 'its class')}")
        for line in chart(one["row"], one["class"], one["planted"], max(8, min(WIDTH, console.width - 12))):
            console.print(colored(line), no_wrap=True, overflow="crop")


def ends(one: dict[str, Any], whose: str) -> str:
    """`1.93 at the end, its class 0.21, planted 1.6`: where the row ends, and the bands' middles there.

    Args:
        one: a curve and its bands.
        whose: what the first band is of.
    """
    n = len(one["row"])
    middles = [(word, one[key]["middle"][n - 1]) for word, key in ((whose, "class"), ("planted", "planted")) if one[key] and len(one[key]["middle"]) >= n]
    return ", ".join([f"{one['row'][-1]:.3g} at the end", *(f"{word} {value:.3g}" for word, value in middles)])


def colored(line: str) -> Text:
    """A chart's line with its bands in colour."""
    text = Text()
    for character in line:
        text.append(character, STYLES.get(character, ""))
    return text


def clues(facts: dict[str, Any], console: Console) -> None:
    """Which clues counted how much, in words."""
    found = facts["clues"]
    if not found:
        return
    section(console, "Clues", "place: share of the rows that look less suspicious")
    table = grid("clue", "weight", "place", "in words", right=("weight", "place"))
    for entry in found:
        table.add_row(entry["clue"], f"{entry['weight']:.2f}", "–" if entry["place"] is None else percent(entry["place"]), Text(words_of(entry)))
    console.print(table)


def words_of(entry: dict[str, Any]) -> str:
    """A clue's words as far as they hold for the row."""
    if entry["place"] is None:
        return "cannot tell"
    held = "" if entry["place"] >= STRONG else "a little: " if entry["place"] >= WEAK else "not so: "
    return f"{held}{entry['words']}{'' if entry['weight'] else ' (does not count)'}"


def values(facts: dict[str, Any], console: Console) -> None:
    """The columns that speak most against the label."""
    if not facts["telling"]:
        return
    section(console, "Its values that speak most against the label")
    for word in facts["telling"]:
        say(console, f"  {word}")


def neighbours(facts: dict[str, Any], console: Console) -> None:
    """The rows most like it, with their labels."""
    found = facts["nearest"]
    if found is None:
        if facts["nearest_missing"]:
            section(console, "Rows most like it")
            say(console, f"not shown — {facts['nearest_missing']}")
        return
    section(console, "Rows most like it", found["measure"])
    entries, names = (found["itself"], *found["rows"]), list(found["itself"]["values"])
    key = next((name for name in ("id", "path") if name in found["itself"]), "row")
    if names and max(len(str(entry[key])) for entry in entries) > MOST_KEY:
        key = "row"
    table = grid(key, "given", "verdict", "distance", *names, right=("distance",))
    table.columns[0].no_wrap = False
    for entry in entries:
        far = "itself" if entry is found["itself"] else f"{entry['distance']:.2f}"
        verdict = Text(str(entry["verdict"]), COLORS.get(str(entry["verdict"]), ""))
        name = entry["row"] if entry[key] is None else entry[key]
        table.add_row(Text(str(name)), Text(label_text(entry["given"])), verdict, far, *(Text(str(value)) for value in entry["values"].values()))
    console.print(table)


def closing(facts: dict[str, Any], console: Console) -> None:
    """What is missing, and what it comes to."""
    if facts["missing"]:
        console.print()
        say(console, f"written by an older zcurate: no {', '.join(facts['missing'])} in the report; scan again to see more", "dim")
    console.print()
    say(console, facts["meaning"], "bold")
