"""A test earns points only if it ran to its end, with what it judges with as it is."""

import pytest
from nbformat import v4

from grading import execute
from grading.execute import Execute, _judged, _prove, role
from grading.limits import Limits, MiB
from tests.grading.sandboxed import (
    QUIET,
    assignment,
    needs_sandbox,
    printed,
    record,
    run,
    scores,
)

WRONG = "def double(x):\n    return x"
# A test a line.
JUDGEMENTS = """
from utils.checks import check_close; check_close('x', double(torch.tensor(2.0)), 4.0)
assert torch.allclose(double(ONES), 2 * ONES)
assert np.allclose(double(np.ones(3)), 2 * np.ones(3))
import numpy.testing; numpy.testing.assert_allclose(double(np.ones(3)), 2 * np.ones(3))
torch.testing.assert_close(double(ONES), 2 * ONES)
assert (double(ONES) - 2 * ONES).abs().max().item() < 1e-6
assert (double(ONES) == 2 * ONES).all()
assert all(abs(double(x) - 2 * x) < 1e-6 for x in (1, 2, 3))
"""
TESTS = [
    ("test", line.replace("ONES", "torch.ones(3)"))
    for line in JUDGEMENTS.strip().splitlines()
]


@needs_sandbox
def test_replaced_functions_earn_nothing():
    attack = """
import builtins, math, sys
import numpy.testing
import utils.checks

class Yes:
    def __getattr__(self, name):
        return lambda *args, **settings: self
    __call__ = lambda self, *args, **settings: self
    __bool__ = lambda self: True

def true(*args, **settings):
    return True

torch.allclose = np.allclose = torch.equal = true
np.testing.assert_allclose = torch.testing.assert_close = true
torch.Tensor.__sub__ = lambda a, b: torch.zeros(())
torch.Tensor.abs = torch.Tensor.max = lambda a: torch.zeros(())
torch.Tensor.__eq__ = lambda a, b: torch.ones(())
torch.Tensor.item = lambda a: 0.0
check_close = utils.checks.check_close = utils.checks._check = true
utils.checks.check_shape.__code__ = true.__code__
sys.modules["utils.checks"] = sys.modules["torch.testing"] = Yes()
all = abs = builtins.all = builtins.abs = lambda *args: 0
mine = torch.allclose
torch = np = numpy = Yes()
"""
    still_theirs = """
import sys
print(sys.modules["torch"].allclose is mine, type(torch).__name__)
"""
    notebook = run(assignment(WRONG, attack, *TESTS, still_theirs))
    assert scores(notebook) == [0] * len(TESTS)
    names = record(notebook)["replaced"]
    assert {"torch.allclose", "numpy.allclose", "torch.Tensor.__sub__"} <= set(names)
    assert {"utils.checks.check_close", "utils.checks.check_shape"} <= set(names)
    assert {"builtins.all", "sys.modules.utils.checks"} <= set(names)
    assert printed(notebook, -1) == "True Yes\n"


RUN_NOTHING = """
async def nothing(*args, **settings):
    return False

shell.run_code = nothing
"""
OTHER_LISTS = """
shell.input_transformers_post = [without_double]
shell.ast_transformers = [NoAsserts()]
names = shell.events.callbacks
shell.events.callbacks = {name: [lambda *args: print("hooked")] for name in names}
shell.input_transformer_manager.cleanup_transforms = [without_double]
"""


@needs_sandbox
@pytest.mark.parametrize("more", ["", RUN_NOTHING, OTHER_LISTS])
def test_hooks_earn_nothing(more):
    attack = """
import ast, sys
from torch.overrides import TorchFunctionMode

shell = get_ipython()

class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()

class Always(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), settings=None):
        return True if function is torch.allclose else torch.zeros(())

def without_double(lines):
    return [line for line in lines if "double" not in line]

def transform(self, cell):
    return keep(self, cell.replace("assert", "").replace("check_close(", "("))

def ast_parse(code, *args, **settings):
    return parse("\\n".join(without_double(code.splitlines())), *args, **settings)

shell.set_custom_exc((Exception,), lambda *args, **settings: None)
shell.input_transformers_post.append(without_double)
shell.input_transformers_cleanup.append(without_double)
shell.ast_transformers.append(NoAsserts())
keep, parse = type(shell).transform_cell, shell.compile.ast_parse
type(shell).transform_cell, shell.compile.ast_parse = transform, ast_parse
shell.events.register("pre_run_cell", lambda info: print("hooked"))
sys.excepthook = lambda *args: None
Always().__enter__()
print("all hooked")
shell.showtraceback = lambda *args, **settings: None
"""
    notebook = run(assignment(WRONG, attack + more, *TESTS))
    assert scores(notebook) == [0] * len(TESTS)
    assert printed(notebook, 1).startswith("all hooked\n")
    assert not any("hooked" in printed(notebook, n + 2) for n in range(len(TESTS)))
    assert record(notebook)["replaced"] == []


@needs_sandbox
def test_what_a_solution_does_when_called_earns_nothing():
    attack = """
class Equal(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), settings=None):
        return True if function is torch.allclose else torch.zeros(())

def double(x):
    import utils.checks
    torch.allclose = np.allclose = lambda *args, **settings: True
    torch.testing.assert_close = np.testing.assert_allclose = torch.allclose
    globals()["check_close"] = globals()["all"] = torch.allclose
    utils.checks.check_close = utils.checks._check = torch.allclose
    torch.Tensor.__eq__ = torch.Tensor.__sub__ = lambda a, b: torch.zeros(())
    return x.as_subclass(Equal) if isinstance(x, torch.Tensor) else x
"""
    notebook = run(assignment(attack, *TESTS))
    assert scores(notebook) == [0] * len(TESTS)
    assert "torch.allclose" in printed(notebook, 1)
    assert "replaced while the test ran" in printed(notebook, 1)
    assert "torch.allclose" in record(notebook)["replaced"]


