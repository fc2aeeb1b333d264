"""Which scans may replace a report."""

from __future__ import annotations

import dataclasses

import pytest

from zcurate.config.options import ScanOptions
from zcurate.report.comparison import FREE, differences


def card(task="multiclass", **options):
    """Run card of a scan with these options that found label `species`."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(ScanOptions(**options)).items()}
    return {"options": plain, "columns": {"label": "species"}, "task": {"kind": task}, "input": {"format": "csv"}, "model": {"name": "mlp"}}


def test_the_same_options_do_not_differ():
    assert differences(card(), ScanOptions(), None) == ("", "")
    assert differences(card(exclude=("a", "b")), ScanOptions(exclude=("b", "a")), None) == ("", "")


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": 0.7},
        {"precision": 0.9},
        {"budget": 5},
        {"device": "cpu"},
        {"time_limit": "10m"},
        {"memory": "4GB"},
        {"max_bad": "50%"},
        {"verbose": True},
        {"json": True},
    ],
)
def test_what_does_not_change_the_question_may_differ(settings):
    assert differences(card(), ScanOptions(**settings), None) == ("", "")


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({}, {"label": "sex"}, ("--label species", "--label sex")),
        ({}, {"id": "key"}, ("no --id", "--id key")),
        ({"id": "key"}, {}, ("--id key", "no --id")),
        ({"group": "g"}, {"group": "h"}, ("--group g", "--group h")),
        ({}, {"exclude": ("a", "b")}, ("no --exclude", "--exclude a --exclude b")),
        ({"image": "p", "root": "r"}, {}, ("--image p --root r", "no --image no --root")),
        ({}, {"task": "regression"}, ("--task multiclass", "--task regression")),
        ({}, {"input_format": "tsv"}, ("--input-format csv", "--input-format tsv")),
        ({}, {"model": "linear"}, ("--model auto", "--model linear")),
        ({"seed": 1}, {}, ("--seed 1", "--seed 0")),
        ({"epochs": 5}, {}, ("--epochs 5", "no --epochs")),
    ],
)
def test_what_changes_the_question_differs(before, now, told):
    assert differences(card(**before), ScanOptions(**now), None) == told


def test_what_was_inferred_is_compared_not_what_was_typed():
    same = ScanOptions(label="species", task="multiclass", input_format="csv", model="mlp")
    assert differences(card(), same, None) == ("", "")
    assert differences(card(task="regression"), ScanOptions(task="binary"), None) == ("--task regression", "--task binary")


def test_a_report_without_a_newer_option_had_its_default():
    older = card()
    del older["options"]["group"]
    assert differences(older, ScanOptions(), None) == ("", "")
    assert differences(older, ScanOptions(group="g"), None) == ("no --group", "--group g")


def test_every_free_option_exists():
    assert set(FREE) < {field.name for field in dataclasses.fields(ScanOptions)}
