from functools import cache

import nbgrader.api
import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_look_at_the_version():
    """Let nbgrader ask only once which version its databases have: it takes seconds."""
    ask = nbgrader.api.get_alembic_version
    nbgrader.api.get_alembic_version = cache(ask)
    yield
    nbgrader.api.get_alembic_version = ask
