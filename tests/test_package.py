"""How the house is built: who may import whom, what is public, what is documented, what lies where."""

import ast
import graphlib
import importlib
import json
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tinygrad_sm"

# A part of the package imports only parts that stand before it.
ORDER = [
    *("location", "display", "errors", "effects", "randomness", "methods", "numpy_calls", "operand", "state", "files"),
    *("replaced", "threads", "variables"),
    *(
        "engine",
        "jacobians",
        "optable",
        "checking",
        "ops",
        "linalg",
        "nn",
        "optim",
        "data",
        "compiler",
        "train",
        "debug",
    ),
    *("interop", "estimators", "course", "__main__", "__init__"),
]
# Parts that know nothing of each other although the order would allow it.
STRANGERS = {("optim", "nn"), ("data", "nn"), ("data", "optim")}
# The same order among the files of the engine; helpers that are not named here stand before all of them.
ENGINE_ORDER = ["primitive", "tape", "tensor", "transforms", "__init__"]
ENGINE_LINES = 700
# And among the parts of the readers for people.
DEBUG_ORDER = [
    *(
        "literals",
        "text",
        "naming",
        "symbols",
        "recording",
        "comparison",
        "explanation",
        "diagnosis",
        "nonfinite",
    ),
    *("monitoring", "scripts", "pictures", "pages", "stepping", "__init__"),
]

# Modules of the standard library that Windows or Pyodide does not have: never imported while the package is.
NOT_EVERYWHERE = {
    *("curses", "fcntl", "grp", "lzma", "msvcrt", "multiprocessing", "nt", "posix", "pty", "pwd", "readline"),
    *("resource", "sqlite3", "ssl", "syslog", "termios", "tkinter", "tty", "winreg", "winsound"),
}

# A part that is of use with an extra alone, and is itself imported late: it may import the extra at the top.
OPTIONAL_PART = "tinygrad_sm.compiler.fused"

TOP_FOLDERS = {"tinygrad_sm", "tests", "demos", ".ci"}
TOP_FILES = {
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml", ".gitignore"),
}
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:home|root|work|Users)/\w")


class Import(NamedTuple):
    """One name that one module imports from another."""

    importer: str
    imported: str
    line: int
    in_function: bool = False
    for_types_only: bool = False


def module_name(path, root=ROOT):
    """`tinygrad_sm.engine.tape` for its file; a package is named by its folder alone."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


TREES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = sorted(module_name(path) for path in PACKAGE.rglob("__init__.py"))


def imports_of(module, tree, modules):
    """Every import in a module, wherever it stands, resolved to the module that it reaches."""

    def visit(node, in_function, for_types_only):
        for target in targets(node, module, modules):
            yield Import(module, target, node.lineno, in_function, for_types_only)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        types_only = for_types_only or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside, types_only)

    return list(visit(tree, False, False))


def targets(node, module, modules):
    """The modules that a statement imports, if it is an import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module
    if node.level:
        is_package = any(name.startswith(f"{module}.") for name in modules)
        parents = module.split(".")[: len(module.split(".")) - node.level + is_package]
        base = ".".join([*parents, node.module] if node.module else parents)
    submodules = [f"{base}.{alias.name}" for alias in node.names]
    return [submodule if submodule in modules else base for submodule in submodules]


IMPORTS = [found for module, tree in TREES.items() for found in imports_of(module, tree, TREES)]


def is_ours(module):
    return module.partition(".")[0] == "tinygrad_sm"


def part(module):
    """`engine` for `tinygrad_sm.engine.tape`."""
    return module.split(".")[1] if "." in module else "__init__"


def engine_rank(module):
    file = module.removeprefix("tinygrad_sm.engine").removeprefix(".") or "__init__"
    return ENGINE_ORDER.index(file) if file in ENGINE_ORDER else -1


def debug_rank(module):
    return DEBUG_ORDER.index([*module.split("."), "__init__"][2])


