"""The one law: a module imports only modules above it; and the cracks that let it rot."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from tests.conftest import ROOT

HOUSE = [
    "lean", "errors", "registry", "options", "watch", "bulk", "cellar", "dataset", "pictures", "parts", "remote", "source", "infer", "columns", "readers", "heldout", "noise", "spec", "trees", "estimate", "survey",
    "device", "texts", "encode", "augment", "together", "zerror", "optimise", "replay", "discrim", "models", "confusion", "evidence", "bayes", "blend", "ledger", "checkpoint", "train", "witnesses", "signals", "ranking", "skill", "reasons", "calibrate", "cutoff", "judge",
    "telling", "traces", "report", "compose", "shards", "card", "listing", "sinks", "likeness", "dossier", "piecewise", "flow", "tally", "priority", "trial", "outcome", "surface", "talk", "summary",
    "standings", "charts", "exhibit",
    "commands", "cli", "__main__",
]  # fmt: skip
TORCH_ROOMS = {
    "device",
    "texts",
    "encode",
    "augment",
    "together",
    "zerror",
    "optimise",
    "replay",
    "discrim",
    "models",
    "ledger",
    "checkpoint",
    "train",
    "witnesses",
}
SHELVES = {"readers": "READERS", "models": "MODELS", "witnesses": "WITNESSES", "sinks": "SINKS"}
HELPERS = {"readers": {"streaming", "csv_pieces", "glimpse"}, "sinks": {"cells"}, "models": {"user"}}
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


def test_every_room_has_its_place_in_the_house():
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert sorted(HOUSE) == sorted(rooms)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_modules_above_it(path):
    room = room_of(path)
    if room == "__init__":
        return
    for module, level in imports_of(path):
        assert level == 0, f"{path.name} has a relative import"
        if module.startswith("zcurate."):
            other = module.split(".")[1]
            if other in HOUSE and other != room:
                assert HOUSE.index(other) < HOUSE.index(room), f"{room} imports {other}, which is below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_torch_lives_between_the_doors(path):
    allowed = room_of(path) in TORCH_ROOMS
    top = {module.split(".")[0] for module, _ in imports_of(path, top_only=True)}
    assert allowed or "torch" not in top


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "commands"], ids=lambda path: path.name)
def test_commands_import_nothing_heavy_at_the_top(path):
    top = {module.split(".")[0] for module, _ in imports_of(path, top_only=True)}
    assert not top & {"torch", "pandas", "pyarrow", "numpy", "rich"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_cracks(path):
    tree = ast.parse(path.read_text())
    lines = path.read_text().splitlines()
    allowed_exit = room_of(path) in ("cli", "__main__")
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
        if isinstance(node, (ast.For, ast.While)) and room_of(path) in ("train", "ledger", "zerror", "discrim", "models"):
            inside = "\n".join(ast.unparse(child) for child in node.body)
            assert not re.search(r"\.(item|tolist|cpu)\(", inside), f"{path.name}:{node.lineno} synchronises in a loop"


@pytest.mark.parametrize(("shelf", "name"), SHELVES.items())
def test_a_shelf_holds_what_its_registry_lists(shelf, name):
    registry = getattr(importlib.import_module(f"zcurate.{shelf}"), name)
    files = {path.stem for path in (ROOT / "zcurate" / shelf).glob("*.py")} - {"__init__"} - HELPERS.get(shelf, set())
    assert files == {where.split(":")[0].rsplit(".", 1)[1] for where in registry.where.values()}


def test_the_signals_shelf_holds_what_its_registries_list():
    from zcurate.signals import CLASS_SIGNALS, TARGET_SIGNALS

    files = {path.stem for path in (ROOT / "zcurate" / "signals").glob("*.py")} - {"__init__"}
    assert files == set(CLASS_SIGNALS.where) | set(TARGET_SIGNALS.where)


def test_the_spec_knows_the_models_on_the_shelf():
    from zcurate.models import MODELS
    from zcurate.spec import BUILT_IN

    assert tuple(MODELS.names()) == BUILT_IN


def test_the_spec_knows_the_clues_and_the_witnesses_on_the_shelves():
    from zcurate.reasons import REASON_OF
    from zcurate.signals import CLASS_SIGNALS, TARGET_SIGNALS
    from zcurate.spec import CLUES, DEFAULT_CLUES, WITNESSES
    from zcurate.witnesses import WITNESSES as SHELF

    assert (*CLASS_SIGNALS.names(), *TARGET_SIGNALS.names()) == CLUES
    assert set(DEFAULT_CLUES) <= set(CLUES)
    assert tuple(SHELF.names()) == WITNESSES
    assert set(REASON_OF) <= set(CLUES)


def test_no_module_is_named_for_nothing():
    bad = {"utils", "helpers", "common", "manager", "base", "misc"}
    assert not bad & {path.stem for path in FILES}
