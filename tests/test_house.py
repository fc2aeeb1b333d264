"""Rules of the source code that import-linter does not check: imports, forbidden calls, names of modules, completeness of the plug-in tables."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT
from zcurate import plugins

FILES = sorted((ROOT / "zcurate").rglob("*.py"))


def package_of(path):
    return path.relative_to(ROOT / "zcurate").with_suffix("").parts[0]


def imports_of(path, top_only=False):
    tree = ast.parse(path.read_text())
    skip = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skip |= {id(child) for child in ast.walk(node)}
    nodes = tree.body if top_only else ast.walk(tree)
    for node in nodes:
        if id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            yield from ((name.name, 0) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level
            if node.module == "zcurate":
                yield from ((f"zcurate.{name.name}", 0) for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_is_relative(path):
    assert all(level == 0 for _, level in imports_of(path))


@pytest.mark.parametrize("path", [path for path in FILES if "commands" in path.parts], ids=lambda path: path.name)
def test_commands_import_nothing_heavy_at_the_top(path):
    top = {module.split(".")[0] for module, _ in imports_of(path, top_only=True)}
    assert not top & {"torch", "pandas", "pyarrow", "numpy", "rich"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_cracks(path):
    tree = ast.parse(path.read_text())
    lines = path.read_text().splitlines()
    allowed_exit = path.stem in ("app", "__main__")
    for node in ast.walk(tree):
        line = lines[node.lineno - 1] if hasattr(node, "lineno") else ""
        if "# crack:" in line:
            continue
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "print", f"{path.name}:{node.lineno} prints"
            assert called != "sys.exit" or allowed_exit, f"{path.name}:{node.lineno} exits"
            assert called not in ("np.random.seed", "torch.manual_seed", "random.seed"), f"{path.name}:{node.lineno} seeds globally"
            assert not (called.endswith(".squeeze") and not node.args), f"{path.name}:{node.lineno} squeezes whatever is there"
        assert not isinstance(node, ast.Assert), f"{path.name}:{node.lineno} asserts without saying why"
        if isinstance(node, ast.FunctionDef):
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                assert not isinstance(default, (ast.List, ast.Dict, ast.Set)), f"{path.name}:{node.lineno} has a mutable default"
        if isinstance(node, (ast.For, ast.While)) and package_of(path) == "training" and "detectors" not in path.parts:
            inside = "\n".join(ast.unparse(child) for child in node.body)
            assert not re.search(r"\.(item|tolist|cpu)\(", inside), f"{path.name}:{node.lineno} synchronises in a loop"


UNSAFE_MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "code", "codeop", "runpy", "yaml"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "builtins.eval",
    "builtins.exec",
    "os.system",
    "os.popen",
    "pd.eval",
    "pandas.eval",
    "pd.read_pickle",
    "torch.jit.load",
}
SAFE_BY = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}
"""Call -> the argument without which it may run what a file says."""


def unsafe_uses(source):
    """Yield line and text of each import or call that runs code out of data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if UNSAFE_MODULES & {module.split(".")[0] for module in modules}:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            values = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
            argument, safe = SAFE_BY.get(called, (None, None))
            if called in UNSAFE_CALLS or values.get("shell") is True or values.get("allow_pickle") is True or (argument and values.get(argument) is not safe):
                yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_code_out_of_data(path):
    assert not list(unsafe_uses(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import joblib.numpy_pickle", "eval(x)", "exec(x)", "compile(x, 'a', 'exec')", "torch.load(p)", "torch.load(p, weights_only=False)",
        "np.load(p)", "np.load(p, allow_pickle=True)", "np.lib.npyio.read(p, allow_pickle=True)", "subprocess.run(x, shell=True)", "os.system(x)", "__import__(x)",
    ],
)  # fmt: skip
def test_what_runs_code_out_of_data_is_found(source):
    assert list(unsafe_uses(source))


def test_what_runs_no_code_is_not_found():
    safe = "model.eval()", "re.compile(x)", "torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "spec.loader.exec_module(m)"
    assert not [list(unsafe_uses(source)) for source in safe if list(unsafe_uses(source))]


FOLDERS = {
    "data/readers": (plugins.READERS, set()),
    "training/models": (plugins.MODELS, {"packed"}),
    "training/losses": (plugins.LOSSES, {"terms", "statistics"}),
    "evidence/signals": (plugins.SIGNALS, set()),
    "training/detectors": (plugins.DETECTORS, set()),
    "report/formats": (plugins.FORMATS, {"cells"}),
}
"""Folder -> its table, and modules that its plug-ins share."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_of_a_plugin_folder_is_in_its_table(folder):
    table, shared = FOLDERS[folder]
    locations = [plugin.location for plugin in table.values()]
    locations += [plugin.stream_location for plugin in table.values() if getattr(plugin, "stream_location", "")]
    locations += [plugins.CUSTOM_MODEL.location] if table is plugins.MODELS else []
    modules = {location.partition(":")[0] for location in locations}
    package = "zcurate." + folder.replace("/", ".")
    assert modules | {f"{package}.{name}" for name in shared} == {f"{package}.{path.stem}" for path in (ROOT / "zcurate" / folder).glob("[!_]*.py")}


def test_no_module_has_a_meaningless_name():
    bad = {"utils", "helpers", "common", "manager", "base", "misc"}
    assert not bad & {path.stem for path in FILES}
