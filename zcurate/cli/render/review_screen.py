"""One row of `zcurate review` on the screen: what speaks for and against its label, and the keys to answer with."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from zcurate.cli.render.inline_pictures import picture_text, terminal_protocol
from zcurate.cli.render.row_explanation import COLUMNS, print_heading, print_heldout, print_neighbors, print_text, print_typical, print_values
from zcurate.report.explain.explain import format_label
from zcurate.runtime.safe_text import visible, visible_values

MAX_CHOICES = 9
"""Labels that have a key of their own."""


def print_row(facts: dict[str, Any], position: str, choices: list[str], picture: bytes | None) -> None:
    """Print one row and the keys.

    Args:
        facts: of `explain_row`.
        position: how far the review is, and what is known so far.
        choices: labels with the keys 1 to 9.
        picture: content of the row's picture file; None where there is none.
    """
    is_terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, highlight=False, emoji=False, width=None if is_terminal else COLUMNS)
    facts = visible_values(facts)
    if is_terminal:
        console.clear()
    print_text(console, position, "dim")
    console.print()
    print_heading(facts, console)
    how = terminal_protocol()
    if picture is not None and how is not None:
        sys.stdout.write(picture_text(picture, how))
    for section in (print_values, print_heldout, print_neighbors, print_typical):
        section(facts, console)
    console.print()
    print_keys(console, facts, choices)
    sys.stdout.flush()


def print_keys(console: Console, facts: dict[str, Any], choices: list[str]) -> None:
    """Print what each key does."""
    suggested = facts["suggested"] if facts["suggested"] not in (None, facts["given"]) else None
    if choices:
        print_text(console, "  ".join(f"[{at + 1}] {visible(label)}" for at, label in enumerate(choices)))
    relabel = f"[r] it is {format_label(suggested)}  " if suggested is not None else ""
    print_text(console, f"[k] keep {format_label(facts['given'])}  {relabel}[t] type a label  [d] drop the row  [c] cannot tell", "bold")
    print_text(console, "[u] undo  [q] stop; go on any time with the same command")


def describe_progress(done: int, total: int, known: tuple[float, float, float] | None, n_rows: int) -> str:
    """Say how far the review is and what is known so far.

    Args:
        done: answers given.
        total: rows to ask about.
        known: expected share of wrong labels and its interval after the answers; None where it is not known yet.
        n_rows: rows of the report.
    """
    if known is None:
        return f"{done} of {total}"
    rate, low, high = (share * n_rows for share in known)
    return f"{done} of {total}: about {rate:.0f} wrong, {low:.0f} to {high:.0f}"


def prompt(text: str) -> None:
    """Ask for a line."""
    sys.stdout.write(text)
    sys.stdout.flush()
