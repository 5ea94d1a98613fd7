"""The content of dead letters, masked for the Operations pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from include.errors import InputRejected
from include.pipeline import vendor_day
from include.pipeline.dead_content import _cell, store_content
from tests.conftest import Firm
from tests.running_sandbox import LAST

OPEN = "select dead_letter_id, row_key, part from control.dead_letter where status = 'open' order by 1"


def _read_cells(firm: Firm, dead_letter_id: int) -> dict[str, dict[str, Any]]:
    cells = firm.database.value(
        "select cells from control.dead_letter_content where dead_letter_id = :id", id=dead_letter_id
    )
    return {cell["name"]: cell for cell in cells}


def test_content_is_shown_masked_with_the_cell_at_fault_marked(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm()
    firm.sandbox.fault("poison", field="currentShares", value="N/A", share=0.01, seed=5)
    key = firm.sandbox.rows("Portfolio/Assets", asOfDate=str(LAST))[0]["id"]
    firm.sandbox.admin("orion/set_fields", table="assets", id=key, set={"currentValue": -20_000_000})
    run = firm.new_run()
    partitions = firm.stage(run, "assets")
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()), rows_only=True)
    letters = firm.database.rows(OPEN)
    unreadable = next(each for each in letters if each["part"] == "dead.jsonl")
    refused = next(each for each in letters if each["part"] != "dead.jsonl")

    assert store_content(firm.vendor_run(run), [each["dead_letter_id"] for each in letters]) == len(letters)

    cells = _read_cells(firm, unreadable["dead_letter_id"])
    assert cells["id"]["text"] == unreadable["row_key"]
    assert cells["currentShares"] == {"name": "currentShares", "text": "N/A", "is_bad": True}
    assert not cells["currentValue"]["is_bad"]
    cells = _read_cells(firm, refused["dead_letter_id"])
    assert cells["asset_id"]["text"] == refused["row_key"]
    assert [name for name, cell in cells.items() if cell["is_bad"]] == ["market_value_usd"]
    assert cells["market_value_usd"]["text"] == "-20000000.00"


def test_closed_dead_letters_are_not_shown(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm()
    with pytest.raises(InputRejected, match="reload the list"):
        store_content(firm.vendor_run(firm.new_run()), [1])


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        ("Jane Doe-Smith", {}, "Aaaa Aaa-Aaaaa"),
        ("1961-07-04", {}, "9999-99-99"),
        ("hmac:" + "ab" * 32 + ":6789", {}, "hash abababab, ends in 6789"),
        ("ab" * 32, {}, "hash abababab"),
        ("hmac::", {}, "no hash"),
        (1234.5, {"is_shown": True}, "1234.5"),
        ("SSN 123-45-6789", {"is_shown": True}, "SSN ***-**-6789"),
        ("1030000234", {"is_shown": True}, "****0234"),
        ("12345678.90", {"is_shown": True}, "12345678.90"),
        ("N/A", {"is_shown": True}, "N/A"),
        ("A10300002:CASH", {"is_key": True}, "A10300002:CASH"),
        (None, {}, ""),
        ("x" * 500, {"is_shown": True}, "x" * 200),
    ],
)
def test_a_cell_is_masked_by_what_it_may_contain(value: object, options: dict[str, bool], text: str) -> None:
    flags = {"is_key": False, "is_shown": False, "is_bad": False} | options
    assert _cell("field", value, **flags)["text"] == text
