from functools import cache

import nbgrader.api
import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_look_at_the_version():
    """Let nbgrader ask only once which version its databases have: it takes seconds."""
    once = cache(nbgrader.api.get_alembic_version)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nbgrader.api, "get_alembic_version", once)
        yield
