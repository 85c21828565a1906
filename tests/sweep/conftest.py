import pytest

from utils.sweep import Study


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("utils.sweep.study.POLL", 0.05)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """One database for many studies."""
    return tmp_path_factory.mktemp("sweep") / "studies.db"


@pytest.fixture
def study(path, request):
    """A study whose workers count as dead after two seconds."""
    return Study(request.node.name, path, grace=2)
