"""Dead letters sent again: the mended row lands once, and its letter closes with it."""

from __future__ import annotations

from datetime import date

import pytest

from include.errors import ConfigurationError
from include.replay import replay
from tests.conftest import Firm
from tests.running_sandbox import LAST

OPEN = "select row_key from control.dead_letter where status = 'open' order by 1"


def _poisoned(firm: Firm) -> set[str]:
    """Runs a day in which some assets can't be read; returns their keys."""
    fault = firm.sandbox.fault("poison", field="currentShares", value="N/A", share=0.01, seed=5)
    firm.day()
    firm.sandbox.http.delete(f"/_sandbox/faults/{fault}")
    keys = {row["row_key"] for row in firm.database.rows(OPEN)}
    assert len(keys) > 3
    return keys


def _replay(firm: Firm, **options: object):  # type: ignore[no-untyped-def]
    return replay(firm.site, firm.vendor, "assets", firm.connection, firm.new_run(), **options)


def test_mended_rows_land_once(firm: Firm) -> None:
    keys = _poisoned(firm)
    outcome = _replay(firm)
    assert (outcome.asked, outcome.landed, outcome.still_dead) == (len(keys), len(keys), 0)
    assert firm.database.rows(OPEN) == []
    assert keys <= set(firm.held())
    again = _replay(firm)
    assert (again.asked, again.landed) == (0, 0)


def test_after_a_replay_the_day_is_as_if_nothing_had_died(firm: Firm) -> None:
    _poisoned(firm)
    _replay(firm)
    truth = firm.sandbox.rows("Portfolio/Assets", asOfDate=str(LAST))
    assert firm.held() == {str(row["id"]): (row["currentShares"], row["currentValue"]) for row in truth}


def test_a_dry_run_tells_and_changes_nothing(firm: Firm) -> None:
    keys = _poisoned(firm)
    before = firm.held()
    outcome = _replay(firm, is_dry=True)
    assert outcome.landed == len(keys)
    assert {row["row_key"] for row in firm.database.rows(OPEN)} == keys
    assert firm.held() == before


def test_only_the_chosen_letters_are_replayed(firm: Firm) -> None:
    keys = _poisoned(firm)
    [chosen] = firm.database.rows("select dead_letter_id, row_key from control.dead_letter order by 1 limit 1")
    assert _replay(firm, ids=[chosen["dead_letter_id"]]).landed == 1
    assert {row["row_key"] for row in firm.database.rows(OPEN)} == keys - {chosen["row_key"]}


def test_a_row_that_is_still_bad_has_one_open_letter(firm: Firm) -> None:
    keys = _poisoned(firm)
    firm.sandbox.fault("poison", field="currentShares", value="N/A", share=0.01, seed=5)
    outcome = _replay(firm)
    assert (outcome.landed, outcome.still_dead) == (0, len(keys))
    assert [row["row_key"] for row in firm.database.rows(OPEN)] == sorted(keys)


def test_a_replay_is_a_pull_of_its_own_in_the_ledger(firm: Firm) -> None:
    keys = _poisoned(firm)
    _replay(firm)
    rows = firm.database.rows(
        "select stage, fetched, inserted from control.ledger where pulled = 'replay' and entity <> 'security'"
    )
    assert {row["stage"]: row["fetched"] or row["inserted"] for row in rows} == {
        "stage": len(keys), "validate": 0, "transform": 0, "load": len(keys),
    }  # fmt: skip


def test_a_past_that_cannot_be_asked_for_is_refused_in_words(firm: Firm) -> None:
    run = firm.new_run(date(2026, 11, 12), is_past=True)
    with pytest.raises(ConfigurationError, match="past date"):
        replay(firm.site, firm.vendor, "clients", firm.connection, run)
