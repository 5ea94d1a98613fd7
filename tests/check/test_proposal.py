"""Proposals from a vendor's sample: overrides of a declared table, and the declaration of a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from include import cli, contract
from include.check.proposal import declare, propose_columns, read_sample
from include.contract import Table
from include.contract.overrides import apply_overrides
from include.errors import ConfigurationError
from include.vendors import named

GOLDENS = Path(__file__).parents[1] / "vendors"
ACCOUNTS = json.loads((GOLDENS / "orion" / "accounts.json").read_text())
HOLDINGS = (GOLDENS / "tamarac" / "holdings.csv").read_text()


def rename(rows: list[dict[str, Any]], names: dict[str, str]) -> bytes:
    return json.dumps([{names.get(name, name): value for name, value in row.items()} for row in rows]).encode()


def propose(vendor: str, table: str, content: bytes, name: str = "sample.json") -> Any:
    known = named(vendor)
    return propose_columns(known, known.table(table), read_sample(content, name))


def test_a_sample_that_fits_needs_no_override() -> None:
    proposal = propose("orion", "accounts", json.dumps(ACCOUNTS).encode())
    assert (proposal.columns, proposal.missing, proposal.undeclared) == ({}, [], [])


def test_renamed_fields_are_proposed_and_the_override_is_valid() -> None:
    names = {"currentValue": "Current_Value_USD", "number": "AccountNumber", "isActive": "Active"}
    proposal = propose("orion", "accounts", rename(ACCOUNTS, names))
    assert proposal.columns == {
        "current_value_usd": "Current_Value_USD", "account_number": "AccountNumber", "is_active": "Active",
    }  # fmt: skip
    assert (proposal.missing, proposal.undeclared) == ([], [])
    changed = apply_overrides(named("orion"), {"columns": proposal.override})
    assert changed.table("accounts").named("is_active").source == "Active"
    assert proposal.faults == propose("orion", "accounts", json.dumps(ACCOUNTS).encode()).faults


def test_a_field_of_another_type_is_not_proposed() -> None:
    rows = [{**row, "currentValu": "high"} for row in json.loads(rename(ACCOUNTS, {"currentValue": "elsewhere"}))]
    proposal = propose("orion", "accounts", json.dumps(rows).encode())
    assert "current_value_usd" not in proposal.columns
    assert "currentValue" in proposal.missing
    assert {"currentValu", "elsewhere"} <= set(proposal.undeclared)


def test_columns_of_a_report_are_proposed() -> None:
    header, _, cells = HOLDINGS.partition("\n")
    renamed = header.replace("CUSIP", "Cusip/ISIN").replace("Market Value", "Mkt Value")
    proposal = propose("tamarac", "holdings", f"{renamed}\n{cells}".encode(), "holdings.csv")
    assert proposal.columns == {"cusip": "Cusip/ISIN", "market_value_usd": "Mkt Value"}


ROWS = [
    {"policyId": f"p{n}", "Face Amount": 1000.5 + n, "startDate": "2026-01-02", "changedAt": "2026-01-02T03:04:05Z",
     "active": True, "riders": 3, "units": 1.25, "owner": {"ssn": "123-45-6789", "zip": "01234"}, "Account No": f"A{n}"}
    for n in range(3)
]  # fmt: skip


def test_a_new_table_is_declared() -> None:
    text = declare("policies", read_sample(json.dumps({"count": 3, "items": ROWS}).encode(), "policies.json"))
    table: Table = eval(text.partition(" = ")[2], vars(contract))
    assert (table.name, table.key, table.rows, table.has_objects) == ("policies", ("policy_id",), "items", True)
    assert {(col.name, col.source, col.type, col.kind) for col in table.columns} == {
        ("policy_id", "policyId", "string", "value"),
        ("face_amount_usd", "Face Amount", "decimal(20,2)", "value"),
        ("start_date", "startDate", "date", "value"),
        ("changed_at", "changedAt", "timestamp", "value"),
        ("is_active", "active", "bool", "value"),
        ("riders", "riders", "int64", "value"),
        ("units_quantity", "units", "decimal(28,8)", "value"),
        ("owner_ssn", "owner.ssn", "string", "sensitive"),
        ("owner_zip", "owner.zip", "string", "value"),
        ("account_no", "Account No", "string", "sensitive"),
    }
    assert "6789" not in text


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"[1, 2]", b"\xff\xfe"])
def test_a_file_without_rows_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="sample"):
        read_sample(content, "sample.json")


def test_the_command_prints_a_proposal_without_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "accounts.json"
    file.write_bytes(rename(ACCOUNTS, {"currentValue": "Current_Value_USD"}))
    assert cli.main(["check", "--sample", str(file), "--system", "orion", "--table", "accounts"]) == 0
    printed = capsys.readouterr().out
    assert '"columns": {"accounts": {"current_value_usd": "Current_Value_USD"}}' in printed
    file.write_text(json.dumps(ROWS))
    assert cli.main(["check", "--sample", str(file), "--system", "orion", "--table", "policies"]) == 0
    assert "POLICIES = Table(" in (printed := capsys.readouterr().out)
    assert "6789" not in printed


@pytest.mark.parametrize(
    "arguments", [["--table", "accounts"], ["--system", "orion"], ["--system", "nobody", "--table", "accounts"]]
)
def test_a_sample_needs_a_vendor_and_a_table(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sample.json").write_text("[{}]")
    assert cli.main(["check", "--sample", str(tmp_path / "sample.json"), *arguments]) == 1
    assert "ConfigurationError" in capsys.readouterr().err
