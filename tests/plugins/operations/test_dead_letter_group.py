"""What the page of a group of dead letters offers, by the kind of the table."""

from __future__ import annotations

from datetime import date

import pytest

from include.operations import dead_letter_group
from include.operations.dead_letter_group import Group, GroupKey, plan_pull
from include.operations.navigation import PARTS, PATHS
from include.vendors import named
from plugins.tributary.operations.rendering import render

DAY = date(2026, 11, 25)


def show(vendor: str, table: str, keyless: int) -> str:
    key, declared = GroupKey(vendor, table, DAY, "stage", "made up"), named(vendor)
    return render(
        "dead_letter_group.html", navigation=PARTS, paths=PATHS, here="Dead letters", root="../", title="", offset=0, step=50,
        query="", page=Group(key, 1, keyless, None, 0, None, 5, []), is_replayable=dead_letter_group.can_replay(declared, table),
        pull=plan_pull(declared, table, DAY),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("vendor", "table", "keyless", "text", "can_pull", "can_replay"),
    [
        ("orion", "assets", 0, "", False, True),
        ("orion", "assets", 1, "It pulls assets of 2026-11-25.", True, True),
        ("orion", "clients", 1, "It pulls clients, as they are now.", True, True),
        ("moneyguidepro", "goals", 0, "It pulls households, plan_summaries, goals, as they are now.", True, False),
        ("docusign", "no_such_table", 1, "The vendor only sends these rows", False, False),
    ],
)
def test_the_page_offers_what_the_table_allows(
    vendor: str, table: str, keyless: int, text: str, can_pull: bool, can_replay: bool
) -> None:
    page = show(vendor, table, keyless)
    assert text in page
    assert ("Pull them again" in page) == can_pull
    assert ("Dry replay" in page) == can_replay
