"""Print the summary of a scan on stderr: what was scanned, what was found, how reliable it is, and the next command."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from zcurate.cli.render.charts import histogram
from zcurate.cli.render.numbers import percent, percent_range, rate_with_interval
from zcurate.config.model_config import NO_MODEL
from zcurate.report.formats.table import COLORS
from zcurate.report.histograms import histograms
from zcurate.report.report import Report
from zcurate.runtime.safe_text import visible, visible_values

N_BINS, N_TOP = 24, 5
"""Bins of a histogram, and rows shown."""
MIN_UNKNOWN, UNKNOWN_RATIO = 0.05, 3.0
"""Width of the interval of the share of wrong labels, and ratio of its ends, from which that share is hardly known; by taste."""


def print_summary(report: Report, path: str, verbose: bool) -> None:
    """Print the summary on stderr, at most as wide as the terminal.

    Args:
        report: a scan's result.
        path: where it was written.
        verbose: also list the columns left out, the skill, the clues' weights and the time of each stage.
    """
    width = None if sys.stderr.isatty() else 80
    console = Console(file=sys.stderr, highlight=False, emoji=False, width=width)
    report = dataclasses.replace(report, card=visible_values(report.card))
    card, path = report.card, visible(path)
    console.print(describe_scan(report), markup=False)
    if verbose:
        for line in details(card):
            console.print(line, markup=False)
    console.print()
    if card["partial"]:
        console.print("training was stopped by --time-limit; the probabilities are less reliable", markup=False)
    if not card["judged"]:
        console.print(f"could not judge: {card['why_unjudged']}", markup=False)
        kept = "" if card["model"]["name"] == NO_MODEL else "; z-scores and training columns are in the report"
        console.print(f"every labelled row is 'unjudged'{kept}", markup=False)
    else:
        console.print(verdict_table(report))
        console.print()
        for line in [*findings(card), *below_threshold(report)]:
            console.print(line, markup=False)
        print_histograms(report, console)
    print_top(report, console)
    console.print(f"\nreport  {path}", markup=False, soft_wrap=True)
    for title, command in next_commands(report, path):
        console.print(f"{title:<7} {command}", markup=False, soft_wrap=True)


def print_top(report: Report, console: Console) -> None:
    """Print the most suspicious rows; none where no row is judged."""
    if not report.card["judged"]:
        return
    from zcurate.report.formats.table import render_table

    table = report.top(N_TOP)
    names = [name for name in ("id", "path") if name in table.column_names][:1] or ["row"]
    shown = [*names, "given", "suggested", "p_incorrect", "verdict", "reasons"]
    console.print("\nmost suspicious", markup=False)
    console.print(render_table(table.select(shown)))


def describe_scan(report: Report) -> str:
    """Describe rows, columns, label, task and model in three lines."""
    card = report.card
    columns = card["columns"]
    kinds: dict[str, int] = {}
    for feature in columns["features"]:
        kinds[feature["kind"]] = kinds.get(feature["kind"], 0) + 1
    features = ", ".join(f"{n} {plural(kind, n)}" for kind, n in kinds.items())
    if columns["pictures"]:
        channels, height, width = columns["pictures"]
        features = f"pictures at {width}x{height} {'grey' if channels == 1 else 'colour'}"
    n_classes = len(card["classes"])
    task = f"{n_classes} classes" if n_classes else "regression"
    skipped = f", {card['n_skipped']} unreadable" if card["n_skipped"] else ""
    return (
        f"{len(report)} rows{skipped}{' · ' if features else ''}{features}\nlabel '{columns['label']}': {task} ({card['task']['why']})\n"
        f"model {card['model']['name']} ({card['model']['why']}) on {card['device']}, {card['seconds']['total']:.1f} s"
    )


def plural(kind: str, n: int) -> str:
    """Form the plural of a column kind: `category` -> `categories`."""
    if n == 1:
        return kind
    return kind[:-1] + "ies" if kind.endswith("y") else kind + "s"


def details(card: dict[str, Any]) -> list[str]:
    """List columns left out, rows skipped, the skill, the weights of models and clues, and the timings."""
    out = [f"left out  {entry['name']}: {entry['why']}" for entry in card["columns"]["left_out"]]
    out += [f"skipped   {skipped_row(entry)}: {entry['reason']}" for entry in card["skipped"][:10]]
    out += [f"passed    {n} files ending in {ending}" for ending, n in card.get("passed_over", {}).items()]
    skill = card["skill"]
    out.append(f"skill     held-out {skill['measure']} {skill['value']:.3f}, chance {skill['chance']:.3f}")
    out.append(f"rounds    {card['model']['n_epochs']} epochs, {card['model']['folds']} members each")
    if "heldout" in card:
        out.append("held-out  " + ", ".join(f"{name} {weight:.2g}" for name, weight in card["heldout"].items()))
    out.append("clues     " + ", ".join(f"{name} {weight:.2g}" for name, weight in card["clues"].items()))
    out.append("timings   " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in card["costs"].items()))
    out.append("stages    " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in card["seconds"].items()))
    return out


def skipped_row(entry: dict[str, Any]) -> str:
    """Name a row that could not be read, with the path of a picture."""
    return f"row {entry['row']}" + (f", {entry['path']}" if entry.get("path") else "")


def verdict_table(report: Report) -> Table:
    """Tabulate the rows per verdict, with the precision and recall expected of `incorrect`."""
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column()
    expected = report.card["expected"]
    for word, n in report.counts().items():
        remark = ""
        if word == "hard" and expected.get("hard_cases"):
            remark = f"{percent(expected['hard_called'])} of synthetic hard examples would be flagged"
        if word == "suspect":
            remark = "worth a person's look"
        if word == "incorrect" and expected["precision"] is not None:
            cautious = "" if expected.get("precision_cautious") is None else f", cautiously {percent(expected['precision_cautious'])}"
            recall = "" if expected["recall"] is None else f", recall {percent(expected['recall'])} of planted errors"
            remark = f"expected precision {percent(expected['precision'])}{cautious}{recall}"
        grid.add_row(f"[{COLORS[word]}]{word}[/]" if word in COLORS else word, str(n), remark)
    return grid


def findings(card: dict[str, Any]) -> list[str]:
    """List the noise rate, the noisiest classes, the most frequent pairs, and copies with different labels."""
    out = [rate_line(card["noise_rate"])]
    if drift := card.get("drift"):
        agreement = "" if drift["agreement"] is None else f", label as predicted {percent(drift['agreement'])} ({percent(drift['agreement_before'])})"
        out.append(f"beside the earlier {drift['rows_before']} rows: far from every class {percent(drift['far'])} ({percent(drift['far_before'])}){agreement}")
    if card["model"]["name"] == NO_MODEL:
        out.append("no errors were planted: how many are wrong is read off the labels of the rows of which --probabilities is most sure")
    worst = sorted((entry for entry in card["classes"] if entry["noise_rate"] and entry["rows"] >= 10), key=lambda entry: -entry["noise_rate"])[:3]
    if worst:
        heading = "worst classes" if len(card["classes"]) > 2 else "by class"
        out.append(f"{heading}: " + ", ".join(f"{entry['name']} {percent(entry['noise_rate'])}" for entry in worst))
    if card["pairs"] and card["pairs"][0]["rows"]:
        out.append("most frequent: " + ", ".join(f"{entry['given']} → {entry['suggested']} ({entry['rows']})" for entry in card["pairs"][:4] if entry["rows"]))
    if people := card.get("annotators"):
        known = [entry for entry in people["annotators"] if entry["reliability"] is not None]
        named = ", ".join(f"{entry['name']} {percent(entry['reliability'])}" for entry in known[:4])
        out.append(f"annotators, the least reliable first: {named}" + (f" and {len(known) - 4} more" if len(known) > 4 else ""))
        out.append(f"one more label could settle {people['want_label']} rows (column wants_label)")
    if (of_slices := card.get("slices")) and of_slices["slices"]:
        out.append(f"{'slices of ' + of_slices['column']:<20.20} {'rows':>7}  {'wrong':<22} {'flagged':>7} {'accuracy':>9} {'masked':>7}")
        out += [slice_line(entry) for entry in of_slices["slices"][:N_TOP]]
    if found := dict(card.get("picture_findings", {})):
        n_groups = found.pop("duplicate_groups", 0)
        groups = f" in {n_groups} groups (column duplicate_group)" if n_groups else ""
        words = [f"{n} {code.replace('_', ' ')}{groups if code == 'near_duplicate' else ''}" for code, n in found.items()]
        out.append("pictures: " + ", ".join(words))
    if card.get("n_copies_disagree"):
        out.append(f"copies: {card['n_copies_disagree']} rows have exact or near copies with another label (column copies_other)")
    return out


def rate_line(rate: dict[str, Any]) -> str:
    """Say how many labels are wrong, and where that is hardly known, what would tell."""
    estimate, low, high = (rate[name] for name in ("estimate", "low", "high"))
    if estimate is None or low is None or high is None or high - low < MIN_UNKNOWN or high < UNKNOWN_RATIO * low:
        return f"wrong labels: about {rate_with_interval(rate)}"
    return f"wrong labels: {percent_range(low, high)}, best guess {percent(estimate)} — 25 answers narrow that: zcurate review"


def slice_line(entry: dict[str, Any]) -> str:
    """Describe a slice in one line."""
    noise = rate_with_interval({"estimate": entry["noise"], "low": entry["noise_low"], "high": entry["noise_high"]})
    flagged, skill, masked = ("" if entry[name] is None else percent(entry[name]) for name in ("flagged", "skill", "masked"))
    return f"  {entry['name']:<18.18} {entry['rows']:>7}  {noise:<22} {flagged:>7} {skill:>9} {masked:>7}"


def below_threshold(report: Report) -> list[str]:
    """Count the rows that are more likely wrong than right but not called incorrect, and name the command that lists them."""
    n = report.below_cut()
    return [f"below the threshold: {n} rows more likely wrong than right (zcurate report --top {report.counts().get('incorrect', 0) + n})"] if n else []


def print_histograms(report: Report, console: Console) -> None:
    """Print histograms of z-score and mask frequency, a line per verdict."""
    titles = {"z_score": "z-score", "mask_frequency": "masked"}
    for one in histograms(report, ("clean", "hard", "suspect", "incorrect", "outlier"), N_BINS):
        console.print(f"\n{titles[one.column]:<10}{one.low:>6.2f} {'':{N_BINS}} {one.high:.2f}", markup=False)
        for word, count in one.counts.items():
            console.print(f"  [{COLORS[word]}]{word:<14}[/] {histogram(count)}")


def next_commands(report: Report, path: str) -> list[tuple[str, str]]:
    """List what to type next: to look, to decide, to learn from the decisions, and to clean the data."""
    name = f"'{path}'" if " " in path or "\\" in path else path
    if not report.card["judged"]:
        return [("look", f"zcurate report {name} --top 20")]
    from zcurate.report.decision_files import file_beside

    decisions = file_beside(path)
    decisions = f"'{decisions}'" if " " in decisions else decisions
    return [
        ("look", f"zcurate report {name} --top 20"),
        ("decide", f"zcurate review {name}"),
        ("learn", f"zcurate update {name} --decisions {decisions}"),
        ("clean", f"zcurate apply {name} --action relabel -o OUT"),
    ]
