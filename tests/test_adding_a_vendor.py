"""docs/how-to/adding_a_vendor.md, followed literally in a copy of the project, adds a working vendor."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from include.errors import ConfigurationError
from include.vendors import VENDORS
from local.new_vendor import write_vendor
from sandbox import vendors as simulated

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "adding_a_vendor.md").read_text()
WRITE, _, TEST, _ = re.findall(r"```bash\n(.*?)```", PAGE.partition("## 7.")[0], re.DOTALL)

WRITTEN = {
    "great_expectations/toybank__policies.json",
    "include/vendors/toybank.py",
    "sandbox/toybank/__init__.py",
    "sandbox/toybank/vendor.py",
    "tests/vendors/toybank/matter.py",
    "tests/vendors/toybank/policies.expected.json",
    "tests/vendors/toybank/policies.json",
}
LISTS = {
    "include/vendors/__init__.py": ["from include.vendors.toybank import TOYBANK", "    TOYBANK,"],
    "sandbox/vendors.py": ["from sandbox.toybank.vendor import TOYBANK", "    TOYBANK,"],
}


def follow(project: Path, command: str, **environment: str) -> str:
    """Run a command of the page in a copy of the project; return its output."""
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=project, env=os.environ | environment | {"PYTHONPATH": str(project)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout


def read_files(project: Path) -> dict[str, list[str]]:
    """Read the lines of every file of the project."""
    paths = [path.relative_to(project) for path in project.rglob("[!.]*") if path.is_file()]
    visible = [path for path in paths if path.parts[0][0] != "." and "__pycache__" not in path.parts]
    return {path.as_posix(): (project / path).read_text(errors="replace").splitlines() for path in visible}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project."""
    copy = tmp_path_factory.mktemp("adding") / "project"
    for name in ("include", "dags", "plugins", "great_expectations", "sandbox", "local", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "uncommitted"))
    for name in ("Makefile", "docker-compose.yaml", "pyproject.toml", "requirements.txt", "constraints.txt"):
        shutil.copy(ROOT / name, copy)
        os.utime(copy / name, (0, 0))  # older than the installed files, so that make installs nothing
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


@dataclass(frozen=True)
class Written:
    """The output of the page's first command, and the project's files before and after it."""

    printed: str
    before: dict[str, list[str]]
    after: dict[str, list[str]]


@pytest.fixture(scope="module")
def written(project: Path) -> Written:
    before = read_files(project)
    return Written(follow(project, WRITE), before, read_files(project))


def test_one_command_writes_a_vendor_and_adds_two_lines_to_each_list(written: Written) -> None:
    assert written.after.keys() - written.before.keys() == WRITTEN
    changed = {path: lines for path, lines in written.before.items() if written.after[path] != lines}
    assert changed.keys() == LISTS.keys()
    for path, lines in changed.items():
        assert [line for line in written.after[path] if line not in lines] == LISTS[path]
        assert [line for line in written.after[path] if line not in LISTS[path]] == lines
    assert all(f"  {path}\n" in written.printed for path in WRITTEN | LISTS.keys())


def test_the_command_prints_each_place_to_change(written: Written) -> None:
    marked = [
        f"{path}:{number}"
        for path in WRITTEN
        for number, line in enumerate(written.after[path], 1)
        if "CHANGE:" in line
    ]
    assert len(marked) >= 7
    assert all(f"  {place}\n" in written.printed for place in marked)


@pytest.mark.usefixtures("written")
def test_what_the_command_writes_is_clean(project: Path) -> None:
    follow(project, ".venv/bin/ruff check . && .venv/bin/ruff format --check .")
    follow(project, ".venv/bin/mypy include/vendors/toybank.py sandbox/toybank")


@pytest.mark.long
@pytest.mark.airflow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("written")
def test_the_tests_of_the_page_pass_for_the_new_vendor(project: Path) -> None:
    """They include a run of its DAG in Airflow, from the sandbox over HTTP into a database."""
    options = f"--basetemp={project.parent / 'pytest'} --junitxml={project.parent / 'report.xml'}"
    inherited = dict.fromkeys((name for name in os.environ if name.startswith("PYTEST_")), "")
    follow(project, TEST, **inherited, PYTEST_ADDOPTS=options)
    cases = ElementTree.parse(project.parent / "report.xml").iter("testcase")
    assert {"test_goldens", "test_day", "test_any_vendor"} <= {
        str(case.get("classname")).rpartition(".")[2] for case in cases
    }


