"""`zcurate.Recorder`: a plain training loop ends in a report that finds its wrong labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import zcurate

N, C = 400, 4


@pytest.fixture(scope="module")
def rows():
    """Inputs (N, 2), true and given labels of four classes, and the wrong rows."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, C, N)
    x = np.array([[0, 0], [3, 0], [0, 3], [3, 3]])[truth] + rng.normal(0, 0.7, (N, 2))
    wrong = rng.random(N) < 0.12
    given = np.where(wrong, (truth + rng.integers(1, C, N)) % C, truth)
    return torch.tensor(x, dtype=torch.float32), truth, given, wrong


def train(recorder, x, labels, rows, held=None, n_epochs=10, number=False):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.ReLU(), torch.nn.Linear(32, C))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    labels = torch.as_tensor(labels)
    for epoch in range(n_epochs):
        for index in torch.as_tensor(rows)[torch.randperm(len(rows))].split(32):
            output = network(x[index])
            optimizer.zero_grad()
            F.cross_entropy(output, labels[index]).backward()
            optimizer.step()
            recorder.update(index, output, labels[index])
        recorder.epoch(epoch if number else None)
    if held is not None:
        index = torch.as_tensor(held)
        recorder.heldout(index, network(x[index]))


@pytest.fixture(scope="module")
def report(rows):
    """Of two folds, with planted errors and held-out outputs."""
    x, _, given, _ = rows
    recorder = zcurate.Recorder(N, C)
    labels = recorder.plant(given, 0.05)
    assert (labels != given).sum() == len(recorder.planted.row) == 20
    fold = np.random.default_rng(1).integers(0, 2, N)
    for own in range(2):
        train(recorder, x, labels, np.flatnonzero(fold != own), np.flatnonzero(fold == own), number=True)
    return recorder.report(given=given, classes=["a", "b", "c", "d"])


def test_wrong_labels_come_first(report, rows):
    rank = np.array(report.table.column("rank").to_pylist())
    wrong = rows[3]
    assert wrong[np.argsort(rank)[: wrong.sum()]].mean() > 0.85
    flagged = report.called("incorrect")
    assert (flagged & wrong).sum() > 0.8 * wrong.sum()
    assert report.card["calibration"][0]["planted"] == 20
    assert report.card["warnings"] == []


def test_the_report_is_whole(report, rows, tmp_path):
    assert report.table.column("given").to_pylist() == [["a", "b", "c", "d"][k] for k in rows[2]]
    assert len(report.table.column("loss_curve")[0].as_py()) == 10
    assert all(value > 0 for value in report.table.column("n_seen").to_pylist())
    report.save(str(tmp_path / "r.zcurate.parquet"))
    again = zcurate.load_report(str(tmp_path / "r.zcurate.parquet"))
    assert again.table.equals(report.table)
    assert again.update([{"row": 3, "decision": "keep"}]).table.column("p_incorrect")[3].as_py() == 0
    again.html(str(tmp_path / "r.html"))


def test_without_held_out_outputs_a_warning_says_what_is_missing(rows):
    x, _, given, wrong = rows
    recorder = zcurate.Recorder(N, C)
    train(recorder, x, given, np.arange(N))
    with pytest.warns(UserWarning, match="no held-out outputs"):
        report = recorder.report(given=given, data={"a": x[:, 0].numpy(), "b": x[:, 1].numpy()})
    assert any("no held-out outputs" in text for text in report.card["warnings"])
    rank = np.array(report.table.column("rank").to_pylist())
    assert wrong[np.argsort(rank)[: wrong.sum()]].mean() > 0.8


def test_a_record_is_restored(rows):
    x, _, given, _ = rows
    one, other = zcurate.Recorder(N, C), zcurate.Recorder(N, C)
    labels = one.plant(given)
    train(one, x, labels, np.arange(N), np.arange(N), n_epochs=3)
    other.load_state_dict(one.state_dict())
    assert other.report(given=given).table.equals(one.report(given=given).table)
    with pytest.raises(ValueError, match="a record of 400 rows"):
        zcurate.Recorder(5, C).load_state_dict(one.state_dict())


def test_the_sums_are_those_of_the_batches():
    recorder = zcurate.Recorder(4, 2)
    output = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    recorder.update(torch.tensor([1, 3]), output, torch.tensor([0, 0]))
    torch.testing.assert_close(recorder.now[1], torch.tensor([0, -2.0, 0, 1.0]))
    torch.testing.assert_close(recorder.now[4], torch.tensor([0.0, 1, 0, 1]))


WRONG = [
    (lambda r: r.update(torch.tensor([9]), torch.zeros(1, 3), torch.tensor([0])), ValueError, "index from 9 to 9 — expected 0 to 4"),
    (lambda r: r.update(torch.tensor([0]), torch.zeros(1, 2), torch.tensor([0])), ValueError, r"expected \(B, 3\) logits"),
    (lambda r: r.update(torch.tensor([0, 1]), torch.zeros(1, 3), torch.tensor([0])), ValueError, "one for each row of the batch"),
    (lambda r: r.update(torch.tensor([0]), torch.zeros(1, 3), torch.tensor([0, 1])), ValueError, "one label for each row"),
    (lambda r: r.heldout(torch.tensor([0.5]), torch.zeros(1, 3)), ValueError, "whole numbers"),
    (lambda r: r.epoch(), RuntimeError, "nothing was recorded"),
    (lambda r: r.report(given=[0] * 5), RuntimeError, "0 epochs — expected 2 or more"),
    (lambda r: r.plant([0.5] * 5), ValueError, "class numbers"),
    (lambda r: r.plant([0] * 5, share=0.9), ValueError, "share 0.9"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_use_is_told(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong(zcurate.Recorder(5, 3))
    with pytest.raises(ValueError, match="expected 1 or more rows"):
        zcurate.Recorder(0, 2)


def test_a_shuffled_loader_without_positions_is_told():
    recorder, y = zcurate.Recorder(40, 4), torch.arange(40) % 4
    for seed in range(2):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
        for number, rows in enumerate(order.split(8)):
            recorder.update(torch.arange(8) + 8 * number, torch.randn(8, 4), y[rows])
        recorder.epoch()
    with pytest.raises(ValueError, match=r"\d+% of the rows were trained on another label than given .* at their index — expected index to be the position"):
        recorder.report(given=y)


def test_half_precision_that_overflows_is_told():
    recorder = zcurate.Recorder(40, 2)
    for _ in range(2):
        recorder.update(torch.arange(40), torch.full((40, 2), 70_000.0).half(), torch.arange(40) % 2)
        recorder.epoch()
    with pytest.raises(ValueError, match="not finite.*overflow"):
        recorder.report(given=np.arange(40) % 2)


def test_outputs_that_are_no_numbers_are_told():
    recorder = zcurate.Recorder(40, 2)
    for _ in range(2):
        recorder.update(torch.arange(40), torch.full((40, 2), float("nan")), torch.arange(40) % 2)
        recorder.epoch()
    with pytest.raises(ValueError, match="not finite"):
        recorder.report(given=np.arange(40) % 2)
