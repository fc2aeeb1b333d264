"""CUDA graphs: training with replayed steps, whose numbers and shapes are fixed at capture, equals training with eager steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.encoding.test_encoder import data_of
from tests.simulated_gpu import SimulatedGraphs
from tests.small_runs import encode, train
from zcurate.config.model_config import ModelConfig, ZErrorConfig
from zcurate.encoding import encoded
from zcurate.runtime.progress import NoProgress
from zcurate.training import cuda_graphs, optimizer
from zcurate.training.cuda_graphs import GraphedStep, is_close

CPU = torch.device("cpu")


class RecordedNotes(NoProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def trained(encoded, spec, packed=True):
    progress = RecordedNotes()
    return train(encoded, spec, 4, packed, progress=progress)[0], progress.notes


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


def assert_close(one, other):
    for name, values in one.columns.items():
        np.testing.assert_allclose(values, other.columns[name], rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(one.heldout, other.heldout, rtol=1e-3, atol=1e-4)


@pytest.fixture
def graphs(monkeypatch):
    return SimulatedGraphs(monkeypatch)


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
def test_replayed_steps_train_as_eager_steps(graphs, monkeypatch, settings):
    spec = ModelConfig(**{"name": "mlp", "hidden": (8,), "batch": 32, "rounds": 1, "folds": 2, **settings})
    encoded = table(spec)
    packed = settings != {}
    expected, _ = trained(encoded, spec, packed)
    assert not graphs.n_captured
    monkeypatch.setattr(cuda_graphs, "can_capture", lambda device: True)
    evidence, notes = trained(encoded, spec, packed)
    assert graphs.n_captured and graphs.n_replayed > 10 and not notes
    assert_close(evidence, expected)


def test_regression_and_images_are_replayed(graphs, monkeypatch):
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=1, folds=2)
    resnet = ModelConfig(name="resnet", hidden=(16, 16, 16), batch=32, rounds=1, folds=2)
    cases = [(table(spec, True), spec), (pictures(), resnet)]
    expected = [trained(*case, packed=False)[0] for case in cases]
    monkeypatch.setattr(cuda_graphs, "can_capture", lambda device: True)
    for case, reference in zip(cases, expected, strict=True):
        before = graphs.n_replayed
        evidence, notes = trained(*case, packed=False)
        assert graphs.n_replayed > before + 10 and not notes
        assert_close(evidence, reference)


def test_a_step_that_synchronizes_with_the_gpu_is_run_eagerly(graphs, monkeypatch):
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=2, folds=2, dropout=0.2)
    encoded = table(spec)
    expected, _ = trained(encoded, spec)
    monkeypatch.setattr(cuda_graphs, "can_capture", lambda device: True)
    step = optimizer.Optimizer.step
    monkeypatch.setattr(optimizer.Optimizer, "step", lambda self, rate: step(self, float(rate)))
    evidence, notes = trained(encoded, spec)
    assert not graphs.n_captured and not graphs.n_replayed
    assert notes == ["GPU: steps are started one by one, which is slower: operation not permitted when stream is capturing: aten::_local_scalar_dense"]
    assert_close(evidence, expected)


def test_a_graph_that_does_nothing_is_not_used(graphs, monkeypatch):
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=1, folds=2)
    encoded = table(spec)
    expected, _ = trained(encoded, spec)
    monkeypatch.setattr(cuda_graphs, "can_capture", lambda device: True)
    monkeypatch.setattr(cuda_graphs, "capture", lambda step, generators: step)
    trained(encoded, spec)
    monkeypatch.setattr(cuda_graphs, "capture", lambda step, generators: step() or (lambda: None))
    evidence, notes = trained(encoded, spec)
    assert notes == ["GPU: steps are started one by one, which is slower: a replayed step differed from the eager step"]
    assert_close(evidence, expected)


def test_a_graph_with_a_captured_number_is_not_used(graphs):
    total, sizes = torch.zeros(1), []

    def step(size, full):
        sizes.append(size)
        total.add_(float(len(sizes)))

    steps = GraphedStep(step, [total], [])
    for _ in range(cuda_graphs.EAGER_STEPS + 5):
        steps(3, True)
    assert steps.failure and graphs.n_captured == 1 and graphs.n_replayed == 2


def test_discrim_loss_and_texts_are_not_captured(graphs, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "can_capture", lambda device: True)
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=1, folds=2, loss="discrim")
    trained(table(spec), spec)
    texts = [f"one more {'good' if at % 2 else 'bad'} thing to say, {at} times" for at in range(200)]
    spec = ModelConfig(name="linear", batch=32, rounds=1, folds=2)
    encoded = encode(data_of({"text": texts, "label": ["up", "down"] * 100}), spec)
    assert encoded.term is not None
    trained(encoded, spec)
    assert not graphs.n_captured


def test_closeness_is_relative_to_the_length_of_the_update():
    before = torch.zeros(4)
    assert is_close(before + 1, before + 1.04, before) and not is_close(before + 1, before + 1.1, before)
    assert is_close(torch.tensor([3]), torch.tensor([3]), torch.tensor([0])) and not is_close(torch.tensor([3]), torch.tensor([4]), torch.tensor([0]))
    assert not is_close(before + 1, before + torch.nan, before)


def test_a_batch_size_is_captured_once_it_is_frequent(graphs):
    total = torch.zeros(1)
    graphed_step = GraphedStep(lambda size, full: total.add_(size), [total], [])
    for size in (3, 5) * cuda_graphs.EAGER_STEPS + (3,) * 4:
        graphed_step(size, True)
    assert graphs.n_captured == 2 and float(total) == 8 * cuda_graphs.EAGER_STEPS + 12 and not graphed_step.failure
