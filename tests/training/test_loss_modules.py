"""The losses as modules: equal to the plain loss without a threshold, to the naive formula with one, on one rank or two, compiled or not."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

import zcurate
from tests.conftest import ROOT
from zcurate.config.model_config import DenoisingConfig, ExponentiatedConfig
from zcurate.nn import DenoisingLoss, DiscrimLoss, ExponentiatedGradientLoss, ZErrorLoss

INF = float("inf")


def batch(n=64, n_classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    output = torch.randn(n, n_classes, generator=generator, dtype=torch.float64) * 3
    return output.requires_grad_(), torch.randint(0, n_classes, (n,), generator=generator)


def naive(output, target, threshold=2.0):
    p = output.softmax(1)[torch.arange(len(target)), target]
    error = (torch.log1p(-p) - p.log()).detach()
    z = (error - error.mean()) / error.std()
    keep = z <= threshold
    return F.cross_entropy(output[keep], target[keep]), z, keep


def test_the_module_is_public():
    assert zcurate.nn.ZErrorLoss is ZErrorLoss


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "settings", [{}, {"label_smoothing": 0.1}, {"ignore_index": 2}, {"weight": torch.tensor([1.0, 2, 0.5, 1, 3], dtype=torch.float64)}], ids=str
)
def test_without_a_threshold_it_is_the_plain_loss(reduction, settings):
    output, target = batch()
    torch.testing.assert_close(
        ZErrorLoss(INF, reduction=reduction, **settings)(output, target), F.cross_entropy(output, target, reduction=reduction, **settings)
    )
    soft = torch.softmax(torch.randn(64, 5, dtype=torch.float64), 1)
    if "ignore_index" not in settings and "weight" not in settings:
        torch.testing.assert_close(
            ZErrorLoss(INF, reduction=reduction, **settings)(output, soft), F.cross_entropy(output, soft, reduction=reduction, **settings)
        )


def test_other_tasks_without_a_threshold_are_the_plain_losses():
    output, target = torch.randn(40, requires_grad=True), (torch.rand(40) < 0.5).float()
    torch.testing.assert_close(ZErrorLoss(INF, task="binary")(output, target), F.binary_cross_entropy_with_logits(output, target))
    many, labels = torch.randn(40, 3), (torch.rand(40, 3) < 0.5).float()
    torch.testing.assert_close(ZErrorLoss(INF, task="multilabel")(many, labels), F.binary_cross_entropy_with_logits(many, labels))
    for base, plain in (("mse", F.mse_loss), ("l1", F.l1_loss), ("huber", F.smooth_l1_loss)):
        torch.testing.assert_close(ZErrorLoss(INF, task="regression", base=base)(output, target), plain(output, target))


def test_with_a_threshold_it_is_the_naive_formula():
    output, target = batch()
    loss = ZErrorLoss(1.0)
    expected, z, keep = naive(output, target, 1.0)
    got = loss(output, target)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(loss.z, z)
    assert (loss.keep == keep).all()
    assert 0 < float(loss.mask_frequency) == pytest.approx(1 - keep.double().mean().item())
    got.backward()
    assert (output.grad[~keep] == 0).all()
    assert (output.grad[keep].abs().sum(1) > 0).all()


def test_the_gradient_is_that_of_the_loss():
    output, target = batch(n=12)
    assert torch.autograd.gradcheck(lambda x: ZErrorLoss(1.5)(x, target), (output,))
    assert torch.autograd.gradcheck(lambda x: ZErrorLoss(1.5, task="regression")(x, torch.zeros(12, 5, dtype=torch.float64)), (output,))


def test_outliers_of_a_regression_are_masked_on_both_sides():
    target = torch.zeros(100)
    target[:2] = torch.tensor([50.0, -50.0])
    loss = ZErrorLoss(task="regression")
    value = loss(torch.randn(100, generator=torch.Generator().manual_seed(0)), target)
    assert (~loss.keep).nonzero().flatten().tolist() == [0, 1]
    assert value < 3


def test_each_label_of_a_multi_label_task_has_its_own_z():
    output, target = torch.zeros(50, 2), torch.zeros(50, 2)
    output[:, 1] = 5 + torch.randn(50, generator=torch.Generator().manual_seed(0))
    output[3, 0] = 9.0
    loss = ZErrorLoss(task="multilabel")
    loss(output, target)
    assert loss.z.shape == (50, 2)
    assert not loss.keep[3, 0]
    assert abs(float(loss.z[:, 1].mean())) < 1e-5


def test_rare_classes_are_standardized_by_themselves():
    output, target = batch(n=200, n_classes=3)
    loss = ZErrorLoss(per_class=True, n_classes=3, statistics="ema")
    loss(output, target)
    for name in range(3):
        assert abs(float(loss.z[target == name].mean())) < 1e-4
    assert loss.centre.shape == (1, 3)


def test_running_statistics_are_kept_in_training_alone_and_restored():
    loss = ZErrorLoss(statistics="ema")
    loss(*batch())
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    assert before["seen"].item() == 64
    loss.eval()
    loss(*batch(seed=1))
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    again = ZErrorLoss(statistics="ema")
    again.load_state_dict(before)
    loss.train()
    torch.testing.assert_close(again(*batch(seed=2)), loss(*batch(seed=2)))


def test_the_threshold_is_wide_in_the_beginning():
    loss = ZErrorLoss(1.0, warmup=2, anneal=2)
    masked = []
    for seed in range(6):
        loss(*batch(seed=seed))
        masked.append(float(loss.mask_frequency))
    assert masked[:2] == [0, 0]
    assert masked[2] <= masked[4]
    assert min(masked[4:]) > 0


def test_equal_errors_and_small_batches_are_kept():
    loss = ZErrorLoss()
    loss(torch.zeros(20, 3), torch.zeros(20, dtype=torch.int64))
    assert loss.keep.all()
    loss(*batch(n=3))
    assert loss.keep.all()


def test_ignored_rows_count_neither_in_the_loss_nor_in_the_statistics():
    output, target = batch()
    padded = torch.cat([output, torch.full((6, 5), 100.0, dtype=torch.float64)])
    labels = torch.cat([target, torch.full((6,), -100)])
    torch.testing.assert_close(ZErrorLoss(1.0)(padded, labels), ZErrorLoss(1.0)(output, target))


def test_autocast_and_half_precision_stay_finite():
    output, target = batch()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(ZErrorLoss()(torch.nn.Linear(5, 5).double()(output).float(), target))
    assert torch.isfinite(ZErrorLoss()((output * 20).to(torch.bfloat16), target))


def test_it_compiles_without_a_graph_break():
    loss = ZErrorLoss(1.0)
    compiled = torch.compile(ZErrorLoss(1.0), fullgraph=True, backend="eager")
    output, target = batch()
    torch.testing.assert_close(compiled(output, target), loss(output, target))


RANK = """
import json, sys, torch
from tests.training.test_loss_modules import batch
from zcurate.nn import ZErrorLoss
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
output, target = batch()
part = slice(0, 24) if rank == 0 else slice(24, None)
weight = torch.eye(5, dtype=torch.float64, requires_grad=True)
loss = ZErrorLoss(1.0)
loss(output.detach()[part] @ weight, target[part]).backward()
gradient = weight.grad.clone()
torch.distributed.all_reduce(gradient)
if rank == 0:
    json.dump([(gradient / 2).tolist(), loss.z.tolist()], open(sys.argv[1], "w"))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_are_one_batch(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "PYTHONPATH": str(ROOT)}
    ranks = [subprocess.Popen([sys.executable, "-c", RANK, str(tmp_path / "found.json")], env={**shared, "RANK": str(rank)}) for rank in range(2)]
    assert [one.wait(timeout=120) for one in ranks] == [0, 0]
    gradient, z = json.loads((tmp_path / "found.json").read_text())
    output, target = batch()
    weight = torch.eye(5, dtype=torch.float64, requires_grad=True)
    loss = ZErrorLoss(1.0)
    loss(output.detach() @ weight, target).backward()
    torch.testing.assert_close(torch.tensor(gradient, dtype=torch.float64), weight.grad, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(torch.tensor(z, dtype=torch.float64), loss.z[:24], rtol=1e-4, atol=1e-4)


WRONG = [
    (lambda: ZErrorLoss(task="classes"), "task = 'classes' — expected one of"),
    (lambda: ZErrorLoss(0), "threshold = 0"),
    (lambda: ZErrorLoss(per_class=True), "expected task='classification' and n_classes"),
    (lambda: ZErrorLoss(task="binary", label_smoothing=0.1), "label_smoothing"),
    (lambda: ZErrorLoss(statistics="epoch"), "expected batch or ema"),
    (lambda: ZErrorLoss()(torch.zeros(4), torch.zeros(4)), "for one logit per row: task='binary'"),
    (lambda: ZErrorLoss()(torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64)), "expected (4,)"),
    (lambda: ZErrorLoss(task="regression")(torch.zeros(4, 1), torch.zeros(4)), "expected equal shapes"),
    (lambda: DiscrimLoss(10, 5)(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)), "no index"),
    (lambda: DiscrimLoss(10, 5)(torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64), torch.tensor([3, 10])), "index from 3 to 10 — expected 0 to 9"),
    (lambda: DiscrimLoss(10, 5)(torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64), torch.tensor([3])), "one for each row of the batch"),
    (lambda: DiscrimLoss(0, 5), "n_rows = 0"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_use_is_told(wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        wrong()
    with pytest.raises(RuntimeError, match="no batch yet"):
        ZErrorLoss().z  # noqa: B018


def trained(make_loss, n_steps=300):
    """Train a linear model of two classes with every tenth label wrong; return the loss, the wrong rows, and the accuracy against the truth."""
    torch.manual_seed(0)
    x = torch.randn(200, 2)
    y = (x[:, 0] > 0).long()
    wrong = torch.zeros(200, dtype=torch.bool)
    wrong[::10] = True
    network, loss = torch.nn.Linear(2, 2), make_loss(200, n_steps)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss(network(x), torch.where(wrong, 1 - y, y), torch.arange(200)).backward()
        optimizer.step()
    return loss, wrong, float((network(x).argmax(1) == y).float().mean())


def test_discrim_weighs_rows_that_stay_difficult_less():
    loss, wrong, accuracy = trained(DiscrimLoss)
    assert loss.log_sigma[0, wrong].mean() > loss.log_sigma[0, ~wrong].mean()
    assert accuracy > 0.8


def test_exponentiated_gradient_takes_the_weight_from_wrong_rows():
    loss, wrong, accuracy = trained(lambda n, steps: ExponentiatedGradientLoss(n))
    weight = loss.log_weight.softmax(1)[0] * 200
    assert weight[wrong].mean() < 0.5 < 0.9 < weight[~wrong].mean()
    assert accuracy > 0.9


def test_the_mirror_step_is_that_of_the_formula():
    loss = ExponentiatedGradientLoss(3, ExponentiatedConfig(eg_rate=0.5, eg_memory=0.8, eg_limit=2.0))
    output, y = torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1])
    first = loss(output, y, torch.tensor([2, 0]))
    rows = torch.nn.functional.cross_entropy(output, y, reduction="none")
    torch.testing.assert_close(first, rows.mean())
    torch.testing.assert_close(loss.log_weight[0], torch.tensor([-0.5 * 2.0, 0.0, -0.5 * float(rows[0])]))
    second = loss(output, y, torch.tensor([2, 0]))
    torch.testing.assert_close(second, (torch.tensor([-0.5 * float(rows[0]), -1.0]).softmax(0) * rows).sum())
    torch.testing.assert_close(float(loss.log_weight[0, 0]), -0.8 - 0.5 * 2.0)


