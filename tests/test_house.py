"""The one law: a module imports only modules above it; and the cracks that let it rot."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

FILES = sorted((ROOT / "zcurate").rglob("*.py"))


def room_of(path):
    parts = path.relative_to(ROOT / "zcurate").with_suffix("").parts
    return parts[0]


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
        if isinstance(node, (ast.For, ast.While)) and room_of(path) == "training" and "detectors" not in path.parts:
            inside = "\n".join(ast.unparse(child) for child in node.body)
            assert not re.search(r"\.(item|tolist|cpu)\(", inside), f"{path.name}:{node.lineno} synchronises in a loop"


def test_the_spec_knows_the_models_on_the_shelf():
    from zcurate.config.toml import BUILT_IN
    from zcurate.training.models import MODELS

    assert tuple(MODELS.names()) == BUILT_IN


def test_the_spec_knows_the_clues_and_the_witnesses_on_the_shelves():
    from zcurate.config.model_config import DEFAULT_CLUES, WITNESSES
    from zcurate.config.toml import CLUES
    from zcurate.evidence.signals import CLASS_SIGNALS, TARGET_SIGNALS
    from zcurate.judge.reasons import REASON_OF
    from zcurate.training.detectors import WITNESSES as SHELF

    assert (*CLASS_SIGNALS.names(), *TARGET_SIGNALS.names()) == CLUES
    assert set(DEFAULT_CLUES) <= set(CLUES)
    assert tuple(SHELF.names()) == WITNESSES
    assert set(REASON_OF) <= set(CLUES)


def test_no_module_is_named_for_nothing():
    bad = {"utils", "helpers", "common", "manager", "base", "misc"}
    assert not bad & {path.stem for path in FILES}
