"""What tests judge with, as it was before student code ran, put back while a test runs.

A submission and its tests share one process, so a determined attacker can get around
this. What is stopped is what a page on the web suggests: replacing ``torch.allclose``,
``Tensor.__sub__`` or ``all``, hooking IPython, handing in tensors that say they are
equal to anything.
"""

import ast
import builtins
import contextlib
import importlib
import inspect
import operator
import pkgutil
import sys
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

PACKAGES = ("numpy", "utils")  # with their submodules
# Of PyTorch these alone: it changes some of its own classes as it goes.
MODULES = (
    *("builtins", "math", "operator", "torch", "torch.functional", "torch.linalg"),
    *("torch.autograd", "torch.autograd.functional", "torch.nn", "torch.nn.functional"),
    *("torch.nn.modules.module", "torch.testing", "torch.testing._comparison"),
)
SHOWING = ("utils.explorers", "utils.plots")  # no judges, and slow to import
MISSING = object()


class Change(NamedTuple):
    """A name of a space that no longer stands for what it stood for."""

    space: "Space"
    name: str
    original: Any
    now: Any


@dataclass
class Space:
    """Names of a module, a class or an object, and what they stood for at first."""

    owner: Any
    kept: dict[str, Any]
    known: set[str] = field(default_factory=set)  # all names at first
    inherited: tuple[type, ...] = ()  # where a name that is new here hides another
    label: str | None = None  # to report changes by; None: no grader need hear of them

    @property
    def names(self) -> MutableMapping[str, Any]:
        return self.owner if isinstance(self.owner, dict) else vars(self.owner)

    def put(self, name: str, value: Any) -> None:
        """Let ``name`` stand for ``value``, or for nothing if that is ``MISSING``."""
        if isinstance(self.owner, type):
            if value is MISSING:
                type.__delattr__(self.owner, name)
            else:
                type.__setattr__(self.owner, name, value)
        elif value is MISSING:
            self.names.pop(name, None)
        else:
            self.names[name] = value

    def changes(self) -> Iterator[Change]:
        names = self.names
        for name, original in self.kept.items():
            now = names.get(name, MISSING)
            if now is not original and not _compiler_did_it(now):
                yield Change(self, name, original, now)
        if self.inherited:
            for name in [name for name in names if name not in self.known]:
                hides = any(name in vars(base) for base in self.inherited)
                if hides and _acts(names[name]):
                    yield Change(self, name, MISSING, names[name])


def _acts(value: Any) -> bool:
    """Return whether a value is code: a function, a class, a property, a module."""
    return callable(value) or hasattr(value, "__get__") or isinstance(value, ModuleType)


def _compiler_did_it(value: Any) -> bool:
    """Return whether PyTorch wrapped a function of its own as its compiler loaded."""
    both = (value, _innermost(value))
    if not all(isinstance(function, FunctionType) for function in both):
        return False
    torch = Path(sys.modules["torch"].__file__).parent
    outer, inner = (Path(function.__code__.co_filename) for function in both)
    compiler = (torch / "_compile.py", torch / "_dynamo")
    return inner.is_relative_to(torch) and any(map(outer.is_relative_to, compiler))


def _space(
    owner: Any, inherited: tuple[type, ...] = (), label: str | None = None
) -> Space:
    names = vars(owner)
    kept = {name: value for name, value in names.items() if _acts(value)}
    return Space(owner, kept, set(names), inherited, label)


def _mutable(owner: type) -> bool:
    """Return whether code can change a class: made at run time, not immutable."""
    return bool(owner.__flags__ & (1 << 9)) and not owner.__flags__ & (1 << 8)