def test_denoising_leaves_out_wrong_rows_for_good():
    loss, wrong, accuracy = trained(DenoisingLoss)
    assert loss.left_out[0, wrong].all() and loss.left_out[0, ~wrong].mean() < 0.5
    assert accuracy > 0.95
    before = loss.left_out.clone()
    loss(torch.zeros(200, 2), torch.zeros(200, dtype=torch.int64), torch.arange(200))
    assert torch.equal(loss.left_out, before)
    restored = DenoisingLoss(200, 300)
    restored.load_state_dict(loss.state_dict())
    restored(torch.zeros(200, 2), torch.zeros(200, dtype=torch.int64), torch.arange(200))
    assert torch.equal(restored.left_out, before) and int(restored.steps) == int(loss.steps) + 1


def test_denoising_takes_the_percentile_of_the_losses_of_random_labels():
    # One class is certain, so that a random label of four has loss 0 once in four, and loss 8 otherwise.
    loss = DenoisingLoss(40, 10, DenoisingConfig(odd_warmup=0.5, odd_percentile=20.0))
    output = torch.tensor([[8.0, 0.0, 0.0, 0.0]]).repeat(40, 1)
    y = torch.tensor([0, 1] * 20)
    for _ in range(6):
        loss(output, y, torch.arange(40))
    assert torch.equal(loss.left_out[0] > 0, y == 1)
    loss = DenoisingLoss(40, 10, DenoisingConfig(odd_warmup=0.5, odd_percentile=90.0))
    for _ in range(6):
        loss(output, y, torch.arange(40))
    assert not loss.left_out.any()


def test_one_logit_is_denoised_too():
    loss = DenoisingLoss(4, 2, task="binary")
    torch.testing.assert_close(loss(torch.tensor([1.0, -1.0]), torch.tensor([1.0, 1.0]), torch.tensor([0, 3])), torch.tensor((0.31326 + 1.31326) / 2))
    with pytest.raises(ValueError, match="expected classification or binary"):
        DenoisingLoss(4, 2, task="regression")
