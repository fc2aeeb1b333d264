"""The contract of every registered plug-in, and plug-ins that are added at run time with one file and one line."""

from __future__ import annotations

import io
import json
import re
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pytest
import torch

import zcurate
from tests.report.test_report import small
from zcurate import plugins
from zcurate.cli import app
from zcurate.config import toml
from zcurate.config.model_config import ModelConfig
from zcurate.config.options import ScanOptions, input_format_help, model_help
from zcurate.config.report_options import ReportOptions, report_format_help
from zcurate.data import discovery, readers, schema, stream
from zcurate.data.dataset import InputInfo
from zcurate.encoding.encoded import EncodedRows
from zcurate.errors import UsageError
from zcurate.evidence.evidence import LabelView
from zcurate.evidence.noise_model import estimate_all_noise, no_noise_model
from zcurate.judge.reasons import REASONS, verdict_of_reason
from zcurate.pipeline.plan import make_plan
from zcurate.plugins import Detector, Format, Loss, Model, Reader, Signal
from zcurate.training.models import builder

TABLES = {
    "reader": plugins.READERS,
    "model": plugins.MODELS,
    "loss": plugins.LOSSES,
    "signal": plugins.SIGNALS,
    "detector": plugins.DETECTORS,
    "format": plugins.FORMATS,
    "network": plugins.BACKBONES,
}
EVERY = [(kind, name) for kind, table in TABLES.items() for name in table]
N, EPOCHS = 40, 6


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_plugin_loads_and_is_documented(kind, name):
    assert TABLES[kind].load(name).__doc__


@pytest.mark.parametrize("kind", TABLES)
def test_an_unknown_name_lists_the_known_ones_and_the_nearest(kind):
    table = TABLES[kind]
    name = next(iter(table))
    with pytest.raises(UsageError, match=rf"no {table.kind} '{name}x' — available: .*{name}.* — did you mean {name}\?"):
        table.load(name + "x")


# Readers


@pytest.mark.parametrize("name", plugins.READERS)
def test_endings_and_name_parts_resolve_to_their_reader(name):
    reader = plugins.READERS[name]
    names = [f"data{ending}" for ending in reader.endings] + [f"data{ending.upper()}" for ending in reader.endings] + list(reader.name_parts)
    assert {discovery.format_of(file) for file in names} <= {name}
    assert names or name == "folder"


def test_no_ending_belongs_to_two_readers():
    endings = [ending for reader in plugins.READERS.values() for ending in reader.endings]
    assert len(endings) == len(set(endings))


@pytest.mark.parametrize("name", plugins.READERS)
def test_a_reader_has_the_functions_it_declares(name):
    reader = plugins.READERS[name]
    assert callable(plugins.READERS.load(name).read)
    assert all((reader.stream_function(function) is not None) == reader.streams for function in ("head", "batches"))


# Models


def encoded_table():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(N, 4)).astype(np.float32))
    return EncodedRows(torch.arange(N) % 3, np.arange(N), np.arange(N), 3, dense=x, codes=torch.from_numpy(rng.integers(0, 5, (N, 2))), n_codes=5)


def encoded_images():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (N, 1, 12, 12)).astype(np.uint8))
    return EncodedRows(torch.arange(N) % 3, np.arange(N), np.arange(N), 3, images=images)


@pytest.mark.parametrize("name", plugins.MODELS)
def test_a_model_builds_and_gives_one_output_per_member_row_and_class(name):
    plugin = plugins.MODELS[name]
    n_members = 2 if plugin.packed else 1
    encoded = encoded_images() if plugin.inputs == "images" else encoded_table()
    model = builder(name)(ModelConfig(name=name, hidden=(16, 16)), encoded, n_members, torch.Generator().manual_seed(0))
    output = model(encoded.inputs(torch.tensor([[0, 5, 7]] * n_members)))
    assert output.shape == (n_members, 3, 3) and torch.isfinite(output).all()


@pytest.mark.parametrize("name", plugins.MODELS)
def test_the_defaults_of_a_model_are_settings(name):
    assert set(plugins.MODELS[name].defaults) <= set(toml.setting_types())


# Losses


@pytest.mark.parametrize("name", plugins.LOSSES)
def test_a_loss_has_a_threshold_a_state_and_a_scalar_if_it_is_callable(name):
    loss = plugins.LOSSES.load(name)(ModelConfig(loss=name).loss_config, 2, N, torch.device("cpu"))
    assert all(loss.z_threshold(progress) > 0 for progress in (0.0, 0.5, 0.99))
    assert all(isinstance(value, torch.Tensor) for value in loss.state().values())
    if callable(loss):
        row_losses = torch.rand(2, 5, requires_grad=True)
        loss(row_losses, torch.arange(5).repeat(2, 1), torch.ones(2, 5), 0.5, torch.rand(2, 5, 3)).backward()
        assert row_losses.grad.shape == (2, 5)