class Originals:
    """Everything that tests judge with; make it before any student code runs."""

    def __init__(self, shell: Any, kernel: Any) -> None:
        self.shell, self.provided = shell, {}
        modules = _judges()
        self.spaces = [_space(one, label=name) for name, one in modules.items()]
        self.spaces.append(Space(sys.modules, modules, label="sys.modules"))
        for owner in _classes(modules.values()):
            label = f"{owner.__module__}.{owner.__qualname__}"
            self.spaces.append(_space(owner, owner.__mro__[1:], label))
        self.functions = [
            (function, _code(function))
            for space in self.spaces
            for function in map(_innermost, space.kept.values())
            if isinstance(function, FunctionType)
        ]
        self.spaces += _machinery(shell, kernel)
        self.hooks = [
            (owner, name, _copy(getattr(owner, name)))
            for owner, name in (
                (shell.input_transformer_manager, "cleanup_transforms"),
                (shell.input_transformer_manager, "line_transforms"),
                (shell.input_transformer_manager, "token_transformers"),
                (shell, "input_transformers_post"),
                (shell, "ast_transformers"),
                (shell.events, "callbacks"),
                (sys, "meta_path"),
                (sys, "path_hooks"),
            )
        ]

    def provide(self, before: dict[str, Any]) -> None:
        """Keep the functions, classes and modules that a locked cell has bound."""
        for name, value in self.shell.user_ns.items():
            if _acts(value) and before.get(name, MISSING) is not value:
                self.provided[name] = value

    @contextlib.contextmanager
    def in_place(self, code: str) -> Iterator[tuple[list[str], list[str]]]:
        """Run the body, which runs ``code``, with all originals; then undo that.

        The body gets the names of what had been replaced, and a list that holds in the
        end what was replaced while it ran.
        """
        replaced = [*self._changes(), *self._shadows(code)]
        codes = self._changed_code()
        hooks = [getattr(owner, name) for owner, name, _ in self.hooks]
        before, meanwhile = _labels(replaced, codes), []
        _restore(replaced, codes)
        for owner, name, original in self.hooks:
            setattr(owner, name, _copy(original))
        sys.settrace(None)
        try:
            with _plain_tensors():
                yield before, meanwhile
        finally:
            during, codes_during = list(self._changes()), self._changed_code()
            meanwhile += _labels(during, codes_during)
            _restore(during, codes_during)
            for change in replaced:
                change.space.put(change.name, change.now)
            for function, now, _ in codes:
                _set_code(function, now)
            for (owner, name, _), now in zip(self.hooks, hooks, strict=True):
                setattr(owner, name, now)

    def _changes(self) -> Iterator[Change]:
        for space in self.spaces:
            yield from space.changes()

    def _shadows(self, code: str) -> Iterator[Change]:
        """Yield the names in ``code`` that were taken from locked cells or Python."""
        space = Space(self.shell.user_ns, {})
        for name in _names_used(code):
            default = MISSING if hasattr(builtins, name) else None
            original = self.provided.get(name, default)
            now = space.names.get(name, MISSING)
            if original is not None and now is not original:
                yield Change(space, name, original, now)

    def _changed_code(self) -> list[tuple[FunctionType, tuple, tuple]]:
        return [
            (function, _code(function), original)
            for function, original in self.functions
            if any(map(operator.is_not, _code(function), original))
        ]


def _restore(changes: list[Change], codes: list[tuple]) -> None:
    for change in changes:
        change.space.put(change.name, change.original)
    for function, _, original in codes:
        _set_code(function, original)


def _copy(hooks: Any) -> Any:
    """Return a copy of a list of functions, or of such lists by name."""
    if isinstance(hooks, dict):
        return {name: list(functions) for name, functions in hooks.items()}
    return list(hooks)


def _machinery(shell: Any, kernel: Any) -> list[Space]:
    """Return what runs code: IPython's objects and classes, and Python's streams."""
    transformers, compiler = shell.input_transformer_manager, shell.compile
    owners = [shell, kernel, shell.events, transformers, compiler]
    spaces = [_space(owner, type(owner).__mro__) for owner in owners]
    for name in ("custom_exceptions", "CustomTB"):
        spaces[0].kept[name] = vars(shell).get(name, MISSING)
    classes = {base: None for owner in owners for base in type(owner).__mro__}
    spaces += [
        _space(base, base.__mro__[1:])
        for base in classes
        if base.__module__.partition(".")[0] in ("IPython", "ipykernel")
    ]
    streams = ("stdout", "stderr", "displayhook", "excepthook")
    spaces.append(Space(sys, {name: getattr(sys, name) for name in streams}))
    return spaces


def _judges() -> dict[str, ModuleType]:
    """Import and return the modules that tests judge with, by name."""
    for name in (*MODULES, *PACKAGES, "numpy.testing"):
        importlib.import_module(name)
    for found in pkgutil.iter_modules(sys.modules["utils"].__path__, "utils."):
        if not found.ispkg and found.name not in SHOWING:
            importlib.import_module(found.name)
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name in MODULES or name.partition(".")[0] in PACKAGES
    }


def _classes(modules: Any) -> list[type]:
    """Return the classes that modules name, each once, if code can change them."""
    found = {
        value: None
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__.partition(".")[0] != "builtins"
    }
    packages = (*PACKAGES, "torch")
    return [
        owner
        for owner in found
        if owner.__module__.partition(".")[0] in packages and _mutable(owner)
    ]


def _innermost(value: Any) -> Any:
    """Return the function below decorators, static methods and properties."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    if callable(value) and not isinstance(value, type):
        value = getattr(value, "_implementation", value)  # numpy's dispatchers
        with contextlib.suppress(ValueError):
            value = inspect.unwrap(value)
    return value


def _code(function: FunctionType) -> tuple:
    return function.__code__, function.__defaults__, function.__kwdefaults__


def _set_code(function: FunctionType, code: tuple) -> None:
    function.__code__, function.__defaults__, function.__kwdefaults__ = code


def _labels(changes: list[Change], codes: list[tuple]) -> list[str]:
    """Return the full names of what changed, but for what no grader need hear of."""
    names = [f"{c.space.label}.{c.name}" for c in changes if c.space.label is not None]
    return names + [f"{f.__module__}.{f.__qualname__}" for f, _, _ in codes]


def _names_used(code: str) -> set[str]:
    """Return the names that ``code`` reads and does not bind itself."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a magic
        return set()
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    return read - {node.id for node in names if not isinstance(node.ctx, ast.Load)}


def _plain_tensors() -> contextlib.AbstractContextManager:
    """Return a context in which no subclass and no mode redefines what functions do."""
    torch = sys.modules["torch"]
    return torch._C.DisableTorchFunction()
