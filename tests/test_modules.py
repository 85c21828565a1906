"""What holds for every module of ``utils``: an order of imports, docstrings, type hints."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import utils

ROOT = Path(utils.__file__).parent
MODULES = re.findall(r"``(\w+)``", utils.__doc__.split("list:")[1])


def source_of(module):
    package = ROOT / module / "__init__.py"
    return package if package.exists() else ROOT / f"{module}.py"


def imported_by(module):
    """Return the submodules of ``utils`` that ``module`` imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {n.split(".")[1] for n in names if n.startswith("utils.")}
    return found


def public_names(module):
    """Yield ``name, object`` of the functions and classes that a module defines."""
    loaded = importlib.import_module(f"utils.{module}")
    for name, value in vars(loaded).items():
        defined_here = getattr(value, "__module__", None) == loaded.__name__
        is_code = inspect.isfunction(value) or inspect.isclass(value)
        if defined_here and is_code and not name.startswith("_"):
            yield name, value


def signatures(module):
    """Yield ``name, function`` of the public functions and of the public methods, ``__init__`` too."""
    for name, value in public_names(module):
        if inspect.isfunction(value):
            yield name, value
            continue
        for attribute, method in vars(value).items():
            method = getattr(method, "__func__", method)
            public = attribute == "__init__" or not attribute.startswith("_")
            if public and inspect.isfunction(method):
                yield f"{name}.{attribute}", method


def test_the_docstring_lists_every_module_once():
    names = {path.stem for path in ROOT.glob("*.py")}
    names |= {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert sorted(MODULES) == sorted(names - {"__init__"})


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_those_before_it(module):
    assert imported_by(module) <= set(MODULES[: MODULES.index(module)])


@pytest.mark.parametrize("module", MODULES)
def test_a_module_and_its_public_names_have_docstrings(module):
    assert ast.get_docstring(ast.parse(source_of(module).read_text(encoding="utf-8")))
    missing = [name for name, value in public_names(module) if not own_doc(value)]
    assert missing == []


def own_doc(value):
    """Return the docstring unless it is inherited or the one that ``dataclass`` makes up."""
    doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return doc and not doc.startswith(f"{value.__name__}(")


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_and_methods_have_type_hints(module):
    missing = []
    for name, function in signatures(module):
        hints = function.__annotations__
        needed = [*inspect.signature(function).parameters, "return"]
        missing += [
            f"{name}: {parameter}"
            for parameter in needed
            if parameter not in hints and parameter not in ("self", "cls")
        ]
    assert missing == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_no_longer_than_400_lines(module):
    assert len(source_of(module).read_text(encoding="utf-8").splitlines()) <= 400
