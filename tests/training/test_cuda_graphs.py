"""Recorded steps: a recording that freezes numbers and shapes and reads tensors anew, as a CUDA graph does, trains as the steps themselves do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.encoding.test_encoder import data_of
from tests.simulated_gpu import Recordings
from tests.small_runs import encode, train
from zcurate.config.model_config import ModelConfig, ZErrorConfig
from zcurate.encoding import encoded
from zcurate.runtime.progress import NoProgress
from zcurate.training import cuda_graphs, optimizer
from zcurate.training.cuda_graphs import GraphedStep, is_close

CPU = torch.device("cpu")


class Told(NoProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def learned(encoded, spec, packed=True):
    told = Told()
    return train(encoded, spec, 4, packed, progress=told)[0], told.notes


def table(spec, regression=False):
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=400), "b": rng.normal(size=400), "colour": rng.choice(["red", "blue", "green"], 400)}
    label = np.round(columns["a"] * 10, 3) if regression else np.where(columns["a"] + 0.3 * columns["b"] > 0, "up", "down")
    return encode(data_of({**columns, "label": label}), spec)


def pictures():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (240, 1, 12, 12)).astype(np.uint8))
    y = torch.arange(240) % 2
    images[y == 1, :, :6] //= 4
    return encoded.EncodedRows(y, np.arange(240), np.arange(240), 2, images=images)


def same(one, other):
    for name, values in one.columns.items():
        np.testing.assert_allclose(values, other.columns[name], rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(one.heldout, other.heldout, rtol=1e-3, atol=1e-4)


@pytest.fixture
def recordings(monkeypatch):
    return Recordings(monkeypatch)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dropout": 0.2},
        {"optimiser": "sgd"},
        {"z": ZErrorConfig(z_stats="epoch")},
        {"z": ZErrorConfig(z_stats="batch", z_per="class", readmit=0.0)},
        {"z": ZErrorConfig(z_scale="mad")},
        {"loss": "plain"},
        {"name": "linear"},
    ],
    ids=str,
)
def test_replayed_steps_train_as_the_steps_do(recordings, monkeypatch, settings):
    spec = ModelConfig(**{"name": "mlp", "hidden": (8,), "batch": 32, "rounds": 1, "folds": 2, **settings})
    encoded = table(spec)
    packed = settings != {}
    wanted, _ = learned(encoded, spec, packed)
    assert not recordings.n_recorded
    monkeypatch.setattr(cuda_graphs, "can_record", lambda device: True)
    found, notes = learned(encoded, spec, packed)
    assert recordings.n_recorded and recordings.n_replayed > 10 and not notes
    same(found, wanted)


def test_targets_and_pictures_are_replayed_too(recordings, monkeypatch):
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=1, folds=2)
    seen = ModelConfig(name="resnet", hidden=(16, 16, 16), batch=32, rounds=1, folds=2)
    cases = [(table(spec, True), spec), (pictures(), seen)]
    wanted = [learned(*case, packed=False)[0] for case in cases]
    monkeypatch.setattr(cuda_graphs, "can_record", lambda device: True)
    for case, known in zip(cases, wanted, strict=True):
        before = recordings.n_replayed
        found, notes = learned(*case, packed=False)
        assert recordings.n_replayed > before + 10 and not notes
        same(found, known)


def test_a_step_that_waits_for_the_gpu_is_run_as_it_is(recordings, monkeypatch):
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=2, folds=2, dropout=0.2)
    encoded = table(spec)
    wanted, _ = learned(encoded, spec)
    monkeypatch.setattr(cuda_graphs, "can_record", lambda device: True)
    step = optimizer.Optimizer.step
    monkeypatch.setattr(optimizer.Optimizer, "step", lambda self, rate: step(self, float(rate)))
    found, notes = learned(encoded, spec)
    assert not recordings.n_recorded and not recordings.n_replayed
    assert notes == ["GPU: steps are started one by one, which is slower: operation not permitted when stream is capturing: aten::_local_scalar_dense"]
    same(found, wanted)


def test_a_recording_that_does_nothing_is_not_used(recordings, monkeypatch):
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=1, folds=2)
    encoded = table(spec)
    wanted, _ = learned(encoded, spec)
    monkeypatch.setattr(cuda_graphs, "can_record", lambda device: True)
    monkeypatch.setattr(cuda_graphs, "record", lambda step, generators: step)
    learned(encoded, spec)
    monkeypatch.setattr(cuda_graphs, "record", lambda step, generators: step() or (lambda: None))
    found, notes = learned(encoded, spec)
    assert notes == ["GPU: steps are started one by one, which is slower: a replayed step differed from the step itself"]
    same(found, wanted)


def test_a_recording_that_froze_a_number_is_not_used(recordings):
    total, done = torch.zeros(1), []

    def step(size, full):
        done.append(size)
        total.add_(float(len(done)))

    steps = GraphedStep(step, [total], [])
    for _ in range(cuda_graphs.EAGER_STEPS + 5):
        steps(3, True)
    assert steps.why_not and recordings.n_recorded == 1 and recordings.n_replayed == 2


def test_what_cannot_be_recorded_is_not_tried(recordings, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "can_record", lambda device: True)
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=1, folds=2, loss="discrim")
    learned(table(spec), spec)
    said = [f"one more {'good' if at % 2 else 'bad'} thing to say, {at} times" for at in range(200)]
    spec = ModelConfig(name="linear", batch=32, rounds=1, folds=2)
    texts = encode(data_of({"said": said, "label": ["up", "down"] * 100}), spec)
    assert texts.term is not None
    learned(texts, spec)
    assert not recordings.n_recorded


def test_alike_goes_by_the_way_that_was_gone():
    was = torch.zeros(4)
    assert is_close(was + 1, was + 1.04, was) and not is_close(was + 1, was + 1.1, was)
    assert is_close(torch.tensor([3]), torch.tensor([3]), torch.tensor([0])) and not is_close(torch.tensor([3]), torch.tensor([4]), torch.tensor([0]))
    assert not is_close(was + 1, was + torch.nan, was)


def test_each_size_is_recorded_once_it_comes_up_often(recordings):
    total = torch.zeros(1)
    replay_ = GraphedStep(lambda size, full: total.add_(size), [total], [])
    for size in (3, 5) * cuda_graphs.EAGER_STEPS + (3,) * 4:
        replay_(size, True)
    assert recordings.n_recorded == 2 and float(total) == 8 * cuda_graphs.EAGER_STEPS + 12 and not replay_.why_not
