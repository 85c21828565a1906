"""Limits of the processes of a submission, and of the grader's own work."""

import time

import pytest

from grading.limits import Limits, MiB, at_most


def test_limits_of_a_process():
    limits = Limits(memory=5 * MiB).of_a_process()
    assert limits["RLIMIT_DATA"] == 5 * MiB
    assert limits["RLIMIT_CORE"] == 0


def loop():
    while True:
        pass


def test_the_grader_does_not_work_on_one_file_for_ever():
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"it took longer than 0\.2 s"), at_most(0.2):
        loop()
    with at_most(60):
        pass
    assert time.monotonic() - started < 30