@pytest.mark.parametrize("name", ["Toybank", "toy-bank", "2bank", "class", "", "x" * 31])
def test_a_name_that_is_no_lower_case_identifier_is_refused(name: str, project: Path) -> None:
    with pytest.raises(ConfigurationError, match="Invalid name"):
        write_vendor(name, project)


@pytest.mark.parametrize("name", ["orion", "salesforce", "drain_inbox"])
def test_a_name_in_use_is_refused_and_nothing_is_written(name: str, project: Path) -> None:
    before = read_files(project)
    with pytest.raises(ConfigurationError, match=f"The name {name} is in use: "):
        write_vendor(name, project)
    assert read_files(project) == before


def test_every_file_that_the_page_names_exists_or_is_written() -> None:
    places = {*re.findall(r"`((?:sandbox|include|tests|local)/[\w/]+\.(?:py|json))`", PAGE)}
    assert [place for place in places - WRITTEN if not (ROOT / place).is_file()] == []
    assert {place for place in places if "toybank" in place} <= WRITTEN


def test_the_lists_of_vendors_agree() -> None:
    assert [vendor.name for vendor in VENDORS] == [vendor.name for vendor in simulated.VENDORS]


OTHER_SENSE = {
    "include/crm/adoption/households.py": {"accounts"},  # what agrees
    "include/audit/exposure.py": {"clients"},  # people
    "include/crm/metadata_xml.py": {"members"},  # of a package, in Salesforce's manifest
    "include/identity/homes.py": {"members"},  # of households
    "include/identity/inputs.py": {"accounts"},  # ours
    "include/identity/state.py": {"registrations"},  # of any vendor
    "include/names/organization.py": {"holdings"},  # a word of companies
    "include/operations/listing.py": {"clients"},  # people, in an address
    "include/operations/lists.py": {"deliveries"},  # to the gateway
    "include/operations/signals.py": {"deliveries"},  # to the gateway, in an address
    "include/retention/person.py": {"members"},  # of a cluster
    "include/sign_on/provider.py": {"groups"},  # of users, at the identity provider
    "local/bench/gateway.py": {"deliveries"},  # to the gateway
    "local/demo.py": {"households"},  # how many the invented firm has
    "local/one_envelope.py": {"recipients"},  # of an envelope in the sandbox
    "local/schema_page.py": {"portfolios"},  # a topic of the page
    "plugins/tributary/operations/client_routes.py": {"clients"},  # people
    "plugins/tributary/operations/rendering.py": {"templates"},  # of pages
    "plugins/tributary/operations/who_is_who.py": {"households"},  # of two records
    "plugins/tributary/sessions.py": {"templates"},  # of pages
}
"""Table names that are also used as words with another meaning."""


def test_no_file_but_its_own_speaks_of_a_vendors_tables() -> None:
    """Adding a table touches only the vendor's file, a suite and a golden."""
    tables = {table.name for vendor in VENDORS for table in vendor.tables}
    speaking = {}
    for path in [*(path for top in ("include", "dags", "plugins", "local") for path in ROOT.glob(f"{top}/**/*.py"))]:
        about = path.relative_to(ROOT).as_posix()
        if about.startswith(("include/vendors/", "local/bench/day.py")):
            continue
        texts = {
            n.value
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        if named := (texts & tables) - OTHER_SENSE.get(about, set()):
            speaking[about] = named
    assert speaking == {}


def test_every_table_has_its_suite_and_its_golden() -> None:
    for vendor in VENDORS:
        for table in vendor.requested_tables:
            assert (ROOT / "great_expectations" / f"{vendor.name}__{table.name}.json").is_file()
            assert (ROOT / "tests/vendors" / vendor.name / f"{table.name}.expected.json").is_file()
