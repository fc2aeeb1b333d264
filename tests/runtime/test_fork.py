"""Two members in two forked processes: the same record as in one, and no process left behind, whatever happens."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import torch

from tests.encoding.test_encoder import data_of
from tests.small_runs import encode, train
from zcurate.config.model_config import ModelConfig
from zcurate.errors import ProcessError
from zcurate.runtime import environment, fork
from zcurate.runtime.progress import NoProgress
from zcurate.runtime.store import SharedStore
from zcurate.training.models import builder

pytestmark = pytest.mark.skipif(not fork.can_fork(), reason="needs Linux's fork")
SPEC = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=1, folds=2)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class StepRecorder(NoProgress):
    def __init__(self):
        self.steps = []

    def step(self, done, total):
        self.steps.append((done, total))


def encoded():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=400), rng.normal(size=400)
    return encode(data_of({"a": a, "b": b, "label": np.where(a + b > 0, "up", "down")}), SPEC)


def train_members(may_fork, build=None, progress=None, spec=SPEC):
    return train(encoded(), spec, 4, build=build, progress=progress or NoProgress(), owns_process=may_fork)[0]


@pytest.mark.parametrize("rounds", [1, 2])
def test_two_processes_record_what_one_does(rounds):
    spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=rounds, folds=2, clues=("posterior", "second_split"))
    one, progress = train_members(False, spec=spec), StepRecorder()
    two = train_members(True, progress=progress, spec=spec)
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, two.columns[name], err_msg=name)
    for name, values in one.curves.items():
        np.testing.assert_array_equal(values, two.curves[name], err_msg=name)
    np.testing.assert_array_equal(one.heldout, two.heldout)
    np.testing.assert_array_equal(one.rounds[-1].hard_heldout, two.rounds[-1].hard_heldout)
    assert progress.steps[-1][0] == progress.steps[-1][1] and len(progress.steps) < 2 * 4 * rounds
    assert torch.get_num_threads() == 2


def test_members_train_in_two_processes_only_where_forking_is_allowed():
    parent = os.getpid()
    for may_fork, n in ((True, 1), (False, 2)):
        n_built = SharedStore().zeros((2,), np.float32)

        def build(spec, encoded, n_members, generator, n_built=n_built):
            n_built[int(os.getpid() != parent)] += 1
            return builder("mlp")(spec, encoded, n_members, generator)

        train_members(may_fork, build)
        assert n_built.tolist() == [n, 2 - n]


def test_background_work_starts_once_and_in_the_parent_only():
    for limit in (None, 60.0):
        started = SharedStore().zeros((2,), np.float32)
        parent = os.getpid()

        def start(started=started, parent=parent):
            started[int(os.getpid() != parent)] += 1

        spec = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=2, folds=2)
        train(encoded(), spec, 3, time_limit=limit, start_background=start, owns_process=True)
        assert started.tolist() == [1, 0]


def failing(error):
    parent = os.getpid()

    def build(spec, encoded, n_members, generator):
        if os.getpid() != parent:
            error()
        return builder("mlp")(spec, encoded, n_members, generator)

    return build


def test_an_error_in_the_child_is_raised_in_the_parent():
    def wrong():
        raise ValueError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        train_members(True, failing(wrong))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("number", "why"), [(signal.SIGKILL, "by signal 9, as the system does when memory runs out"), (signal.SIGTERM, "by signal 15 —")])
def test_a_child_that_a_signal_ended_is_reported(number, why):
    with pytest.raises(ProcessError, match=why) as caught:
        train_members(True, failing(lambda: os.kill(os.getpid(), number)))
    assert caught.value.exit_code == 128 + number


def test_a_child_ends_with_its_parent_even_if_that_is_killed():
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:

        def work(processes):
            if processes.member_group == 1:
                os.write(writer, str(os.getpid()).encode())
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)

        fork.run_forked(work)
    os.waitpid(parent, 0)
    os.close(writer)
    os.read(reader, 20)
    # The pipe is closed once the child is gone too.
    assert os.read(reader, 1) == b""
    os.close(reader)


def interrupted(pids):
    def work(processes):
        if processes.member_group == 1:
            pids[0] = os.getpid()
            signal.pause()
        while not pids[0]:
            pass
        raise KeyboardInterrupt

    fork.run_forked(work)


def test_an_error_in_the_parent_ends_the_child():
    pids = SharedStore().zeros((1,), np.int64)
    with pytest.raises(KeyboardInterrupt):
        interrupted(pids)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0]), 0)


def test_the_child_may_use_threads_of_its_own(monkeypatch):
    monkeypatch.setattr(environment, "cpu_count", lambda: 6)
    big = torch.randn(400, 400)
    big @ big  # OpenMP's helpers are there.
    spec = ModelConfig(name="mlp", hidden=(256, 256), batch=400, rounds=1, folds=2)
    assert np.isfinite(train_members(True, spec=spec).heldout).all()


def test_shared_memory_is_visible_in_both_processes():
    shared, own = SharedStore().zeros((3, 2), np.float32), np.zeros(1)

    def work(processes):
        shared[processes.member_group] = processes.member_group + 1
        own[0] = processes.member_group
        return processes.member_group, "of either"

    assert fork.run_forked(work) == ((0, "of either"), (1, "of either"))
    assert shared.tolist() == [[1, 1], [2, 2], [0, 0]] and own[0] == 0
    assert SharedStore().zeros((0, 4), np.float32).shape == (0, 4)
