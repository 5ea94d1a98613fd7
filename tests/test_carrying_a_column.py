"""docs/how-to/carrying_a_column.md: its edits and commands, in a copy of the project, carry a column to a mart and to Salesforce."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "carrying_a_column.md"
TREES = ("docker", "include", "sandbox", "local", "tests", "great_expectations", "docs")
FILES = ("Makefile", "pyproject.toml", "requirements.txt", "constraints.txt")
_STEP = re.compile(r"(In|Create)\s`([\w/.]+)`|```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, with its environment."""
    copy = tmp_path / "project"
    for name in TREES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


def follow(project: Path) -> list[subprocess.CompletedProcess[str]]:
    """Apply the page's edits and run its commands, in order; return the results of the commands."""
    number = len([*(project / "include/warehouse/schema").glob("*.sql")]) + 1
    done, path, verb = [], project, ""
    for heading, name, kind, text in _STEP.findall(PAGE.read_text().replace("NNNN", f"{number:04}")):
        if heading:
            verb, path = heading, project / name
        elif kind == "diff":
            edit(path, text)
        elif kind == "bash":
            done.append(run(project, text))
        elif verb == "Create":
            path.write_text(text)
            verb = ""
    return done


def edit(path: Path, diff: str) -> None:
    """Apply one block; its old lines must be in the file exactly once."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] != "+")
    text = path.read_text()
    assert text.count(old) == 1, f"{path}:\n{old}"
    path.write_text(text.replace(old, "".join(line[1:] for line in lines if line[0] != "-")))


def run(project: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("make ", "make --old-file install ")],
        cwd=project, env=os.environ | {"PYTHONPATH": str(project)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.long
def test_the_page_carries_a_column(project: Path) -> None:
    recorded, generated, goldens, tested = follow(project)

    assert (recorded.returncode, generated.returncode) == (0, 0), generated.stderr
    assert "_account_bill_frequency.sql" in (project / "tests/warehouse/released_migrations.sha256").read_text()
    assert re.findall(r"^FAILED .*\[(\S+)\]", goldens.stdout, re.MULTILINE) == ["orion-accounts", "tamarac-accounts"]
    assert '"bill_frequency": "Quarterly"' in (project / "tests/vendors/orion/accounts.expected.json").read_text()
    assert tested.returncode == 0, tested.stdout[-3000:]
