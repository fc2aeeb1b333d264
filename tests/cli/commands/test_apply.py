"""`zcurate apply`: a dry run, a copy, and the way back."""

from __future__ import annotations

import shutil


def test_the_command_shows_what_it_would_do(run, here, scanned):
    for path in scanned[:2]:
        shutil.copy(path, here / path.name)
    code, out, _ = run("apply", "blobs.zcurate.parquet", "--dry-run", "--action", "relabel", "--data", "blobs.csv")
    assert code == 0
    assert "rows would be dropped" in out
    assert "→" in out
    assert not (here / "new.csv").exists()
    code, _, err = run("apply", "blobs.zcurate.parquet", "-o", "new.csv", "--data", "blobs.csv")
    assert (code, "written   new.csv" in err) == (0, True)
    code, _, err = run("apply", "--undo", "new.csv.changes.jsonl")
    assert (code, (here / "new.csv").read_bytes()) == (0, scanned[0].read_bytes())
    code, _, err = run("apply", "blobs.zcurate.parquet")
    assert code == 2
    assert "where to?" in err
    (here / "no.log").write_text("{}")
    code, _, err = run("apply", "--undo", "no.log")
    assert (code, "is no change log" in err) == (2, True)
