"""What holds for every module: the order of imports, docstrings, type hints, names."""

import ast
import importlib
import inspect
import re

import pytest

from tools.notebook import ROOT

# Each may import those before it; its docstring lists its modules in their order.
HOUSES = ("utils", "tools", "grading")
PACKAGES = [
    ".".join(path.parent.relative_to(ROOT).parts)
    for house in HOUSES
    for path in sorted((ROOT / house).rglob("__init__.py"))
]


def listed(package):
    """Return the modules that a package's docstring lists, in order."""
    source = source_of(package).read_text(encoding="utf-8")
    doc = ast.get_docstring(ast.parse(source))
    sentence = re.search(r"in this list:([^.]*)\.", doc)
    return re.findall(r"``(\w+)``", sentence.group(1)) if sentence else []


def source_of(module):
    path = ROOT.joinpath(*module.split("."))
    package = path / "__init__.py"
    return package if package.exists() else path.with_suffix(".py")


def present(package):
    folder = source_of(package).parent
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    return names | {path.parent.name for path in folder.glob("*/__init__.py")}


def place(module):
    """Return where a module stands in the order of all, as a key to sort by."""
    house, *parts = module.split(".")
    key, package = [HOUSES.index(house)], house
    for part in parts:
        names = listed(package)
        if part not in names:  # a name that a package hands on
            break
        key.append(names.index(part))
        package = f"{package}.{part}"
        if package not in PACKAGES:
            break
    return key


MODULES = [f"{package}.{name}" for package in PACKAGES for name in listed(package)]


def imported_by(module):
    """Return what a module of the house imports of it, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name for name in names if name.split(".")[0] in HOUSES}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_the_docstring_of_a_package_lists_every_module_once(package):
    assert sorted(listed(package)) == sorted(present(package))


@pytest.mark.parametrize("module", sorted({*PACKAGES, *MODULES}))
def test_a_module_imports_only_those_before_it(module):
    for name in imported_by(module):
        inside = module in PACKAGES and name.startswith(f"{module}.")
        assert inside or place(name) < place(module), f"{module} imports {name}"


def public_names(module):
    """Yield ``name, object`` of the functions and classes that a module defines."""
    for name, value in vars(importlib.import_module(module)).items():
        defined_here = getattr(value, "__module__", None) == module
        is_code = inspect.isfunction(value) or inspect.isclass(value)
        if defined_here and is_code and not name.startswith("_"):
            yield name, value


def signatures(module):
    """Yield ``name, function`` of public functions and methods, ``__init__`` too."""
    for name, value in public_names(module):
        if inspect.isfunction(value):
            yield name, value
            continue
        for attribute, method in vars(value).items():
            method = getattr(method, "__func__", method)
            public = attribute == "__init__" or not attribute.startswith("_")
            if public and inspect.isfunction(method):
                yield f"{name}.{attribute}", method


def own_doc(value):
    """Return the docstring unless it is inherited or the one ``dataclass`` makes up."""
    doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return doc and not doc.startswith(f"{value.__name__}(")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_and_its_public_names_have_docstrings(module):
    assert ast.get_docstring(ast.parse(source_of(module).read_text(encoding="utf-8")))
    assert [n for n, value in public_names(module) if not own_doc(value)] == []


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_and_methods_have_type_hints(module):
    missing = []
    for name, function in signatures(module):
        needed = [*inspect.signature(function).parameters, "return"]
        hints = {*function.__annotations__, "self", "cls"}
        missing += [
            f"{name}: {parameter}" for parameter in needed if parameter not in hints
        ]
    assert missing == []


@pytest.mark.parametrize("module", MODULES)
def test_what_validates_requires_and_only_learners_are_checked(module):
    for name, function in signatures(module):
        verb = name.split(".")[-1].split("_")[0]
        if verb == "require":
            assert function.__annotations__["return"] in (None, "None"), name
        assert verb != "check" or module == "utils.checks", name


def test_the_rule_of_imports_finds_a_circle_and_a_later_module():
    assert (
        place("utils.arguments") < place("utils.cells.RNNScratch") < place("tools.lint")
    )
    assert place("utils.training") < place("utils.sweep.study")
    assert place("tools.studies.common") < place("tools.studies.texts")
    assert not place("utils.plots") < place("utils.training")
    assert not place("tools.notebook") < place("utils.sweep")


def test_the_kernel_of_the_sandbox_is_a_program_of_its_own():
    for path in (ROOT / "grading" / "kernel").glob("*.py"):
        for name in imported_by(f"grading.kernel.{path.stem}"):
            assert name.startswith("utils."), f"{path.name} imports {name}"
