"""The pages of docs/, README.md and CHANGELOG.md: links resolve, every page is in the navigation, commands that they name exist, and queries run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest

from tests.conftest import Database

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
GUIDES = [page for page in PAGES if page.is_relative_to(DOCS) and not page.is_relative_to(DOCS / "decisions")]
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
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


@pytest.mark.parametrize("page", GUIDES, ids=_name)
def test_first_paragraph_states_the_readers(page):
    assert page.read_text().splitlines()[2].startswith("For ")


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