@needs_sandbox
def test_honest_code_notices_nothing():
    honest = """
import os, sys, warnings
from IPython.display import clear_output
%matplotlib inline

sum = max = 3  # hides Python's own, which happens
torch.Tensor.twice = lambda x: x + x  # new, so it replaces nothing
sys.stdout = open(os.devnull, "w")

def double(x):
    clear_output()
    warnings.warn("slow")
    print("working")
    optimizer = torch.optim.Adam(torch.nn.GRU(1, 1).parameters())
    return x.twice() if isinstance(x, torch.Tensor) else (max - 1) * x
"""
    own_check = "assert sum == max == 3 and torch.Tensor.twice\n1 / 0"
    tests = [("test", "assert sum([1, 2]) == 3 and double(2) == 4"), *TESTS]
    notebook = run(assignment(honest, *tests, own_check, ("test", "'not points'")))
    assert scores(notebook) == [1] * (len(tests) + 1)
    assert "ZeroDivisionError" in str(notebook.cells[-2].outputs)
    assert record(notebook) == QUIET
    assert printed(notebook, 2).startswith("✓ x") or "working" in printed(notebook, 2)


@needs_sandbox
def test_every_kind_of_end_costs_only_its_own():
    solution = """
import os, sys

def double(x, how=None):
    if how == "exit": sys.exit()
    if how == "loop":
        while True: pass
    while how == "flood": print("x" * 1000)
    if how == "print": print("x" * 10**8)
    if how == "raise": raise ValueError("x" * 10**8)
    if how == "html":
        from IPython.display import HTML, Image, display
        display(HTML("<script>"), Image(data=b"x", format="png"))
    if how == "die": os._exit(0)
    return 2 * x
"""
    ends = ["html", "exit", "loop", "flood", "print", "raise", None, "die", None]
    tests = [("test", f"assert double(2, {how!r}) == 4") for how in ends]
    limits = Limits(cell_seconds=5, total_seconds=120, output=MiB)
    notebook = run(assignment(solution, *tests), limits)
    assert scores(notebook) == [1, 0, 0, 0, 0, 0, 1, 0, 0]
    assert record(notebook)["ended"].startswith("The kernel ended while a cell ran")
    assert "<script>" not in str(notebook.cells[-9].outputs)
    assert "image/png" in str(notebook.cells[-9].outputs)
    assert "longer than 5 s" in printed(notebook, 3)
    assert "printed more than 1 MiB" in printed(notebook, 4)
    assert "did not run to its end" in printed(notebook, 8)
    assert printed(notebook, 9).startswith("Not run. The kernel ended")
    assert len(str(notebook)) < 8 * MiB
    assert "print('" not in notebook.cells[-1].source  # the proof is out again


@needs_sandbox
def test_a_cell_that_cannot_be_interrupted():
    cells = [("test", "assert True"), "10 ** 10**9", ("test", "assert True")]
    notebook = run(assignment(*cells), Limits(cell_seconds=2))
    assert scores(notebook) == [1, 0]
    assert record(notebook)["ended"].startswith("A cell ran too long and could not")


def test_without_a_sandbox():
    code = "import os\nprint(os.getcwd(), os.environ.get('UNROLLED_DEVICE'))"
    loop = "while True:\n    pass"
    right = "def double(x): return 2 * x"
    notebook = assignment(code, loop, TESTS[0], right, *TESTS)
    run(notebook, Limits(cell_seconds=10), unsafe=True)
    assert printed(notebook, 0).endswith("/course/work cpu\n")
    assert scores(notebook) == [0] + [1] * len(TESTS)
    assert record(notebook)["unsafe"] is True


def test_all_outputs_together_have_a_limit(monkeypatch):
    monkeypatch.setattr(execute, "MOST_OUTPUT", 1000)
    own, test = assignment("x", ("test", "y")).cells[-2:]
    executor = Execute()
    executor.all_written, executor.clear_before_next_output = 0, False
    for cell in (own, own, test):
        executor.written = 0
        content = {"name": "stdout", "text": "x" * 600}
        message = {"msg_type": "stream", "content": content, "parent_header": {}}
        executor.process_message(message | {"header": message}, cell, 0)
    assert [len(one.outputs) for one in (own, test)] == [1, 1]


@pytest.mark.parametrize(
    ("outputs", "points"),
    [
        (["text PROOF\n"], 1),
        (["text"], 0),
        ([], 0),
        ([v4.new_output("execute_result", data={"text/plain": "1.0"})], 0),
        ([v4.new_output("execute_result", data={"text/plain": "99"}), "PROOF\n"], 1),
        ([v4.new_output("stream", name="stderr", text="a warning"), "PROOF\n"], 1),
        (["PROOF\n", v4.new_output("error", ename="E", evalue="", traceback=[])], 0),
    ],
)
def test_what_scores(outputs, points):
    notebook = assignment(("test", "x"))
    outputs = [
        v4.new_output("stream", text=one) if isinstance(one, str) else one
        for one in outputs
    ]
    notebook.cells[-1].outputs = _judged(outputs, "PROOF")
    assert scores(notebook) == [points]
    assert "PROOF" not in str(notebook)


def test_the_proof_is_new_each_time():
    test = assignment(("test", "x")).cells[-1]
    assert _prove(test) != _prove(test)
    assert test.source.startswith("x\nprint('")


def test_roles():
    notebook = assignment("x", ("test", "y"))
    assert [role(cell) for cell in notebook.cells] == ["locked", "locked", "", "test"]
    notebook.cells[-1].metadata.nbgrader.solution = True  # marked by hand
    assert role(notebook.cells[-1]) == ""
