"""The scripts and templates of the Operations pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from include.operations.navigation import PARTS, PATHS
from plugins.tributary.operations.rendering import FOLDER

SCRIPTS = sorted((FOLDER / "static").glob("*.js"))
TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))


def _list_names(script: Path) -> set[str]:
    """The names that a script adds to those of its page: scripts of one page share their top level."""
    return set(re.findall(r"^(?:async )?(?:function|const|let) (\w+)", script.read_text(), re.MULTILINE))


@pytest.mark.parametrize("script", [each for each in SCRIPTS if each.stem != "operations"], ids=lambda path: path.name)
def test_no_script_redefines_a_name_of_the_script_of_all_pages(script: Path) -> None:
    assert _list_names(script) & _list_names(FOLDER / "static" / "operations.js") == set()


def test_each_entry_of_the_navigation_is_in_one_of_its_parts() -> None:
    assert sorted(name for names in PARTS.values() for name in names) == sorted(PATHS)
    assert len(set(PATHS.values())) == len(PATHS)


def test_no_script_writes_markup_or_asks_in_the_frame() -> None:
    """Text is shown by `textContent`, and the frame's sandbox allows no dialogs."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|window\.(?:confirm|alert|prompt)\("
    )
    assert [(each.name, found) for each in SCRIPTS if (found := forbidden.findall(each.read_text()))] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_an_inline_script_or_style(template: Path) -> None:
    text = template.read_text()
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:|\| *safe\b", text) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_script_that_a_template_names_exists(template: Path) -> None:
    names = re.findall(r"\{\{ root \}\}static/([\w.]+)", template.read_text())
    assert [name for name in names if not (FOLDER / "static" / name).exists()] == []