def breaks_the_order(found):
    """Whether an import of ours by ours goes upwards, or between strangers."""
    importer, imported = part(found.importer), part(found.imported)
    if (importer, imported) in STRANGERS:
        return True
    if importer == imported == "engine":
        return engine_rank(found.importer) < engine_rank(found.imported)
    if importer == imported == "debug":
        return debug_rank(found.importer) < debug_rank(found.imported)
    return ORDER.index(importer) < ORDER.index(imported)


def breaks_the_rules_of_place(found):
    """Whether an import stands in a function and should not, or does not and should."""
    name = found.imported.partition(".")[0]
    if found.for_types_only:
        return False
    if found.importer.startswith(OPTIONAL_PART):
        return found.in_function
    optional = name in NOT_EVERYWHERE or name not in {*sys.stdlib_module_names, "numpy", "tinygrad_sm"}
    return optional != found.in_function


def cycle(imports):
    """The modules of one import cycle, or None."""
    graph = graphlib.TopologicalSorter()
    for found in imports:
        if is_ours(found.imported):
            graph.add(found.importer, found.imported)
    try:
        graph.prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_every_part_has_its_place_in_the_order():
    assert {part(module) for module in TREES} <= set(ORDER)


def test_a_part_imports_only_what_stands_above_it():
    assert [found for found in IMPORTS if is_ours(found.imported) and breaks_the_order(found)] == []


def test_no_module_takes_part_in_an_import_cycle():
    assert cycle(IMPORTS) is None


def test_only_optional_modules_are_imported_late_and_all_of_them_are():
    assert [found for found in IMPORTS if breaks_the_rules_of_place(found)] == []


def test_nobody_waits_for_the_part_that_needs_an_extra():
    others = [found for found in IMPORTS if not found.importer.startswith(OPTIONAL_PART)]
    assert [found for found in others if found.imported.startswith(OPTIONAL_PART)] == []


@pytest.mark.parametrize(
    ("importer", "code", "wrong"),
    [
        ("engine.tape", "from tinygrad_sm.errors import ShapeError", False),
        ("engine.tape", "from tinygrad_sm.engine import primitive", False),
        ("engine.tape", "from tinygrad_sm.engine import tensor", True),
        ("engine.tape", "from tinygrad_sm.engine.samples import Sample", False),
        ("engine.samples", "import tinygrad_sm.engine.tape", True),
        ("engine.tape", "def f():\n    from tinygrad_sm.engine.tensor import Tensor", True),
        ("engine.tape", "from . import tensor", True),
        ("engine.tape", "from .primitive import Primitive", False),
        ("engine.tape", "from ..ops import exp", True),
        ("engine.tape", "if TYPE_CHECKING:\n    from tinygrad_sm.engine.tensor import Tensor", True),
        ("optim.sgd", "from tinygrad_sm.nn import Parameter", True),
        ("train.loop", "from tinygrad_sm import data, nn, optim", False),
        ("train.loop", "import tinygrad_sm", True),
        ("train.loop", "from tinygrad_sm import Tensor", True),
        ("debug.recording", "from tinygrad_sm.debug.naming import Names", False),
        ("debug.recording", "from tinygrad_sm.debug.stepping.stepper import step", True),
        ("debug.pages.page", "from tinygrad_sm.debug.pictures.drawing import svg_of", False),
    ],
)
def test_the_walk_tells_right_imports_from_wrong_ones(importer, code, wrong):
    parts = {f"tinygrad_sm.{name}" for name in ("errors", "engine", "ops", "linalg", "nn", "optim", "data")}
    files = {f"tinygrad_sm.engine.{name}" for name in ("primitive", "tape", "tensor", "samples")}
    modules = {"tinygrad_sm", *parts, *files}
    found = imports_of(f"tinygrad_sm.{importer}", ast.parse(code), modules)
    assert found
    assert any(is_ours(each.imported) and breaks_the_order(each) for each in found) == wrong


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("import json", False),
        ("import numpy.linalg", False),
        ("import tqdm", True),
        ("try:\n    import tqdm\nexcept ImportError:\n    pass", True),
        ("import termios", True),
        ("def f():\n    import tqdm", False),
        ("def f():\n    import termios", False),
        ("def f():\n    import json", True),
        ("class A:\n    def f(self):\n        from tinygrad_sm import ops", True),
        ("if TYPE_CHECKING:\n    from matplotlib.figure import Figure", False),
    ],
)
def test_the_walk_tells_late_imports_from_early_ones(code, wrong):
    found = imports_of("tinygrad_sm.train.loop", ast.parse(code), {"tinygrad_sm", "tinygrad_sm.ops"})
    assert [breaks_the_rules_of_place(each) for each in found] == [wrong]


