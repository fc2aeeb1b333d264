"""Check a report against limits, for continuous integration. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from zcurate.config.report_options import CheckOptions
from zcurate.config.units import parse_share
from zcurate.errors import UsageError, did_you_mean, listed
from zcurate.report.diff import newly_flagged
from zcurate.report.formats.markdown import plain_text
from zcurate.report.report import Report


@dataclass(frozen=True)
class Rule:
    """A limit and what was found."""

    name: str
    """The option as typed."""
    holds: bool
    """What was found is within the limit."""
    text: str
    """What was found, what was allowed."""


def check(report: Report, options: CheckOptions, against: Report | None = None) -> list[Rule]:
    """Check every limit that is set.

    Args:
        report: a judged report, with the cut that is wanted.
        options: of `zcurate check`.
        against: the earlier report of `--against`.

    Raises:
        UsageError: a class that is not in the report.
    """
    n_rows = sum(n for word, n in report.counts().items() if word not in ("unlabelled", "skipped", "unjudged"))
    rules = []
    if options.max_incorrect is not None:
        rules.append(count_rule("--max-incorrect", options.max_incorrect, report.counts().get("incorrect", 0), n_rows, "rows are incorrect"))
    if options.max_noise is not None:
        limit, rate = parse_share(options.max_noise, "--max-noise"), report.card["noise_rate"]
        interval = "" if rate["low"] is None else f" ({rate['low']:.1%} to {rate['high']:.1%})"
        found = f"about {rate['estimate']:.1%} of the labels are wrong{interval}, allowed {limit:.1%}"
        rules.append(Rule(f"--max-noise {options.max_noise}", rate["estimate"] <= limit, found))
    if options.max_new is not None and against is not None:
        rules.append(count_rule("--max-new", str(options.max_new), newly_flagged(against, report), n_rows, "rows are newly flagged"))
    classes = {entry["name"]: entry for entry in report.card["classes"]}
    for text in options.class_:
        name, _, limit_text = text.rpartition("=")
        if name not in classes:
            raise UsageError(f"--class {text}: no class '{name}' — classes: {listed(list(classes))}{did_you_mean(name, classes)}")
        entry = classes[name]
        rules.append(count_rule(f"--class {name}=", limit_text, entry["incorrect"], entry["rows"], f"rows of class {name} are incorrect"))
    return rules


def count_rule(name: str, limit: str, found: int, n_rows: int, what: str) -> Rule:
    """Compare a number of rows with a limit: a share such as 2% or 0.02, or a number of rows.

    Args:
        name: of the option.
        limit: as typed.
        found: number of rows.
        n_rows: of which it is a share.
        what: what the rows are, in words.
    """
    shown = f"{name}{'' if name.endswith('=') else ' '}{limit}"
    if limit.strip().isdigit() and int(limit) >= 1:
        return Rule(shown, found <= int(limit), f"{found} {what}, allowed {int(limit)}")
    share = parse_share(limit, name.rstrip("="))
    actual = found / max(1, n_rows)
    return Rule(shown, actual <= share, f"{found} of {n_rows} {what} ({actual:.2%}), allowed {share:.2%}")


def junit(rules: list[Rule], report: str) -> str:
    """Write the rules as a JUnit file: a test case each.

    Args:
        rules: checked.
        report: path of the report.
    """
    cases = []
    for rule in rules:
        failure = "" if rule.holds else f"<failure message={quoteattr(rule.text)}/>"
        cases.append(f"  <testcase classname={quoteattr(report)} name={quoteattr(rule.name)}>{failure}</testcase>")
    n_failed = sum(not rule.holds for rule in rules)
    head = f'<testsuite name="zcurate check" tests="{len(rules)}" failures="{n_failed}" errors="0" skipped="0">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *cases, "</testsuite>", ""])


def step_summary(rules: list[Rule], report: str) -> str:
    """Write the rules as Markdown for the summary of a step."""
    lines = [f"### zcurate check {plain_text(report)}", "", "| rule | | found |", "|---|---|---|"]
    lines += [f"| {plain_text(rule.name)} | {'ok' if rule.holds else '**broken**'} | {plain_text(rule.text)} |" for rule in rules]
    return "\n".join([*lines, ""])
