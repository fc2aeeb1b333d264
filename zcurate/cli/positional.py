"""Messages for a missing input and for words that the command does not expect."""

from __future__ import annotations

import os
import shlex

from zcurate.cli.completion import is_readable
from zcurate.config.options import ScanOptions
from zcurate.config.verdicts import VERDICTS
from zcurate.data.partitions import REPORT_ENDING
from zcurate.errors import UsageError


def need_data(data: str | None, command: str) -> str:
    """Return the input that was named.

    Args:
        data: as typed; None where nothing was.
        command: its name.

    Raises:
        UsageError: there is none; suggests a table in the current folder.
    """
    if data is None:
        example = next((shlex.quote(name) for name in sorted(os.listdir(".")) if is_readable(name)), "data.csv --label COL")
        raise UsageError(f"{command}: no DATA — expected a table, a folder of pictures, or - for standard input — try zcurate {command} {example}")
    return data


def refuse_extra(command: str, first: str, extra: list[str]) -> None:
    """Refuse words after the only argument of a command, and say what to type instead.

    Args:
        command: its name.
        first: the argument.
        extra: words after it; none is fine.

    Raises:
        UsageError: there are some.
    """
    if not extra:
        return
    word, start = extra[0], f"zcurate {command} {shlex.quote(first)}"
    name, _, value = word.partition("=")
    if command == "report":
        expected = "one report"
        verdict = f"{start} --verdict {word.lower()}" if word.lower() in VERDICTS else ""
        cure = verdict or (f"{start} --top {word}" if word.isdigit() else "zcurate report --help lists the options")
    elif value and name.replace("-", "_") in ScanOptions.__dataclass_fields__:
        expected, cure = "options with dashes", f"{start} --{name} {shlex.quote(value)}"
    elif os.path.exists(first) and all(os.path.exists(path) for path in extra):
        expected = f"one input, not {len(extra) + 1}"
        cure = f"name their folder, or put the pattern in quotes: zcurate {command} {pattern_of([first, *extra])}"
    elif os.path.exists(word) and not os.path.exists(first):
        expected = "DATA before it"
        cure = f"zcurate {command} {shlex.quote(word)} --label {shlex.quote(first)}"
    else:
        expected = "one input"
        cure = f"if it is the column with the labels: {start} --label {shlex.quote(word)}"
    raise UsageError(f"{command}: '{word}' after '{first}' — expected {expected} — {cure}")


def pattern_of(paths: list[str]) -> str:
    """Write the quoted pattern that files of one folder and ending come from, such as `'parts/*.csv'`."""
    folders, endings = {os.path.dirname(path) for path in paths}, {os.path.splitext(path)[1] for path in paths}
    folder = folders.pop() if len(folders) == 1 else "FOLDER"
    return f"'{os.path.join(folder, '*')}{endings.pop() if len(endings) == 1 else ''}'"


def refuse_path_as_command(words: list[str], commands: set[str]) -> None:
    """Refuse an input where a command is expected.

    Args:
        words: of the command line.
        commands: names of the commands.

    Raises:
        UsageError: the first word is a file or a folder; says which command reads it.
    """
    if words and words[0] not in commands and not words[0].startswith("-") and os.path.exists(words[0]):
        command = "report" if words[0].rstrip("/").endswith(REPORT_ENDING) else "scan"
        rest = "".join(f" {shlex.quote(word)}" for word in words)
        raise UsageError(f"{words[0]}: a path — expected a command first: {', '.join(sorted(commands))} — zcurate {command}{rest}")
