"""The closing words of a scan, on stderr: what was scanned, what was found, how sure, and the next command to type."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from zcurate.report.report import Report

BLOCKS = " ▁▂▃▄▅▆▇█"
N_BINS = 24
COLORS = {"incorrect": "red", "hard": "yellow", "outlier": "magenta", "clean": "green"}


def print_summary(report: Report, path: str, verbose: bool) -> None:
    """Print the summary on stderr, at most as wide as the terminal.

    Args:
        report: a scan's result.
        path: where it was written.
        verbose: say what was left out and how long each stage took.
    """
    width = None if sys.stderr.isatty() else 80
    console = Console(file=sys.stderr, highlight=False, width=width)
    card = report.card
    console.print(describe_scan(report), markup=False)
    if verbose:
        for line in details(card):
            console.print(line, markup=False)
    console.print()
    if card["partial"]:
        console.print("training was cut short by --time-limit; probabilities are less sure", markup=False)
    if not card["judged"]:
        console.print(f"could not judge: {card['why_unjudged']}", markup=False)
        console.print("every labelled row is 'unjudged'; z-scores and training columns are in the report", markup=False)
    else:
        console.print(verdict_table(report))
        console.print()
        for line in [*findings(card), *below_cut(report)]:
            console.print(line, markup=False)
        histograms(report, console)
    console.print(f"\nreport  {path}", markup=False, soft_wrap=True)
    console.print(f"next    {next_command(report, path)}", markup=False, soft_wrap=True)


def describe_scan(report: Report) -> str:
    """One line: rows, columns, label, task, model."""
    card = report.card
    columns = card["columns"]
    kinds: dict[str, int] = {}
    for feature in columns["features"]:
        kinds[feature["kind"]] = kinds.get(feature["kind"], 0) + 1
    what = ", ".join(f"{n} {plural(kind, n)}" for kind, n in kinds.items())
    if columns["pictures"]:
        channels, height, width = columns["pictures"]
        what = f"pictures seen at {width}x{height} {'grey' if channels == 1 else 'colour'}"
    n_classes = len(card["classes"])
    task = f"{n_classes} classes" if n_classes else "regression"
    skipped = f", {card['n_skipped']} unreadable" if card["n_skipped"] else ""
    return (
        f"{len(report)} rows{skipped} · {what}\nlabel '{columns['label']}': {task} ({card['task']['why']})\n"
        f"model {card['model']['name']} ({card['model']['why']}) on {card['device']}, {card['seconds']['total']:.1f} s"
    )


def plural(kind: str, n: int) -> str:
    """`category` -> `categories`."""
    if n == 1:
        return kind
    return kind[:-1] + "ies" if kind.endswith("y") else kind + "s"


def details(card: dict[str, Any]) -> list[str]:
    """What was left out, what could not be read, and where the time went."""
    out = [f"left out  {entry['name']}: {entry['why']}" for entry in card["columns"]["left_out"]]
    out += [f"skipped   row {entry['row']}: {entry['reason']}" for entry in card["skipped"][:10]]
    skill = card["skill"]
    out.append(f"skill     held-out {skill['measure']} {skill['value']:.3f}, chance {skill['chance']:.3f}")
    out.append(f"rounds    {card['model']['n_epochs']} epochs, {card['model']['folds']} members each")
    if "heldout" in card:
        out.append("held-out  " + ", ".join(f"{name} {weight:.2g}" for name, weight in card["heldout"].items()))
    out.append("clues     " + ", ".join(f"{name} {weight:.2g}" for name, weight in card["clues"].items()))
    out.append("cost      " + ", ".join(f"{name} {spent:.2f} s" for name, spent in card["costs"].items()))
    out.append("seconds   " + ", ".join(f"{name} {spent:.2f}" for name, spent in card["seconds"].items()))
    return out


def verdict_table(report: Report) -> Table:
    """Rows per verdict, with what is expected of `incorrect`."""
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column()
    expected = report.card["expected"]
    for word, n in report.counts().items():
        told = ""
        if word == "hard" and expected.get("hard_cases"):
            told = f"{percent(expected['hard_called'])} of the hard cases it made would be called incorrect"
        if word == "incorrect" and expected["precision"] is not None:
            told = f"expected precision {percent(expected['precision'])}, recall {percent(expected['recall'])} of planted errors"
        grid.add_row(f"[{COLORS[word]}]{word}[/]" if word in COLORS else word, str(n), told)
    return grid


def percent(share: float | None) -> str:
    """`93 %`; a dash where nothing is known."""
    return "–" if share is None else f"{100 * share:.0f} %"


def findings(card: dict[str, Any]) -> list[str]:
    """Noise rate, the worst classes and the most frequent pairs."""
    rate = card["noise_rate"]
    out = [f"wrong labels: about {100 * rate['estimate']:.1f} % ({100 * rate['low']:.1f} to {100 * rate['high']:.1f} %)"]
    worst = sorted((entry for entry in card["classes"] if entry["noise_rate"] and entry["rows"] >= 10), key=lambda entry: -entry["noise_rate"])[:3]
    if len(card["classes"]) > 2 and worst:
        out.append("worst classes: " + ", ".join(f"{entry['name']} {100 * entry['noise_rate']:.0f} %" for entry in worst))
    elif worst:
        out.append("by class: " + ", ".join(f"{entry['name']} {100 * entry['noise_rate']:.0f} %" for entry in worst))
    if card["pairs"] and card["pairs"][0]["rows"]:
        out.append("most frequent: " + ", ".join(f"{entry['given']} → {entry['suggested']} ({entry['rows']})" for entry in card["pairs"][:4] if entry["rows"]))
    if card.get("n_copies_disagree"):
        out.append(f"copies: {card['n_copies_disagree']} rows have exact or near copies with another label (column copies_other)")
    return out


def below_cut(report: Report) -> list[str]:
    """How many rows are more likely wrong than right but lie below the cut, whatever they are called."""
    n = report.below_cut()
    return [f"below the cut: {n} rows more likely wrong than right (zcurate report --top {report.counts().get('incorrect', 0) + n})"] if n else []


def histograms(report: Report, console: Console) -> None:
    """z-scores and mask frequency by verdict, as rows of blocks."""
    for name, title in (("z_score", "z-score"), ("mask_frequency", "masked")):
        values = report.table.column(name).to_numpy().astype(float)
        known = ~np.isnan(values)
        if not known.any():
            continue
        low, high = np.quantile(values[known], [0.001, 0.999])
        high = max(high, low + 1e-6)
        console.print(f"\n{title:<10}{low:>6.2f} {'':{N_BINS}} {high:.2f}", markup=False)
        for word in ("clean", "hard", "incorrect", "outlier"):
            mine = values[known & report.called(word)]
            if len(mine):
                count, _ = np.histogram(np.clip(mine, low, high), bins=N_BINS, range=(low, high))
                console.print(f"  [{COLORS[word]}]{word:<14}[/] {block_bar(count)}")


def block_bar(count: np.ndarray) -> str:
    """Counts as blocks, square-root scale so that small bins are seen."""
    scaled = np.sqrt(count / max(1, count.max()))
    return "".join(BLOCKS[0 if n == 0 else max(1, round(s * 8))] for n, s in zip(count, scaled, strict=True))


def next_command(report: Report, path: str) -> str:
    """What to type next."""
    name = f"'{path}'" if " " in path else path
    if report.counts().get("incorrect"):
        return f"zcurate report {name} --top 20"
    return f"zcurate report {name} --top 20\n        nothing is called incorrect; these are the most suspicious rows"
