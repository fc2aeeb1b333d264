"""Options: defaults, and values that are refused before any data are read."""

from __future__ import annotations

import pytest

from zcurate.config import units
from zcurate.config.options import ScanOptions, TrialOptions
from zcurate.config.report_options import ReportOptions
from zcurate.errors import UsageError


def test_the_defaults_are_usable():
    ScanOptions().check()
    ReportOptions().check()
    TrialOptions().check()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"task": "regresion"}, "did you mean --task regression"),
        ({"device": "tpu"}, "--device: 'tpu' is not known"),
        ({"device": "cuda:1"}, "try CUDA_VISIBLE_DEVICES=1 zcurate ... --device cuda"),
        ({"task": "classification"}, "--task multiclass, or --task binary for two classes"),
        ({"task": "Classify"}, "--task multiclass, or --task binary for two classes"),
        ({"task": "reg"}, "did you mean --task regression"),
        ({"input_format": "xlsx"}, "--input-format"),
        ({"threshold": 0.5, "budget": 3}, "--threshold and --budget both set the threshold"),
        ({"threshold": 1.5}, "--threshold: 1.5 is out of range"),
        ({"precision": 0.0}, "--precision: 0 is out of range"),
        ({"precision": 95.0}, "--precision: 95 is out of range — expected between 0 and 1 — try --precision 95%"),
        ({"precision": "95"}, "try --precision 95%"),
        ({"threshold": "0,5"}, "'0,5' is not a share — .* — try --threshold 0.5"),
        ({"threshold": "half"}, "'half' is not a share"),
        ({"budget": "5%"}, "--budget: '5%' is not a whole number"),
        ({"budget": "many"}, "--budget: 'many' is not a whole number"),
        ({"epochs": "2.5"}, "--epochs: '2.5' is not a whole number"),
        ({"memory": "4"}, "'4' is 4 bytes — .* — try --memory 4GB"),
        ({"memory": "500"}, "'500' is 500 bytes — .* — try --memory 500MB"),
        ({"max_bad": "5"}, "--max-bad: '5' is not a share — .* — try --max-bad 5%"),
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


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ({"device": "gpu"}, "cuda"),
        ({"device": "GPU"}, "cuda"),
        ({"device": "cuda:0"}, "cuda"),
        ({"device": " CPU "}, "cpu"),
        ({"task": "Regression"}, "regression"),
        ({"task": "multi-class"}, "multiclass"),
        ({"model": "ResNet"}, "resnet"),
        ({"model": "Own.toml"}, "Own.toml"),
        ({"input_format": ".csv"}, "csv"),
        ({"input_format": "json"}, "jsonl"),
        ({"input_format": "PQ"}, "parquet"),
        ({"threshold": "50%"}, 0.5),
        ({"precision": "95%"}, 0.95),
        ({"precision": " 95 % "}, 0.95),
        ({"budget": "1_000"}, 1000),
        ({"budget": "1,000"}, 1000),
        ({"epochs": "1e1"}, 10),
        ({"seed": "7"}, 7),
    ],
)
def test_what_was_meant_is_done(typed, meant):
    name, _ = next(iter(typed.items()))
    assert getattr(ScanOptions(**typed), name) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [({"min_p": "90%"}, 0.9), ({"top": "1_000"}, 1000), ({"format": "md"}, "markdown"), ({"format": "JSON"}, "json"), ({"format": "Excel"}, "xlsx")],
)
def test_what_was_meant_by_an_option_of_report_is_done(typed, meant):
    name, _ = next(iter(typed.items()))
    assert getattr(ReportOptions(**typed), name) == meant


@pytest.mark.parametrize("verdict", ["Incorrect, HARD", "incorrect,hard,", " incorrect ,hard"])
def test_verdicts_are_read_in_any_case_and_with_blanks(verdict):
    options = ReportOptions(verdict=verdict)
    options.check()
    assert options.verdicts() == ("incorrect", "hard")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1.5h", 5400),
        (None, None),
        (7.5, 7.5),
        ("10min", 600),
        ("10 minutes", 600),
        ("90 SEC", 90),
        ("2hrs", 7200),
        ("1h30m", 5400),
    ],
)
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
        ({"verdict": "wrong"}, "did you mean --verdict incorrect"),
        ({"verdict": "Correct"}, "did you mean --verdict clean"),
        ({"verdict": "all"}, "try --top N"),
        ({"top": 0}, "--top: 0"),
        ({"min_p": 2.0}, "--min-p: 2"),
        ({"min_p": "90"}, "--min-p: 90 is out of range — .* — try --min-p 90%"),
        ({"top": "ten"}, "--top: 'ten' is not a whole number"),
        ({"format": "xslx"}, "--format: 'xslx' is not known"),
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
