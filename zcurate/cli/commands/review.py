"""`zcurate review [REPORT]`: ask a person about rows, one at a time; every answer is on the disk before the next row is shown."""

from __future__ import annotations

import dataclasses
import getpass
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import ReviewOptions
from zcurate.runtime.safe_text import visible

if TYPE_CHECKING:
    from zcurate.cli.keys import Keys
    from zcurate.report.decisions import Decision, FoundDecisions
    from zcurate.report.picks import Picks
    from zcurate.report.report import Report

LIVE_ROWS = 200_000
"""Rows of a report up to which what is known is computed anew after each answer."""


@with_options(ReviewOptions, argument("report", "Report to review [default: the newest here].", "REPORT", complete_report))
def review(report: str | None, options: ReviewOptions) -> None:
    """Decide about rows, one key an answer: is the label right, and which is it?

    The default asks about the 25 rows whose answers tell most; zcurate update then learns from them.

    Examples: zcurate review · zcurate review --pick top -n 100 · zcurate review --list > to_label.csv
    """
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.cli.keys import Keys
    from zcurate.report import picks
    from zcurate.report.decision_files import check_appendable, file_beside
    from zcurate.report.storage import load_named

    loaded = load_named(report)
    path = options.decisions or file_beside(str(loaded.path))
    found = known_decisions(loaded, path)
    if not options.list:
        check_appendable(path)
    picked = picks.pick_rows(loaded, options.pick, options.n, options.seed, picks.rows_of(found))
    if options.list:
        print_list(loaded, picked)
        return
    before = [] if found is None else [*found.decisions, *found.lost]
    Review(loaded, path, picked, options, Keys(), before).run()


def known_decisions(report: Report, path: str) -> FoundDecisions | None:
    """Read the decisions that are there already; None for no file, or an empty one."""
    from zcurate.report.decision_files import read_decisions
    from zcurate.report.decisions import Keys, find_rows

    if not os.path.exists(path) or not os.path.getsize(path):
        return None
    return find_rows(read_decisions(path), Keys.of(report), path)


def print_list(report: Report, picked: Picks) -> None:
    """Print the picked rows as CSV on stdout."""
    from zcurate.cli.streams import Stdout
    from zcurate.config.report_options import ReportOptions
    from zcurate.report.formats.csv import write
    from zcurate.report.picks import list_table

    stdout = Stdout()
    write(list_table(report, picked), cast("BinaryIO", stdout), ReportOptions())
    stdout.flush()


