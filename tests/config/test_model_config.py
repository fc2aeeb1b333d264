"""Model settings: names, TOML files, keyword arguments, and the choices of `auto`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from zcurate.config import toml as toml_module
from zcurate.config.options import ScanOptions
from zcurate.data import schema
from zcurate.data.dataset import InputInfo
from zcurate.errors import UsageError
from zcurate.pipeline import plan
from zcurate.pipeline import plan as plan_module
from zcurate.pipeline.api import options_from

WHERE = InputInfo("data.csv", "csv")


def table(n=60, **columns):
    base = {"x": [0.5 * k for k in range(n)], "label": [["a", "b"][k % 2] for k in range(n)]}
    return schema.dataset(pa.table({**base, **columns}), WHERE, ScanOptions())


def toml(tmp_path, text):
    path = tmp_path / "spec.toml"
    path.write_text(text)
    return str(path)


def test_auto_takes_a_perceptron_for_tables_and_says_so():
    plan = plan_module.make_plan(ScanOptions(), table())
    assert (plan.spec.name, plan.packed, plan.why) == ("mlp", True, "the data are a table")


def test_auto_takes_a_linear_model_for_text():
    words = [f"some words about number {k} here" for k in range(60)]
    data = schema.dataset(pa.table({"note": words, "label": [["a", "b"][k % 2] for k in range(60)]}), WHERE, ScanOptions())
    assert plan.make_plan(ScanOptions(), data).spec.name == "linear"


def test_auto_takes_a_residual_network_for_pictures():
    labels = pa.table({"label": ["a", "b"] * 30})
    data = schema.dataset(labels, WHERE, ScanOptions(), np.zeros((60, 1, 16, 16), np.uint8))
    assert plan.make_plan(ScanOptions(), data).spec.name == "resnet"
    with pytest.raises(UsageError, match="does not fit pictures"):
        plan.make_plan(ScanOptions(model="mlp"), data)


def test_a_model_that_does_not_fit_a_table_is_refused():
    with pytest.raises(UsageError, match="does not fit a table — try --model mlp"):
        plan.make_plan(ScanOptions(model="resnet"), table())


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(UsageError, match=r"no model 'mpl' .* did you mean mlp\?"):
        toml_module.parse_model("mpl")


def test_a_toml_file_sets_everything(tmp_path):
    path = toml(tmp_path, 'name = "mlp"\nhidden = [32]\nepochs = 5\nbatch = 64\n[loss]\nname = "plain"\nz_threshold = 3\nz_per = "class"\n')
    plan = plan_module.make_plan(ScanOptions(model=path), table())
    assert plan.spec.hidden == (32,)
    assert plan.n_epochs == 5
    assert (plan.spec.loss, plan.spec.z.z_threshold, plan.spec.z.z_per) == ("plain", 3, "class")


def test_the_command_line_overrides_the_file(tmp_path):
    path = toml(tmp_path, "epochs = 5\n")
    assert plan.make_plan(ScanOptions(model=path, epochs=2), table()).n_epochs == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden = [32]\n", "unknown key 'hiden' .* did you mean hidden"),
        ("hidden = 32\n", "hidden = 32 — expected a list"),
        ("hidden = [true]\n", "hidden = .True. — expected a list of at most 64 whole numbers from 1 to 16 384"),
        ("epochs = 0\n", "epochs = 0 — expected a whole number from 1 to 1 000 000"),
        ("folds = 1\n", "folds = 1 — expected a whole number from 2 to 64"),
        ('learning_rate = "fast"\n', "learning_rate = 'fast' — expected a number"),
        ("augment = 1\n", "augment = 1 — expected true or false"),
        ("clues = 3\n", "clues = 3 — expected a list of clues"),
        ('without = ["posteror"]\n', "did you mean .*without posterior"),
        ('ensemble = ["bosted"]\n', "did you mean .*ensemble boosted"),
        ('loss = "zeror"\n', "did you mean .*loss zerror"),
        ('z_on = "eror"\n', "did you mean .*z_on error"),
        ('name = "resnt"\n', "did you mean resnet"),
        ("name = \n", "no TOML"),
    ],
)
def test_errors_in_a_file_are_named(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        toml_module.parse_model(toml(tmp_path, text))


def test_a_missing_file_is_named():
    with pytest.raises(UsageError, match="no such file"):
        toml_module.parse_model("nowhere.toml")
    with pytest.raises(UsageError, match="no file nowhere.py"):
        toml_module.parse_model("nowhere.py:net")


def test_epochs_fall_with_the_rows():
    counts = [plan.n_epochs_for(n, False) for n in (100, 1000, 10_000, 100_000, 1_000_000)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == plan.MIN_EPOCHS


def test_numbers_stay_as_written(tmp_path):
    assert repr(toml_module.parse_model(toml(tmp_path, "z_threshold = 3\n"))["z_threshold"]) == "3"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labl": "x"}, r"no setting 'labl' — known: .* did you mean label\?"),
        ({"label": 3}, "label = 3 — expected str or None"),
        ({"budget": True}, "budget = True — expected int or None"),
        ({"time_limit": [1]}, "time_limit = .1. — expected str or float or None"),
        ({"exclude": [1]}, "exclude = .1. — expected tuple or str"),
    ],
)
def test_keyword_arguments_of_another_type_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        options_from(settings)


def test_keyword_arguments_may_be_numpy_floats_seconds_and_lists():
    options = options_from({"threshold": np.float64(0.5), "time_limit": 90, "exclude": ["a", "b"]})
    assert (options.threshold, options.time_limit, options.exclude) == (0.5, 90, ("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate = inf", "learning_rate = inf — expected a number from 0 to 1000"),
        ("learning_rate = nan", "learning_rate = nan — expected a number from 0 to 1000"),
        ("z_threshold = nan", "z_threshold = nan — expected a number, 0 or more"),
        ("dropout = 1.0", "expected a share from 0 to below 1"),
        ("warmup = 2.0", "expected a share from 0 to 1"),
        ("hidden = [100000000]", "expected a list of at most 64 whole numbers from 1 to 16 384"),
        (f"hidden = [{', '.join(['8'] * 65)}]", "expected a list of at most 64"),
        ("epochs = 9223372036854775807", "expected a whole number from 1 to 1 000 000"),
        (f"epochs = {'9' * 5000}", "no TOML|expected a whole number"),
        ("folds = 1000", "expected a whole number from 2 to 64"),
        ("batch = 0", "expected a whole number from 1"),
        (f"a = {'[' * 5000}", "no TOML"),
        (f"a = {'[' * 5000}{']' * 5000}", "no TOML|unknown key"),
        ("name = 'mlp'\0", "no TOML"),
        ("#" * (1 << 21), "expected a few settings in TOML"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, text, message):
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        toml_module.parse_model(str(tmp_path / "m.toml"))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    for content in (b"\xff\xfe", "name='mlp' # é".encode("latin-1"), b"\x00"):
        (tmp_path / "m.toml").write_bytes(content)
        with pytest.raises(UsageError, match="no TOML"):
            toml_module.parse_model(str(tmp_path / "m.toml"))
    with pytest.raises(UsageError, match="no such file"):
        toml_module.parse_model(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", ["nope.py:f", "http://127.0.0.1/x.py:f", ".py:", "nope.py:"])
def test_a_function_in_a_file_that_is_not_there_is_refused(name, tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(f'name = "{name}"\n')
    with pytest.raises(UsageError, match=r"m\.toml: no file .* — expected file\.py:function — check the path"):
        toml_module.parse_model(str(path))
    with pytest.raises(UsageError, match=r"--model .*: no file .* — expected file\.py:function — check the path"):
        toml_module.parse_model(name)
