"""Cost estimates: they grow with the data, carry units, write nothing and load no torch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from zcurate.config.model_config import ModelConfig, Plan
from zcurate.config.options import ScanOptions
from zcurate.config.units import format_size
from zcurate.data import discovery, inputs, preview, sizes
from zcurate.data.dataset import Dataset
from zcurate.pipeline import api, cost_model, estimate_text
from zcurate.pipeline import plan as plan_module

MACHINE = cost_model.Machine(2, True)


def example_table(n_rows=400, n_columns=6):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_rows, n_columns))
    return pa.table({f"f{k}": x[:, k] for k in range(n_columns)} | {"label": pa.array(np.where(x[:, 0] > 0, "yes", "no"))})


def estimate_of(data: Dataset, n_rows=None, machine=MACHINE, **settings):
    sized = data if n_rows is None else dataclasses.replace(data, n_total_rows=n_rows)
    plan = plan_module.make_plan(ScanOptions(**settings), sized)
    return cost_model.estimate(plan, cost_model.shape_of(sized, plan.spec), machine)


@pytest.fixture(scope="module")
def table():
    return inputs.read_input(example_table(), ScanOptions())


def test_more_rows_cost_more_time_and_memory(table):
    found = [estimate_of(table, n) for n in (60_000, 200_000, 1_000_000, 10_000_000)]
    for less, more in zip(found, found[1:], strict=False):
        assert more.peak_bytes > less.peak_bytes
        assert all(more.seconds[stage] > less.seconds[stage] for stage in ("training", "judging", "encoding", "saving", "total"))


def test_more_columns_epochs_and_hidden_units_cost_more(table, tmp_path):
    wide = inputs.read_input(example_table(n_columns=30), ScanOptions())
    assert estimate_of(wide, 100_000).seconds["training"] > estimate_of(table, 100_000).seconds["training"]
    assert estimate_of(wide, 100_000).peak_bytes > estimate_of(table, 100_000).peak_bytes
    assert estimate_of(table, 100_000, epochs=20).seconds["training"] > 1.5 * estimate_of(table, 100_000, epochs=10).seconds["training"]
    path = tmp_path / "wide.toml"
    path.write_text("hidden = [512, 512]")
    assert estimate_of(table, 100_000, model=str(path)).seconds["training"] > 2 * estimate_of(table, 100_000).seconds["training"]


def test_a_machine_of_more_cores_or_with_bfloat16_takes_less(table):
    seconds = [estimate_of(table, 100_000, machine=cost_model.Machine(*one)).seconds["training"] for one in ((1, False), (1, True), (2, True))]
    assert seconds == sorted(seconds, reverse=True)


def test_trees_cost_time_on_one_core_and_memory_on_any(table, tmp_path):
    path = tmp_path / "members.toml"
    path.write_text("ensemble = []")
    one = cost_model.Machine(1, True)
    with_trees, without = (estimate_of(table, 20_000, machine=one, **settings) for settings in ({}, {"model": str(path)}))
    assert with_trees.seconds["training"] > without.seconds["training"] + 1
    assert with_trees.peak_bytes > without.peak_bytes
    assert "auxiliary models boosted, forest" in "\n".join(estimate_text.estimate_lines(with_trees))
    assert "auxiliary" not in "\n".join(estimate_text.estimate_lines(without))


def test_tree_models_that_cost_too_much_are_left_out():
    wide = inputs.read_input(example_table(n_rows=400, n_columns=300), ScanOptions())
    plan = plan_module.make_plan(ScanOptions(), wide)
    assert cost_model.trees_of(plan.spec, cost_model.shape_of(wide, plan.spec)).boosted == 1
    huge = dataclasses.replace(wide, n_total_rows=49_000)
    plan = plan_module.make_plan(ScanOptions(), huge)
    assert cost_model.trees_of(plan.spec, cost_model.shape_of(huge, plan.spec)).boosted == 0
    assert cost_model.trees_seconds(plan.spec, cost_model.shape_of(huge, plan.spec)) < 30


def test_the_total_is_the_sum_of_the_stages(table):
    seconds = estimate_of(table).seconds
    assert seconds["total"] == pytest.approx(sum(value for name, value in seconds.items() if name != "total"), abs=0.01)


def test_the_text_names_its_units(table):
    text = "\n".join(estimate_text.estimate_lines(estimate_of(table, 100_000)))
    assert " s on 2 free CPU cores" in text
    assert " MB" in text
    assert "128x128" in text
    assert (estimate_text.format_duration(4.21), estimate_text.format_duration(720), estimate_text.format_duration(12_600)) == ("4.2 s", "12 min", "3.5 h")
    assert (format_size(640e6), format_size(3.21e9)) == ("640 MB", "3.2 GB")


@pytest.mark.parametrize(("ending", "is_exact"), [("csv", False), ("csv.gz", False), ("parquet", True), ("feather", True), ("jsonl", False)])
def test_of_a_large_input_only_the_beginning_is_read(tmp_path, monkeypatch, ending, is_exact):
    data, path = example_table(6000), tmp_path / f"data.{ending}"
    for module, name, value in ((sizes, "SMALL_BYTES", 1000), (sizes, "HEAD_BYTES", 100_000), (preview, "HEAD_ROWS", 500)):
        monkeypatch.setattr(module, name, value)
    if ending.startswith("csv"):
        with pa.output_stream(str(path), compression="gzip" if ending.endswith("gz") else None) as stream:
            pyarrow.csv.write_csv(data, stream)
    elif ending == "parquet":
        pq.write_table(data, path)
    elif ending == "feather":
        pyarrow.feather.write_feather(data, str(path))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in data.to_pylist()))
    found = preview.preview_input(discovery.locate(str(path), None), ScanOptions())
    assert len(found.data.given) < 4000
    assert found.exact == is_exact
    assert found.data.n_rows == pytest.approx(6000, rel=0 if is_exact else 0.15)


def test_a_preview_of_one_class_is_not_an_error(tmp_path, monkeypatch):
    data = example_table(6000).sort_by("label")
    pq.write_table(data, tmp_path / "sorted.parquet")
    for module, name, value in ((sizes, "SMALL_BYTES", 1000), (preview, "HEAD_ROWS", 500)):
        monkeypatch.setattr(module, name, value)
    assert api.estimate_scan(tmp_path / "sorted.parquet", ScanOptions()).n_rows == 6000


@pytest.mark.parametrize("data", ["penguins/penguins.csv", "flights/flights.csv", "digits/manifest.csv"])
def test_every_kind_of_data_is_estimated_and_nothing_is_written(tmp_path, data):
    command = "import sys, zcurate.cli.app as cli\ntry:\n    cli.main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    label = {"penguins/penguins.csv": ["--label", "species"], "flights/flights.csv": ["--label", "air_minutes"]}.get(data, [])
    arguments = ["scan", str(ROOT / "sample_data" / data), "--estimate", "--json", *label]
    done = subprocess.run([sys.executable, "-c", command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False"
    found = json.loads(done.stdout)
    assert {"rows", "rows_exact", "model", "threads", "seconds", "peak_bytes"} == set(found)
    assert 2 < found["seconds"]["total"] < 120
    assert 3e8 < found["peak_bytes"] < 3e9
    assert list(tmp_path.iterdir()) == []


def test_texts_are_estimated():
    words = ["alpha beta gamma delta", "one two three four five", "red green blue white"]
    rng = np.random.default_rng(1)
    text = [" ".join(rng.permutation([*words[k % 3].split(), f"w{k}"])) for k in range(300)]
    data = inputs.read_input(pa.table({"text": text, "label": [f"c{k % 3}" for k in range(300)]}), ScanOptions())
    found = estimate_of(data, 20_000)
    assert found.model["name"] == "linear"
    assert found.seconds["encoding"] > 0.1


def test_features_cost_a_pass_of_the_network_and_members_see_them():
    shape = cost_model.Shape(10_000, 0, "parquet", 10.0, 0, 0, 0, 1904, 0.0, 0.0, (3, 32, 32), 10, False, 0, 1904, False)
    pixels = dataclasses.replace(shape, n_dense=0, n_features=0, learns_pixels=True)
    of_features, of_pixels = ModelConfig(ensemble=("probe",), features="lite0"), ModelConfig(name="resnet", hidden=(16, 32, 64, 128))
    fast = cost_model.estimate(Plan(of_features, True, 14, ""), shape, MACHINE)
    slow = cost_model.estimate(Plan(of_pixels, False, 8, ""), pixels, MACHINE)
    # Measured on two cores: 42 s for the features of 10 000 pictures, 8 s for training on them.
    assert fast.seconds["encoding"] == pytest.approx(42, rel=0.2)
    assert fast.seconds["training"] < 0.2 * slow.seconds["training"]
    assert cost_model.feature_seconds(shape, dataclasses.replace(MACHINE, has_bfloat16=False)) > 2 * fast.seconds["encoding"]
