"""The page about OWASP ASVS lists every requirement, and every test and file that it or the page about attacks names as a proof exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "asvs.md").read_text()
STATES = ("met", "partly", "not", "n.a.")

# The levels of the standard's requirements, in their order: a line per chapter, a word per section, a digit per requirement.
LEVELS = """
    22 1111122223 112222222223 222 123
    122 112 12223 23
    3 113 12223 11222233 11122333 3 22333
    12233 23333 22 1222
    2 112333 113 222
    122 111111112222 11223333 112233 22222333 2223 33 2222
    222 1111 22 11222 223 22
    1233 1123 133 23
    111 1222
    22 223 22223 1111122222233333 22222 22 222
    2233 22233 11233 1222 23 23 33
    12233 11 22223
    2333 222223 2233 1222233
    22 12223333 122
    12233 12233 1222222 3333
    2 22222 2222 222 2223
    23 22223333 22
"""


class Row(NamedTuple):
    number: str
    level: str
    asks: str
    state: str
    proof: str


def read_table(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the table below a heading."""
    section = PAGE.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


ROWS = [Row(*cells) for heading in re.findall(r"^## V\d+ .*$", PAGE, re.MULTILINE) for cells in read_table(heading)]


def list_standard() -> list[tuple[str, str]]:
    """Return the number and level of each requirement of the levels 1 and 2."""
    chapters = enumerate(LEVELS.strip().splitlines(), 1)
    sections = [
        (f"V{chapter}.{section}", levels)
        for chapter, line in chapters
        for section, levels in enumerate(line.split(), 1)
    ]
    every = [(f"{section}.{place}", level) for section, levels in sections for place, level in enumerate(levels, 1)]
    return [each for each in every if each[1] in "12"]


@cache
def list_tests(path: str) -> set[str]:
    """Return the names of the test functions of a file; an empty set if it is missing."""
    file = ROOT / path
    tree = ast.parse(file.read_text() if file.exists() else "")
    functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return {node.name for node in functions if node.name.startswith("test_")}


def test_every_requirement_is_listed_once_in_order() -> None:
    assert len(list_standard()) == 253
    assert [(row.number, row.level) for row in ROWS] == list_standard()


def test_every_state_is_known() -> None:
    assert {row.number for row in ROWS if row.state not in STATES} == set()


def find_missing_tests(text: str) -> list[str]:
    """Return the tests that a text names and that do not exist."""
    named = re.findall(r"`([^`]+::[^`]+)`", text)
    return [name for name in named if name.partition("::")[2] not in list_tests(name.partition("::")[0])]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_a_proof_names_what_exists(row: Row) -> None:
    named = re.findall(r"`([^`]+)`", row.proof)
    tests = [name for name in named if "::" in name]
    files = [name for name in named if re.fullmatch(r"[\w.-]+/[\w./-]+|[\w-]+\.(yaml|toml|txt)", name)]
    assert find_missing_tests(row.proof) + [name for name in files if not (ROOT / name).exists()] == []
    assert row.state != "met" or tests or files or re.search(r"\]\([^)]+\.md", row.proof)


def test_each_attack_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "reference" / "attacks.md").read_text()
    attacks = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| attack ")]
    assert len(attacks) > 20
    assert [line for line in attacks if "::" not in line or find_missing_tests(line)] == []


def test_a_requirement_does_not_apply_for_a_listed_reason() -> None:
    reasons = [reason for reason, _ in read_table("## Reasons why a requirement does not apply")]
    assert {row.proof for row in ROWS if row.state == "n.a."} == set(reasons)


def test_the_summary_counts_the_rows() -> None:
    counts = Counter((row.level, row.state) for row in ROWS)
    summary = [[level, *(str(counts[level, state]) for state in STATES)] for level in "12"]
    assert read_table("## Summary") == summary
