"""The pages of docs/, README.md and CHANGELOG.md: links resolve, every page is in the navigation, commands that they name exist, and queries run."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest
import yaml

from include import cli
from include.pipeline.plan import find_keyed
from include.vendors import VENDORS
from tests.conftest import Database

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
GO_LIVE = DOCS / "how-to" / "going_live.md"
GUIDES = [page for page in PAGES if page.is_relative_to(DOCS) and not page.is_relative_to(DOCS / "decisions")]
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CLI = re.compile(r"python -m include\.cli ([a-z-]+)(?: ([a-z]+)\b)?")
SERVICE = re.compile(
    r"docker compose (?:--file \S+ )*(?:exec|logs|run) (?:--?(?:user|e|v) \S+ |--?[\w-]+ )*([a-z][a-z-]*)"
)
QUERY = re.compile(r"^( *)```sql\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|`|\$ ) *make ([a-z][\w-]*)", re.MULTILINE)


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def _read_prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


@cache
def _find_anchors(page: Path) -> set[str]:
    """Find the anchors of the headings, as both the site and code hosts generate them."""
    headings = re.findall(r"^#+ (.+)$", _read_prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def _find_broken(page: Path) -> Iterator[str]:
    for link in LINK.findall(_read_prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        is_outside = page.is_relative_to(DOCS) and not target.is_relative_to(DOCS)
        if is_outside or not target.exists() or (anchor and anchor not in _find_anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_and_anchor_resolves(page):
    assert list(_find_broken(page)) == []


def test_every_page_is_in_the_navigation_once():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = re.findall(r"[\w/-]+\.md", navigation)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(COMMAND.findall(page.read_text())) - targets == set()


def test_every_command_of_the_installation_that_is_named_exists():
    commands = set(CLI.findall("\n".join(page.read_text() for page in PAGES)))
    known = {name: _list_actions(parser) for name, parser in _list_commands(cli.build_parser()).items()}
    assert len(commands) > 10
    assert {name for name, _ in commands} - known.keys() == set()
    assert {(name, action) for name, action in commands if known[name] and action not in known[name]} == set()


def test_every_service_that_is_named_exists():
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    named = {name for page in PAGES for name in SERVICE.findall(page.read_text())}
    assert len(named) > 4
    assert named - services.keys() == set()


def test_the_guide_to_go_live_names_every_dag_that_must_be_switched_on():
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|", (DOCS / "reference" / "dags.md").read_text(), re.MULTILINE)
    table = GO_LIVE.read_text().partition("\n## Switch on the other DAGs\n")[2].partition("\n## ")[0]
    switched = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    paused = {name for names, when in rows if "on from the start" not in when for name in re.findall(r"`(\w+)`", names)}
    parameters = {"business_date", "tables", "full_refresh", "wait", "accept_unusual", "on_demand"}
    assert switched == (paused - parameters) | {f"{vendor.name}_on_demand" for vendor in VENDORS if find_keyed(vendor)}


def test_the_pages_name_each_dag_that_is_on_from_the_start():
    rows = (DOCS / "reference" / "dags.md").read_text().splitlines()
    for file in (ROOT / "dags").glob("*.py"):
        text = file.read_text()
        if name := re.search(r'dag_id="(\w+)"', text):
            [row] = [row for row in rows if row.startswith(f"| `{name[1]}`")]
            assert ("is_paused_upon_creation=False" in text) == ("on from the start" in row), name[1]


def test_the_guide_to_go_live_names_settings_that_exist():
    named = set(re.findall(r"`((?:TRIBUTARY|AIRFLOW)_[A-Z_]+)`", GO_LIVE.read_text()))
    example = (ROOT / ".env.example").read_text()
    assert len(named) > 8
    assert {name for name in named if f"\n{name}=" not in example} == set()


def test_the_connections_of_vendors_are_in_the_order_of_the_vendors():
    text = (DOCS / "reference" / "connections.md").read_text()
    names = re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE)
    assert [name for name in names if name.lower() in {v.name for v in VENDORS}] == [v.name.upper() for v in VENDORS]


def _list_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: command
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, command in action.choices.items()
    }


def _list_actions(parser: argparse.ArgumentParser) -> set[str]:
    return set(_list_commands(parser))


@pytest.mark.parametrize("page", GUIDES, ids=_name)
def test_first_paragraph_states_the_readers(page):
    assert page.read_text().splitlines()[2].startswith("For ")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_a_row_of_a_table_is_one_line(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert [
        line for line in text.splitlines() if line.lstrip().startswith("|") and not line.rstrip().endswith("|")
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_blocks_of_lists_are_indented_by_four_spaces(page):
    """With fewer spaces, the site shows them as text."""
    assert re.findall(r"^ {1,3}(?:```|\||[-*] |\d+\. ).*", page.read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("page", [page for page in GUIDES if QUERY.search(page.read_text())], ids=_name)
def test_every_query_runs_for_an_analyst(page, shared_database: Database):
    for _, query in QUERY.findall(page.read_text()):
        role = "tributary_analyst" if "masked_" in query else "tributary_read"
        with psycopg.connect(shared_database.url(role)) as connection:
            connection.execute(query)


def test_every_relation_that_is_named_exists(shared_database: Database):
    named = {name for page in GUIDES for name in re.findall(r"\b((?:control|mart|warehouse)\.\w+)", page.read_text())}
    known = shared_database.rows("""
        select relnamespace::regnamespace || '.' || relname as name from pg_class
        union select pronamespace::regnamespace || '.' || proname from pg_proc""")
    assert named - {row["name"] for row in known} == set()