@dataclass
class Review:
    """A review in progress."""

    report: Report
    """The report under review."""
    path: str
    """The decisions file."""
    picked: Picks
    """Rows to ask about, in order."""
    options: ReviewOptions
    """Of the command."""
    keys: Keys
    """The user's answers."""
    before: list[Decision]
    """Decisions of the file before this review."""
    answers: list[Decision] = field(default_factory=list)
    """Decisions of this review."""

    def run(self) -> None:
        """Ask about each row until the user stops."""
        from zcurate.report.explain.explain import explain_rows

        rows = self.picked.row.tolist()
        facts = explain_rows(self.report, str(self.report.path), rows, self.options.data)
        while len(self.answers) < len(rows):
            at = len(self.answers)
            self.show(facts[at], len(rows))
            decision = self.ask(facts[at], at)
            if decision is None:
                break
            if decision == "undo":
                self.undo()
                continue
            self.append(decision)
        self.finish(len(rows))

    def show(self, facts: dict[str, Any], total: int) -> None:
        """Show a row."""
        from zcurate.cli.render import review_screen

        position = review_screen.describe_progress(len(self.answers), total, self.known(), len(self.report))
        review_screen.print_row(facts, position, self.choices(facts), self.picture(facts))

    def choices(self, facts: dict[str, Any]) -> list[str]:
        """Return the labels that have a key: all where they are few, else the most probable ones; none for regression."""
        from zcurate.cli.render.review_screen import MAX_CHOICES

        classes = [entry["name"] for entry in self.report.card["classes"]]
        if len(classes) <= MAX_CHOICES:
            return classes
        likely = [facts["suggested"], *(entry["class"] for entry in facts["heldout"] or ())]
        return list(dict.fromkeys(name for name in likely if name is not None and name in classes))[:MAX_CHOICES]

    def picture(self, facts: dict[str, Any]) -> bytes | None:
        """Read the picture of a row, if it is a file that may be opened; None otherwise."""
        from zcurate.data.file_names import existing
        from zcurate.report import locations

        root, path = locations.root_of(self.report.card), facts.get("path")
        if root is None or path is None or not (self.options.data or locations.may_open(root, self.report)):
            return None
        try:
            with open(existing(path, root), "rb") as file:
                return file.read()
        except OSError:
            return None

    def ask(self, facts: dict[str, Any], at: int) -> Any:
        """Read keys until one answers; return the decision, `undo`, or None to stop."""
        from zcurate.report.decision_files import now
        from zcurate.report.decisions import Decision

        given, key, path = (None if facts.get(name) is None else str(facts[name]) for name in ("given", "id", "path"))
        probability = float(f"{self.picked.draw_probability[at]:.6g}")
        about = Decision(
            "unsure",
            row=int(facts["row"]),
            id=key,
            path=path,
            fingerprint=self.print_of(facts["row"]),
            given=given,
            by=self.options.by or user_name(),
            draw_probability=probability,
        )
        while True:
            key = self.keys.key()
            if key in ("", "q", "Q", "\x1b\x1b"):
                return None
            if key in ("u", "U"):
                return "undo"
            word, label = self.meaning_of(key, facts)
            if word is not None:
                label = None if label is None else str(label)
                word = "keep" if label is not None and label == given else word
                return dataclasses.replace(about, decision=word, label=label if word == "relabel" else None, at=now())
            known = [*(["r"] if facts["suggested"] not in (None, facts["given"]) else []), *(["1-9"] if self.choices(facts) else [])]
            if key not in ("t", "T"):
                shown = visible(key) if key.isprintable() else "that"
                sys.stdout.write(f"  {shown} is no answer here: k, {''.join(f'{one}, ' for one in known)}t, d, c, u or q\n")
            sys.stdout.flush()

    def meaning_of(self, key: str, facts: dict[str, Any]) -> tuple[str | None, Any]:
        """Return the decision and label of a key; (None, None) for no answer."""
        choices = self.choices(facts)
        if key in ("k", "K"):
            return "keep", None
        if key in ("d", "D"):
            return "drop", None
        if key in ("c", "C", "?"):
            return "unsure", None
        if key in ("r", "R") and facts["suggested"] not in (None, facts["given"]):
            return "relabel", facts["suggested"]
        if key.isdigit() and 1 <= int(key) <= len(choices):
            return "relabel", choices[int(key) - 1]
        if key in ("t", "T"):
            label = self.typed_label()
            return (None, None) if label is None else ("relabel", label)
        return None, None

    def typed_label(self) -> str | None:
        """Ask for a label until it is one; None for none."""
        from zcurate.cli.render.review_screen import prompt
        from zcurate.errors import UsageError
        from zcurate.report.decisions import Decision, Keys, known_label

        while True:
            prompt("  label: ")
            label = self.keys.line()
            if not label:
                return None
            try:
                return known_label(Decision("relabel", label, place="answer"), Keys.of(self.report))
            except UsageError as error:
                sys.stdout.write(f"  {visible(str(error))}\n")

    def print_of(self, row: int) -> str | None:
        """Return the fingerprint of a row; None where the report has none."""
        table = self.report.table
        return table.column("fingerprint")[row].as_py() if "fingerprint" in table.column_names else None

    def append(self, decision: Decision) -> None:
        """Write an answer to the file, before the next row is shown."""
        from zcurate.errors import UsageError
        from zcurate.report.decision_files import append_decision

        try:
            append_decision(decision, self.path)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written ({error.strerror}) — expected a file that can — name another with --decisions") from error
        self.answers.append(decision)

    def undo(self) -> None:
        """Take the last answer of this review back, in the file too."""
        from zcurate.report.decision_files import write_decisions

        if self.answers:
            self.answers.pop()
            write_decisions([*self.before, *self.answers], self.path)

    def known(self) -> tuple[float, float, float] | None:
        """Return what the answers say about the share of wrong labels; None where they say nothing, or the report is too long to compute it each time."""
        if not self.answers or (len(self.report) > LIVE_ROWS and len(self.answers) % 5):
            return None
        return self.estimate()

    def estimate(self) -> tuple[float, float, float] | None:
        """Return the expected share of wrong labels after all answers, and its interval."""
        from zcurate.report.decisions import Keys, find_rows
        from zcurate.report.update import taught_by, undo

        if not self.report.card["judged"] or not self.before + self.answers:
            return None
        report = undo(self.report) if self.report.card.get("scan_judgement") else self.report
        taught = taught_by(report, find_rows([*self.before, *self.answers], Keys.of(report), self.path))
        return None if taught is None else taught.rate

    def finish(self, total: int) -> None:
        """Say what is known and what to do next."""
        from zcurate.cli.render.review_screen import describe_progress

        known = self.estimate() if self.answers else None
        sys.stdout.write(f"\n{describe_progress(len(self.answers), total, known, len(self.report))}\n")
        if self.answers:
            sys.stdout.write(f"decisions  {visible(self.path)}\n")
        if self.before or self.answers:
            report, path = (f"'{name}'" if " " in name else name for name in (visible(str(self.report.path)), visible(self.path)))
            sys.stdout.write(f"next       zcurate update {report} --decisions {path}\n")
        sys.stdout.flush()


def user_name() -> str | None:
    """Return the name of the user, for the field `by`; None where the system does not know."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None
