"""Encoding, training and detection on a simulated GPU: every tensor is on the device, whatever the data are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.encoding.test_encoder import data_of
from tests.simulated_gpu import CUDA, WrongDeviceError, gpu
from tests.small_runs import encode, train
from zcurate.config.model_config import ModelConfig
from zcurate.encoding import encoded as encoded_module
from zcurate.evidence import heldout
from zcurate.evidence.heldout import TopKProbabilities
from zcurate.plugins import DETECTORS
from zcurate.training.detectors import neighbors


@pytest.fixture
def mode(monkeypatch):
    with gpu(monkeypatch) as mode:
        yield mode


def train_evidence(encoded, spec, packed=True):
    observer = neighbors.representation_observer(("neighbour_labels", "class_centre"))
    return train(encoded, spec, 2, packed, observer=observer)[0]


def table(regression=False, **more):
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=80), "b": rng.normal(size=80), "colour": rng.choice(["red", "blue", "green"], 80)}
    label = np.round(columns["a"] * 10, 3) if regression else np.where(columns["a"] > 0, "up", "down")
    return data_of({**columns, **more, "label": label})


def test_the_simulated_gpu_refuses_what_a_gpu_refuses(mode):
    on_cpu, on_gpu = torch.ones(3), torch.ones(3).to(CUDA)
    assert on_gpu.device == CUDA and (on_gpu * 2).device == CUDA and on_cpu.device.type == "cpu" and on_gpu.cpu().device.type == "cpu"
    assert torch.zeros(2, device=on_gpu.device).device == CUDA and on_gpu[torch.tensor([0])].device == CUDA
    with pytest.raises(WrongDeviceError, match="add"):
        torch.add(on_cpu, on_gpu)
    with pytest.raises(WrongDeviceError, match="numpy"):
        on_gpu.numpy()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("regression", [False, True])
def test_tables_are_encoded_trained_on_and_searched_on_the_gpu(mode, regression, packed):
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=2, folds=2, dropout=0.1)
    encoded = encode(table(regression), spec, CUDA)
    assert encoded.device == CUDA and mode.on_gpu(encoded.x) and mode.on_gpu(encoded.codes)
    evidence = train_evidence(encoded, spec, packed)
    assert isinstance(evidence.heldout, np.ndarray) and np.isfinite(evidence.heldout).all()
    for name in ("novelty", "neighbours"):
        assert np.isfinite(DETECTORS.load(name)(encoded)["distance" if name == "novelty" else "isolation"]).all()
    assert mode.n_calls > 1000


@pytest.mark.parametrize("settings", [{"loss": "discrim"}, {"clues": ("posterior", "second_split")}, {"name": "linear"}, {"optimiser": "sgd"}])
def test_other_settings_train_on_the_gpu(mode, settings):
    spec = ModelConfig(**{"name": "mlp", "hidden": (8,), "batch": 32, "rounds": 1, "folds": 2, **settings})
    assert np.isfinite(train_evidence(encode(table(), spec, CUDA), spec).heldout).all()


def test_texts_are_encoded_and_trained_on_on_the_gpu(mode):
    words = np.random.default_rng(1).choice(["a good thing", "a bad thing indeed", "so so", "one more thing"], 80)
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=1, folds=2)
    encoded = encode(table(comment=[f"{text} {at}" for at, text in enumerate(words)]), spec, CUDA)
    assert encoded.term is not None and np.isfinite(train_evidence(encoded, spec).heldout).all()


def test_pictures_are_trained_on_on_the_gpu(mode):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (60, 1, 12, 12)).astype(np.uint8))
    y = torch.arange(60) % 2
    encoded = encoded_module.EncodedRows(y.to(CUDA), np.arange(60), np.arange(60), 2, images=images.to(CUDA))
    spec = ModelConfig(name="resnet", hidden=(16, 16, 16), batch=32, rounds=1, folds=2)
    assert np.isfinite(train_evidence(encoded, spec, packed=False).heldout).all()


def test_the_top_k_of_many_classes_are_stored_on_the_gpu(mode, monkeypatch):
    for name in ("MAX_DENSE_CELLS", "MAX_ROWS_PER_EPOCH"):
        monkeypatch.setattr(heldout, name, 0)
    y, x = torch.arange(200) % 40, torch.randn(200, 3)
    encoded = encoded_module.EncodedRows(y.to(CUDA), np.arange(200), np.arange(200), 40, dense=x.to(CUDA))
    found = train_evidence(encoded, ModelConfig(name="mlp", hidden=(8,), batch=64, rounds=1, folds=2)).heldout
    assert isinstance(found, TopKProbabilities) and np.isfinite(found.packed).all()
