"""The arithmetic of SCALE.md: reads its rates, works out its figures, writes them back.

    python -m tests.bench.scale

A rate is a row `| NAME | value | unit | from |` of the first table; a figure is a row `| NAME | formula | value | unit |` of any later one.
A formula is arithmetic over the names above it. Nothing is computed anywhere else, so that a changed rate changes the page.
"""

from __future__ import annotations

import ast
import operator
import re
from pathlib import Path

PAGE = Path(__file__).parent / "SCALE.md"
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow}
RATE = re.compile(r"^\| (?P<name>[A-Z][A-Z0-9_]*) \| (?P<value>[0-9.e+-]+) \|")
FIGURE = re.compile(r"^\| (?P<name>[A-Z][A-Z0-9_]*) \| `(?P<formula>[^`]+)` \| (?P<value>[^|]*) \|(?P<rest>.*)$")


def value_of(formula: str, known: dict[str, float]) -> float:
    """A formula's value.

    Args:
        formula: numbers, names, + - * / ** and brackets.
        known: values by name.
    """
    return walk(ast.parse(formula, mode="eval").body, known)


def walk(node: ast.AST, known: dict[str, float]) -> float:
    """The value of one node of a formula."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](walk(node.left, known), walk(node.right, known))
    if isinstance(node, ast.Name):
        if node.id not in known:
            raise ValueError(f"SCALE.md: no rate or figure '{node.id}' above its use")
        return known[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    raise ValueError(f"SCALE.md: {ast.unparse(node)} is no arithmetic over names and numbers")


def shown(value: float) -> str:
    """Three figures, thousands apart, nothing in powers of ten."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}".replace(",", " ")
    return f"{value:.3g}"


def worked_out(page: str) -> str:
    """The page with every figure's value as its formula has it."""
    known: dict[str, float] = {}
    lines = []
    for line in page.splitlines():
        if match := FIGURE.match(line):
            known[match["name"]] = value_of(match["formula"], known)
            line = f"| {match['name']} | `{match['formula']}` | {shown(known[match['name']])} |{match['rest']}"
        elif match := RATE.match(line):
            known[match["name"]] = float(match["value"])
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(worked_out(PAGE.read_text()))
