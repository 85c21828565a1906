"""What nbgrader's course in the folder of grades depends on."""

import pytest

from grading import course
from grading.limits import Limits

PATHS = ["a.ipynb", "utils/text.py", "utils/sweep/plans.py", "grading/kernel/x.py"]


@pytest.fixture
def fingerprint(tmp_path, monkeypatch):
    """A function that returns the fingerprint of an assignment in a repository."""
    monkeypatch.setattr(course, "ROOT", tmp_path)
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x = 1")
    return lambda **limits: course._fingerprint(tmp_path / PATHS[0], Limits(**limits))


@pytest.mark.parametrize("path", PATHS)
def test_the_fingerprint_takes_all_files_that_decide(fingerprint, tmp_path, path):
    before = fingerprint()
    assert fingerprint() == before
    (tmp_path / path).write_text("x = 2")
    assert fingerprint() != before


@pytest.mark.parametrize("package", ["nbgrader", "torch"])
def test_the_fingerprint_takes_versions(fingerprint, monkeypatch, package):
    before, real = fingerprint(), course.version

    def version(name):
        return "another" if name == package else real(name)

    monkeypatch.setattr(course, "version", version)
    assert fingerprint() != before


def test_the_fingerprint_takes_limits(fingerprint):
    assert fingerprint(memory=1) != fingerprint(memory=2)
