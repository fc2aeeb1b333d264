"""What the environment says of threads and processes is taken, or refused with the name of the variable."""

from __future__ import annotations

import os

import pytest

from zcurate.errors import UsageError
from zcurate.runtime import environment

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
TWO = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def environ(monkeypatch):
    """Sets the variables, and unsets all others that matter."""

    def put(**values):
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    return put


@pytest.mark.parametrize(("text", "n"), [("4", 4), ("4,2", 4), (" 3 , 1", 3), ("99", 16), ("999999999999999999999", 16), ("", 16)])
def test_the_first_number_of_a_list_of_threads_counts(environ, text, n):
    environ(OMP_NUM_THREADS=text)
    assert environment.cpu_count() == n


@pytest.mark.parametrize("text", ["abc", "0", "-1", "4,", "2.5", "4;2", "²"])
def test_threads_that_are_no_number_are_refused(environ, text):
    environ(OMP_NUM_THREADS=text)
    with pytest.raises(UsageError, match="OMP_NUM_THREADS=.* — expected a number of threads"):
        environment.check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORLD_SIZE", "abc"), ("WORLD_SIZE", "0"), ("WORLD_SIZE", "-2"), ("WORLD_SIZE", "2.0"), ("WORLD_SIZE", "9" * 5000),
        ("RANK", "2"), ("RANK", "-1"), ("RANK", "one"),
        ("LOCAL_RANK", "2"), ("LOCAL_RANK", "x"), ("LOCAL_WORLD_SIZE", "3"), ("LOCAL_WORLD_SIZE", "0"),
        ("MASTER_PORT", "0"), ("MASTER_PORT", "65536"), ("MASTER_PORT", "http"), ("MASTER_PORT", ""), ("MASTER_ADDR", " "),
    ],
)  # fmt: skip
def test_odd_values_are_refused_by_name(environ, name, value):
    environ(**{**TWO, name: value})
    with pytest.raises(UsageError, match=name):
        environment.check()
    assert environment.claimed_rank() in (0, 1)


def test_a_single_process_ignores_what_only_matters_to_several(environ):
    environ(WORLD_SIZE="abc", LOCAL_RANK="x", MASTER_PORT="http")
    environment.check()
    assert (environment.world_size(), environment.rank(), environment.local_rank()) == (1, 0, 0)
    environ(RANK="", WORLD_SIZE="4")
    environment.check()
    environ(**TWO)
    environment.check()
    assert (environment.world_size(), environment.rank(), environment.local_world_size(), environment.local_rank()) == (2, 1, 2, 1)
