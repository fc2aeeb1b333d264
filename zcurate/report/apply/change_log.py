"""The log of what `zcurate apply` changed, and the way back from it. No torch."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

from zcurate.config.report_options import ApplyOptions
from zcurate.data.source import Source
from zcurate.errors import InputError, UsageError
from zcurate.report.apply.changes import Changes
from zcurate.report.apply.edits import Edit, edited
from zcurate.report.apply.working_text import WorkingText, compressed
from zcurate.report.atomic import guard, whole_file

LOG_ENDING, LOG_VERSION = ".changes.jsonl", 1
"""Of the change log beside the output."""


def hash_of(content: bytes) -> str:
    """Hash the decompressed content of a file."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write_log(path: str, options: ApplyOptions, source: Source, changes: Changes, edits: list[Edit] | None, restored_digest: str) -> None:
    """Write the change log: a line on the whole, a line for each changed row, and of a text the edits that take it back."""
    output = str(options.output)
    head: dict[str, Any] = {"zcurate_changes": LOG_VERSION, "input": os.path.abspath(source.path) if source.path != "-" else "-", "output": output}
    digests = {"input_digest": source.origin().digest, "output_digest": digest_of(output), "restored_digest": restored_digest}
    head |= {**digests, "action": options.action, "dropped": int(changes.drop.sum()), "relabeled": len(changes.label), "added": list(changes.added)}
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps({**head, "edits": None if edits is None else len(edits)}, ensure_ascii=False) + "\n")
        for entry in changes.entries():
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        for begin, end, old in edits or ():
            file.write(json.dumps({"begin": begin, "end": end, "old": base64.b64encode(old).decode()}) + "\n")


def digest_of(path: str) -> str:
    """Hash a file; of a folder only its name is known."""
    if os.path.isdir(path):
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def undo(log: str, output: str | None) -> str:
    """Take a change back: write the file as it was before.

    Args:
        log: the change log.
        output: file to write; None for the changed copy itself.

    Returns:
        The path of the restored file.

    Raises:
        InputError: no change log, or the changed copy is gone or was changed since.
        UsageError: it cannot be taken back, or the output is the input.
    """
    head, edits = read_log(log)
    changed = head["output"] if os.path.exists(head["output"]) else os.path.join(os.path.dirname(log), os.path.basename(head["output"]))
    if not os.path.exists(changed):
        raise InputError(f"{head['output']}: no such file — expected the copy that {log} is about — put it back")
    if os.path.isdir(changed):
        raise UsageError(f"{changed}: is a folder of copies — nothing is to be taken back: the input was never changed — delete the folder")
    if digest_of(changed) != head["output_digest"]:
        raise InputError(f"{changed}: has changed since it was written — expected the same bytes, to take the change back — the input is {head['input']}")
    target = output or changed
    guard(target, [head["input"]])
    if edits is None:
        if os.path.splitext(head["input"])[1].lower() != os.path.splitext(target)[1].lower():
            raise UsageError(f"{changed}: was written in another format than its input — the input, {head['input']}, was never changed: delete the copy")
        if not os.path.isfile(head["input"]) or digest_of(head["input"]) != head["input_digest"]:
            raise UsageError(f"{changed}: is restored from its input, {head['input']}, which is gone or has changed — expected it as it was")
        with open(head["input"], "rb") as file:
            content = file.read()
    else:
        content = restored(changed, edits, head)
    with whole_file(target) as temporary, open(temporary, "wb") as file:
        file.write(content)
    return target


def restored(changed: str, edits: list[Edit], head: dict[str, Any]) -> bytes:
    """Return the content of a text before its edits.

    Args:
        changed: path of the copy.
        edits: that take it back.
        head: of the change log.

    Raises:
        InputError: it would not be what the input was.
    """
    from zcurate.config.options import ScanOptions
    from zcurate.data import discovery

    source = discovery.source_of(changed, ScanOptions())
    text = WorkingText.of(source.read(), source, changed)
    content = text.back(edited(text.content, edits))
    if hash_of(content) != head["restored_digest"]:
        raise InputError(f"{changed}: the change log does not lead back to the input — expected a whole log — the input, {head['input']}, was never changed")
    return compressed(content, changed)


def read_log(path: str) -> tuple[dict[str, Any], list[Edit] | None]:
    """Read a change log: its head, and the edits that take the change back.

    Raises:
        InputError: it is none.
    """
    try:
        with open(path, encoding="utf-8") as file:
            head = json.loads(file.readline())
            if head["zcurate_changes"] != LOG_VERSION:
                raise InputError(f"{path}: change log of version {head['zcurate_changes']} — expected {LOG_VERSION} — update zcurate")
            lines = [json.loads(line) for line in file]
        if head["edits"] is None:
            return head, None
        n_edits = sum("begin" in one for one in lines)
        if n_edits != head["edits"]:
            raise InputError(f"{path}: holds {n_edits} of {head['edits']} edits — expected a whole change log — the input, {head['input']}, was never changed")
        return head, [(int(one["begin"]), int(one["end"]), base64.b64decode(one["old"])) for one in lines if "begin" in one]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}) — expected the change log of zcurate apply") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no change log — expected one that zcurate apply wrote, ending in {LOG_ENDING}") from error