def test_the_walk_notices_a_cycle():
    around = [Import("tinygrad_sm.a", "tinygrad_sm.b", 1), Import("tinygrad_sm.b", "tinygrad_sm.a", 1)]
    assert set(cycle(around)) == {"tinygrad_sm.a", "tinygrad_sm.b"}
    assert cycle(around[:1]) is None


def test_importing_the_package_loads_only_numpy_and_the_standard_library():
    code = (
        "import json, sys; import numpy, numpy.random; before = set(sys.modules)\n"
        "import tinygrad_sm; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert "tinygrad_sm" in loaded
    assert loaded - sys.stdlib_module_names - {"numpy", "tinygrad_sm"} == set()


def test_the_engine_can_be_read_in_one_sitting():
    lengths = {path.name: len(path.read_text().splitlines()) for path in (PACKAGE / "engine").glob("*.py")}
    assert sum(lengths.values()) < ENGINE_LINES, lengths


def hidden_modules(package, tree, modules):
    """Submodules whose name the package's `__init__` gives to something that is not that module."""
    submodules = {name.rpartition(".")[2] for name in modules if name.rpartition(".")[0] == package}
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {
                alias.asname or alias.name
                for alias in node.names
                if f"{node.module}.{alias.name}" not in modules or alias.asname not in (None, alias.name)
            }
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return submodules & names


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_bears_the_name_of_a_public_function_of_its_package(package):
    assert hidden_modules(package, TREES[package], TREES) == set()
    # `from ... import *` says no names, so ask the package itself as well.
    public = vars(importlib.import_module(package))
    submodules = [name for name in TREES if name.rpartition(".")[0] == package and not name.endswith("__main__")]
    for name in submodules:
        assert isinstance(public.get(name.rpartition(".")[2], types), types.ModuleType), name


def test_a_module_hidden_by_a_function_is_noticed():
    modules = {"p", "p.step", "p.functional"}
    assert hidden_modules("p", ast.parse("from p.step import step"), modules) == {"step"}
    assert hidden_modules("p", ast.parse("def step(): pass"), modules) == {"step"}
    assert hidden_modules("p", ast.parse("from p import functional, step"), modules) == set()
    assert hidden_modules("p", ast.parse("from p.step import step as walk"), modules) == set()


def test_all_names_exactly_what_is_public():
    package = importlib.import_module("tinygrad_sm")
    listed = package.__all__
    assert len(listed) == len(set(listed))
    missing = [name for name in listed if not hasattr(package, name)]
    assert missing == []
    # A package of ours that happens to be loaded is an attribute too, and stays private unless it is listed.
    loaded = {name for name, value in vars(package).items() if isinstance(value, types.ModuleType)}
    ours = {name for name in loaded if is_ours(vars(package)[name].__name__)}
    assert {name for name in loaded - ours if not name.startswith("_")} == set()
    futures = {"annotations"}
    public = {name for name in vars(package) if not name.startswith("_")} - ours - futures
    assert {name for name in listed if not name.startswith("_")} - ours == public


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_in_an_all_resolves(package):
    module = importlib.import_module(package)
    assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == []


def test_the_version_is_told_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert importlib.import_module("tinygrad_sm").__version__ == project["version"]


def belongs_to_another(function, names):
    """Whether a decorator such as `@exp.vjp("x")` or `@size.setter` makes a function part of what is above it."""
    decorators = [each.func if isinstance(each, ast.Call) else each for each in function.decorator_list]
    return any(
        isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id in names
        for each in decorators
    )


def documented_methods(trees):
    """Names of the methods that some class describes, so that a subclass need not describe them again."""
    classes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    methods = (node for each in classes for node in each.body if isinstance(node, ast.FunctionDef))
    return {method.name for method in methods if ast.get_docstring(method)}


def undocumented(module, tree, inherited=frozenset()):
    """Public modules, classes, functions and methods without a docstring, but for methods that are inherited."""
    if ast.get_docstring(tree) is None:
        yield module

    def visit(body, prefix, described_elsewhere):
        names = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
                continue
            name = f"{prefix}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from visit(node.body, name, inherited)
            elif node.name in described_elsewhere or belongs_to_another(node, names):
                continue
            if ast.get_docstring(node) is None:
                yield name

    yield from visit(tree.body, module, frozenset())


@pytest.mark.parametrize("module", TREES)
def test_everything_public_has_a_docstring(module):
    assert list(undocumented(module, TREES[module], documented_methods(TREES.values()))) == []


def test_a_missing_docstring_is_noticed_and_a_rule_needs_none():
    code = (
        '"""A module."""\n'
        "@primitive\ndef exp(x):\n    'An op.'\n"
        "@exp.vjp('x')\ndef exp_vjp_x(g, out, x):\n    return g * out\n"
        "@primitive\ndef log(x):\n    return x\n"
        "class A:\n    def f(self): ...\n    def _g(self): ...\n    def h(self):\n        'It is.'\n"
        "class _B:\n    def f(self): ...\n"
        "class C:\n    'A class.'\n    def h(self): ...\n"
        "def h(): ...\n"
    )
    tree = ast.parse(code)
    assert list(undocumented("m", tree, documented_methods([tree]))) == ["m.log", "m.A.f", "m.A", "m.h"]
    assert list(undocumented("m", ast.parse("x = 1"))) == ["m"]


def project_files():
    """The files of the project: what Git tracks, or in an unpacked archive everything that is not hidden."""
    try:
        git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        tracked = [ROOT / name for name in git.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        tracked = []
    if tracked:
        return [path for path in tracked if path.is_file()]
    made = {"__pycache__", "build", "dist", "runs"}
    relative = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    kept = [path for path in relative if not any(name.startswith(".") or name in made for name in path.parts)]
    return [ROOT / path for path in kept]


def test_the_top_folder_holds_the_three_folders_and_the_known_files():
    relative = [path.relative_to(ROOT) for path in project_files()]
    folders = {path.parts[0] for path in relative if len(path.parts) > 1}
    files = {path.name for path in relative if len(path.parts) == 1}
    assert {"tinygrad_sm", "tests", "demos"} <= folders <= TOP_FOLDERS
    assert "pyproject.toml" in files
    # An archive carries its metadata along.
    assert files <= TOP_FILES | {"PKG-INFO"}


def machine_paths(text):
    return [match.group() for match in MACHINE_PATH.finditer(text)]


def test_no_file_names_a_path_of_somebodys_machine():
    offenders = {}
    for path in project_files():
        content = path.read_bytes()
        found = [] if b"\0" in content else machine_paths(content.decode("utf-8"))
        if found:
            offenders[path.relative_to(ROOT).as_posix()] = found
    assert offenders == {}


def test_a_machine_path_is_noticed_and_an_address_is_not():
    for folder in ("home", "root", "work", "Users"):
        assert machine_paths(f'open("/{folder}/me/x.csv")')
    assert machine_paths("https://example.org/home/page and ../Users/x") == []
