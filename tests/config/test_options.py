"""Options: defaults, and values that are refused before any data are read."""

from __future__ import annotations

import pytest

from zcurate.config import units
from zcurate.config.options import ReportOptions, ScanOptions, TrialOptions
from zcurate.errors import UsageError


def test_the_defaults_are_usable():
    ScanOptions().check()
    ReportOptions().check()
    TrialOptions().check()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"task": "regresion"}, "did you mean --task regression"),
        ({"device": "gpu"}, "--device: 'gpu' is not known"),
        ({"input_format": "xlsx"}, "--input-format"),
        ({"threshold": 0.5, "budget": 3}, "--threshold and --budget both set the threshold"),
        ({"threshold": 1.5}, "--threshold: 1.5 is out of range"),
        ({"precision": 0.0}, "--precision: 0 is out of range"),
        ({"budget": 0}, "--budget: 0 is out of range"),
        ({"epochs": 0}, "--epochs: 0 is out of range"),
        ({"seed": -1}, "--seed: -1"),
        ({"time_limit": "soon"}, "'soon' is not a duration"),
        ({"max_bad": "half"}, "'half' is not a share"),
    ],
)
def test_invalid_values_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        ScanOptions(**setting).check()


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (None, None), (7.5, 7.5)])
def test_durations(text, value):
    assert units.parse_duration(text) == value


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.05", 0.05), (0.2, 0.2)])
def test_shares(text, value):
    assert units.parse_share(text, "--max-bad") == pytest.approx(value)


def test_report_lists_incorrect_rows_by_default():
    assert ReportOptions().verdicts() == ("incorrect",)
    assert ReportOptions(top=5).verdicts() is None
    assert ReportOptions(top=5, verdict="hard, clean").verdicts() == ("hard", "clean")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"verdict": "incorect"}, "did you mean --verdict incorrect"),
        ({"format": "xml"}, "--format: 'xml'"),
        ({"top": 0}, "--top: 0"),
        ({"min_p": 2.0}, "--min-p: 2"),
        ({"null": True, "format": "csv"}, "-0 with --format csv"),
    ],
)
def test_report_refuses_invalid_values(setting, message):
    with pytest.raises(UsageError, match=message):
        ReportOptions(**setting).check()


@pytest.mark.parametrize(("text", "message"), [("0", "above 0"), ("51%", "at most 50%"), ("many", "is not a share")])
def test_a_trial_plants_some_but_not_most_rows(text, message):
    with pytest.raises(UsageError, match=message):
        TrialOptions(share=text).check()


def test_a_trial_refuses_what_a_scan_refuses():
    with pytest.raises(UsageError, match="--seed: -1"):
        TrialOptions(seed=-1).check()
