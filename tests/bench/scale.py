"""Recompute the figures of SCALE.md from its rates and write them back.

    python -m tests.bench.scale

A rate is a row `| NAME | value | unit | from |` of the first table; a figure is a row `| NAME | formula | value | unit |` of any later one.
A formula is arithmetic over the names above it. Nothing is computed elsewhere, so changing a rate changes every figure that depends on it.
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


def evaluate(formula: str, known: dict[str, float]) -> float:
    """Evaluate a formula.

    Args:
        formula: numbers, names, + - * / ** and parentheses.
        known: values by name.
    """
    return evaluate_node(ast.parse(formula, mode="eval").body, known)


def evaluate_node(node: ast.AST, known: dict[str, float]) -> float:
    """Evaluate one node of a formula's syntax tree."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](evaluate_node(node.left, known), evaluate_node(node.right, known))
    if isinstance(node, ast.Name):
        if node.id not in known:
            raise ValueError(f"SCALE.md: '{node.id}' is not defined above its use")
        return known[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    raise ValueError(f"SCALE.md: {ast.unparse(node)} is not arithmetic over names and numbers")


def formatted(value: float) -> str:
    """Format with three significant digits and grouped thousands, without exponents."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}".replace(",", " ")
    return f"{value:.3g}"


def recomputed(page: str) -> str:
    """Return the page with the value of every figure recomputed from its formula."""
    known: dict[str, float] = {}
    lines = []
    for line in page.splitlines():
        if match := FIGURE.match(line):
            known[match["name"]] = evaluate(match["formula"], known)
            line = f"| {match['name']} | `{match['formula']}` | {formatted(known[match['name']])} |{match['rest']}"
        elif match := RATE.match(line):
            known[match["name"]] = float(match["value"])
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(recomputed(PAGE.read_text()))