def test_the_settings_of_the_losses_have_distinct_names():
    names = [name for loss in plugins.LOSSES.values() if loss.settings for name in plugins.import_object(loss.settings).__dataclass_fields__]
    assert len(names) == len(set(names)) and not set(names) & set(ModelConfig.__dataclass_fields__)


# Signals


def class_view():
    """Rows of two classes: the first third is learned early, the second late, the third, which is mislabeled, never."""
    rng = np.random.default_rng(0)
    easy, late, never = (np.full(EPOCHS, 4.0), np.linspace(-3, 4, EPOCHS), np.full(EPOCHS, -4.0))
    margin = np.stack([(easy, late, never)[min(2, 3 * row // N)] for row in range(N)], 1) + rng.normal(0, 0.3, (EPOCHS, N))
    margin = margin.astype(np.float32)
    p = 1 / (1 + np.exp(-margin.mean(0)))
    right, label = margin > 0, np.arange(N) % 2
    heldout = np.where((label == 0)[:, None], np.stack([p, 1 - p], 1), np.stack([1 - p, p], 1)).astype(np.float32)
    columns = {
        "n_seen": np.full(N, EPOCHS * 3.0),
        "n_masked": np.zeros(N),
        "margin_mean": margin.mean(0),
        "confidence_mean": p,
        "confidence_std": (1 / (1 + np.exp(-margin))).std(0),
        "learned_epoch": np.where(right.any(0), right.argmax(0), EPOCHS).astype(float),
        "n_forgotten": (right[:-1] & ~right[1:]).sum(0).astype(float),
        "neighbour_own": p,
        "neighbour_other": 1 - p,
        "centre_own": 2 - p,
        "centre_other": 1 + p,
        "copies_other": 1 - p,
    }
    curves = {"error": -margin, "margin": margin, "z": -margin, "sieve": -margin / 2, "second": margin[:2]}
    return LabelView(label, heldout, columns, curves, estimate_all_noise(heldout, label))


def regression_view():
    """Targets of which the last third are far from their held-out predictions."""
    rng = np.random.default_rng(0)
    label, wrong = rng.normal(size=N), np.arange(N) >= 2 * N // 3
    location = label + np.where(wrong, 5.0, rng.normal(0, 0.1, N))
    columns = {"spread_best": np.abs(label - location), "neighbour_gap": label - location, "isolation": np.where(wrong, 2.0, 0.0)}
    heldout = np.stack([location, np.full(N, -1.0)], 1).astype(np.float32)
    return LabelView(label, heldout, columns, {"error": np.abs(label - location)[None].repeat(EPOCHS, 0)}, no_noise_model())


@pytest.mark.parametrize("name", plugins.SIGNALS)
def test_a_signal_is_float32_between_zero_and_one(name):
    view = class_view() if plugins.SIGNALS[name].task == "classes" else regression_view()
    score = plugins.SIGNALS.load(name)(view)
    assert score.dtype == np.float32 and score.shape == (N,)
    known = score[~np.isnan(score)]
    assert len(known) and ((known >= 0) & (known <= 1)).all()


AMBIGUITY = ("variability", "aleatoric", "curvature", "forgotten", "mastered_epoch")
"""Signals that mark ambiguous rows or times of learning rather than rows that are never learned."""


@pytest.mark.parametrize("name", [name for name in plugins.SIGNALS if name not in AMBIGUITY])
def test_one_means_suspicious(name):
    view = class_view() if plugins.SIGNALS[name].task == "classes" else regression_view()
    score = plugins.SIGNALS.load(name)(view)
    assert np.nanmean(score[2 * N // 3 + 1 :]) > np.nanmean(score[: N // 3])


@pytest.mark.parametrize("name", plugins.SIGNALS)
def test_the_reason_of_a_signal_is_one_for_an_incorrect_label(name):
    reason = plugins.SIGNALS[name].reason
    assert reason is None or (reason in REASONS and verdict_of_reason(reason) == "incorrect")


def test_default_signals_exist_for_both_tasks_and_have_reasons():
    names = plugins.default_signals()
    assert plugins.signals_for(False, names) and plugins.signals_for(True, names)
    assert all(plugins.SIGNALS[name].reason for name in names)


# Detectors


@pytest.mark.parametrize("name", plugins.DETECTORS)
def test_a_detector_gives_one_value_per_row(name):
    columns = plugins.DETECTORS.load(name)(encoded_table())
    assert columns and all(values.shape == (N,) and values.dtype.kind == "f" for values in columns.values())
    declared = getattr(sys.modules[plugins.DETECTORS[name].location.partition(":")[0]], "columns", tuple(columns))
    assert set(columns) == set(declared)


# Formats


@pytest.mark.parametrize("name", plugins.FORMATS)
def test_a_format_writes_to_a_binary_stream_and_leaves_it_open(name):
    if name == "xlsx":
        pytest.importorskip("openpyxl")
    stream = io.BytesIO()
    plugins.FORMATS.load(name)(small().table, stream, ReportOptions())
    assert stream.getvalue()


def test_no_ending_belongs_to_two_formats():
    endings = [ending for form in plugins.FORMATS.values() for ending in form.endings]
    assert len(endings) == len(set(endings))


def test_a_name_is_a_word_of_the_command_line():
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for _, name in EVERY)


# One file and one line

DUMMY = """
    '''One plug-in of each kind.'''
    from dataclasses import dataclass

    import numpy as np
    import pyarrow as pa
    import torch
    from torch import nn

    from zcurate.data import tables


    def table_of(source, name=None):
        header, *lines = source.open(name).read().decode().splitlines()
        columns = zip(*(line.split(";") for line in lines))
        names = header.split(";")
        return pa.table({key: list(column) if key in ("label", "key") else [float(value) for value in column] for key, column in zip(names, columns)})


    def read(source, options):
        return tables.dataset(table_of(source), source.origin(), options)


    def head(source, name, as_text):
        return table_of(source, name).schema


    def batches(source, name, schema, rows):
        yield from table_of(source, name).select(schema.names).to_batches(rows)


    class Centroids(nn.Module):
        def __init__(self, width, n_outputs, generator):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(width, n_outputs, generator=generator) / 10)

        def forward(self, batch):
            return batch.x.float() @ self.weight


    def build(spec, encoded, n_members, generator):
        assert n_members == 1
        return Centroids(encoded.width, encoded.n_outputs, generator)


    @dataclass(frozen=True)
    class DummyConfig:
        dummy_power: float = 1.0


    class DummyLoss:
        calls = 0

        def __init__(self, config):
            self.power = config.dummy_power

        def z_threshold(self, progress):
            return float("inf")

        def state(self):
            return {}

        def __call__(self, loss, ids, weight, progress, output):
            DummyLoss.calls += 1
            return (loss**self.power * weight / weight.sum(1, keepdim=True)).sum()


    def make_loss(config, n_members, n_rows, device):
        return DummyLoss(config)


    def signal(view):
        '''Suspicious: the value of the dummy detector.'''
        return np.nan_to_num(view.column("dummy"), nan=0.5).astype(np.float32)


    def detect(encoded):
        return {"dummy": np.linspace(0, 1, encoded.n_rows)}


    def write(table, stream, options):
        stream.write(b"|".join(str(row).encode() for row in table.column("row").to_pylist()))
"""


@pytest.fixture
def dummy(tmp_path, monkeypatch):
    """Register one plug-in of each kind, and write a small input for the reader."""
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "zcurate_dummy.py").write_text(textwrap.dedent(DUMMY))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(plugins.READERS, "dummy", Reader("zcurate_dummy", endings=(".dummy",), streams=True))
    monkeypatch.setitem(plugins.MODELS, "dummy", Model("zcurate_dummy:build"))
    monkeypatch.setitem(plugins.LOSSES, "dummy", Loss("zcurate_dummy:make_loss", settings="zcurate_dummy:DummyConfig"))
    monkeypatch.setitem(plugins.SIGNALS, "dummy", Signal("zcurate_dummy:signal", reason="other_class"))
    monkeypatch.setitem(plugins.DETECTORS, "dummy", Detector("zcurate_dummy:detect", default=False))
    monkeypatch.setitem(plugins.FORMATS, "dummy", Format("zcurate_dummy:write", endings=(".dum",)))
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    x = rng.normal(size=120) + 3 * y
    given = np.where(rng.random(120) < 0.1, 1 - y, y)
    lines = ["key;a;b;label", *(f"k{row};{x[row]:.4f};{rng.normal():.4f};{'no' if given[row] else 'yes'}" for row in range(120))]
    (tmp_path / "data.dummy").write_text("\n".join(lines) + "\n")
    yield tmp_path
    sys.modules.pop("zcurate_dummy", None)


def test_register_adds_a_plugin_and_replaces_one(monkeypatch):
    monkeypatch.setattr(plugins, "FORMATS", type(plugins.FORMATS)("format"))
    plugins.FORMATS.register("dummy", Format("zcurate.report.formats.csv:write"))
    plugins.FORMATS.register("dummy", Format("zcurate.report.formats.json:write"))
    assert plugins.FORMATS.load("dummy").__module__ == "zcurate.report.formats.json"


def test_the_dummies_scan_a_file(dummy):
    spec = dummy / "spec.toml"
    spec.write_text('name = "dummy"\nclues = ["heldout_margin", "dummy"]\nwitnesses = ["novelty", "dummy"]\nepochs = 10\nlearning_rate = 0.1\nbatch = 16\n')
    report = zcurate.scan(str(dummy / "data.dummy"), label="label", id="key", model=str(spec))
    assert report.table.num_rows == 120
    assert report.card["input"]["format"] == "dummy"
    assert (report.card["model"]["name"], report.card["model"]["witnesses"]) == ("dummy", ("novelty", "dummy"))
    assert list(report.card["clue_names"]) == ["heldout_margin", "dummy"]
    assert report.card["clues"]["dummy"] >= 0 and "dummy" in report.card["costs"]
    percentiles = [both[1] for both in report.table.column("clues").to_pylist()]
    assert percentiles == sorted(percentiles) and percentiles[0] < 0.05 < 0.95 < percentiles[-1]


def test_a_dummy_model_is_chosen_by_name(dummy):
    report = zcurate.scan(str(dummy / "data.dummy"), label="label", model="dummy", epochs=3)
    assert (report.card["model"]["name"], report.card["model"]["ensemble"]) == ("dummy", ())


def test_a_dummy_reader_is_chosen_by_option_and_streams(dummy):
    copy = dummy / "data.unknown"
    copy.write_text((dummy / "data.dummy").read_text())
    options = ScanOptions(label="label", input_format="dummy")
    options.check()
    source = discovery.locate(str(copy), "dummy")
    assert readers.read(source, options).n_rows == 120
    assert sum(batch.num_rows for batch in stream.batches(source, ["a", "label"], rows_per_batch=50)) == 120
    assert stream.row_counts(source) == [None]


def test_a_dummy_format_writes_a_report(dummy, monkeypatch, capfdbinary):
    small(path=str(dummy / "data.csv")).save(str(dummy / "a.zcurate.parquet"))
    for words in (["--format", "dummy"], ["-o", str(dummy / "rows.dum")]):
        monkeypatch.setattr(sys, "argv", ["zcurate", "report", str(dummy / "a.zcurate.parquet"), "--top", "2", *words])
        with pytest.raises(SystemExit) as stop:
            app.main()
        assert stop.value.code in (0, None)
    out = capfdbinary.readouterr().out
    assert re.fullmatch(rb"\d+\|\d+", out) and (dummy / "rows.dum").read_bytes() == out


def test_a_dummy_loss_takes_its_settings_from_the_spec(dummy):
    spec = dummy / "spec.toml"
    spec.write_text('z_threshold = 3.0\n[loss]\nname = "dummy"\ndummy_power = 2.0\n')
    data = schema.dataset(pa.table({"x": np.linspace(0, 1, 60), "label": ["a", "b"] * 30}), InputInfo("data.csv", "csv"), ScanOptions())
    config = make_plan(ScanOptions(model=str(spec)), data).spec
    assert (config.loss, config.loss_config.dummy_power, config.z.z_threshold) == ("dummy", 2.0, 3.0)
    assert config.as_dict()["loss_settings"] == {"dummy_power": 2.0}
    loss = plugins.LOSSES.load(config.loss)(config.loss_config, 2, 60, torch.device("cpu"))
    assert loss(torch.full((2, 3), 3.0), torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 3), 0.5, torch.zeros(2, 3, 2)) == 18
    spec.write_text('[loss]\nname = "dummy"\ndummy_power = "much"\n')
    with pytest.raises(UsageError, match="dummy_power = 'much' — expected a number"):
        toml.parse_model(str(spec))


def test_a_dummy_loss_trains_the_members(dummy):
    spec = dummy / "spec.toml"
    spec.write_text('epochs = 4\nrounds = 1\nensemble = []\n[loss]\nname = "dummy"\n')
    report = zcurate.scan(str(dummy / "data.dummy"), label="label", id="key", model=str(spec))
    assert (report.card["model"]["loss"], report.card["model"]["loss_settings"]) == ("dummy", {"dummy_power": 1.0})
    assert sys.modules["zcurate_dummy"].DummyLoss.calls >= 4
    assert not report.table.column("n_masked").to_numpy().any()


def test_the_run_card_has_no_settings_of_losses_that_have_none():
    assert "loss_settings" not in ModelConfig().as_dict()


def test_choices_and_help_list_the_dummies(dummy):
    assert "dummy" in input_format_help() and "dummy" in model_help() and "dummy" in report_format_help()
    with pytest.raises(UsageError, match="did you mean dummy"):
        toml.parse_model("dumy")
    assert json.dumps(ModelConfig().as_dict())
