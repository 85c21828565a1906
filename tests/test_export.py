"""tools.export: the shared module is what the chapters teach."""

import nbformat
import pytest

from tools import export
from tools.notebook import save

MARKED = f'"""A module."""\n\nimport math\n\n{export.MARKER}\n\n\nOLD = 1\n'


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A function that makes a course of one notebook with these exported cells."""

    def course(*sources, module=MARKED):
        tags = {"tags": ["export"]}
        cells = [nbformat.v4.new_code_cell(s, metadata=tags) for s in sources]
        save(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
        (tmp_path / "utils").mkdir(exist_ok=True)
        (tmp_path / "utils" / "m.py").write_text(module)
        monkeypatch.setattr(export, "ROOT", tmp_path)
        monkeypatch.setattr(export, "notebooks", lambda: [tmp_path / "a.ipynb"])
        return tmp_path / "utils" / "m.py"

    return course


def test_it_replaces_what_stands_below_the_marker(course):
    path = course("# exported to utils/m.py\nX = 1", "# exported to utils/m.py\nY = 2")
    assert list(export.outdated()) == [path]
    assert export.export() == [path]
    text = path.read_text()
    assert text.startswith('"""A module."""')
    assert "import math" in text
    assert "OLD" not in text
    assert text.endswith("\n\n\n# From a.ipynb\nX = 1\n\n\n# From a.ipynb\nY = 2\n")
    assert export.outdated() == {}


def test_a_cell_must_name_its_module(course):
    course("X = 1")
    with pytest.raises(ValueError, match=r"expected '# exported to utils/NAME\.py'"):
        export.export()


def test_a_module_must_have_the_marker(course):
    path = course("# exported to utils/m.py\nX = 1", module="import math\n")
    with pytest.raises(ValueError, match="lacks the line"):
        export.export()
    assert path.read_text() == "import math\n"


def test_a_module_whose_last_exported_cell_is_gone_is_out_of_date(course):
    path = course()
    assert list(export.outdated()) == [path]


def test_exported_code_that_is_no_python_is_an_error(course):
    path = course("# exported to utils/m.py\ndef broken(:")
    with pytest.raises(ValueError, match=r"m\.py is no Python"):
        export.export()
    assert path.read_text() == MARKED
