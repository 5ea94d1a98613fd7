"""A firm's paths, columns, codes and bounds of a vendor, from the file in its folder to the warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from include.connection import Connection
from include.contract.overrides import apply_overrides
from include.errors import ConfigurationError, DataQualityError
from include.validation.suite import find_suite
from include.vendors import named
from tests.check.planted import fault
from tests.conftest import Firm
from tests.firm.conftest import Write

TABLES = ("representatives", "clients", "registrations", "accounts", "assets", "transactions")
TRANSACTIONS, ACCOUNTS = "/portfolio/transactions", "/portfolio/accounts"


def use(firm: Firm, written: object) -> None:
    """Put a firm's folder in force, as for a task that reads the connection."""
    named_connection = replace(firm.connection, name=firm.vendor.name)
    firm.connection = written.complete(named_connection)  # type: ignore[attr-defined]


def test_a_code_of_the_firm_has_the_effect_of_a_declared_one(start_firm: Callable[..., Firm], write: Write) -> None:
    firm = start_firm()
    fault(TRANSACTIONS, "poison", field="typeCode", value="XSEL")(firm)
    with pytest.raises(DataQualityError, match="transactions"):
        firm.day()

    use(firm, write(vendors="orion: {codes: {transactions: {type_code: {XSEL: SEL}}}}"))
    firm.day()
    rows = firm.database.rows(
        "select distinct type_code, sign(quantity) as direction from warehouse.transaction where quantity <> 0"
    )
    assert rows == [{"type_code": "XSEL", "direction": Decimal(-1)}]


def test_a_renamed_field_is_read(start_firm: Callable[..., Firm], write: Write) -> None:
    firm = start_firm()
    fault(ACCOUNTS, "field_renamed", field="currentValue", to="Current Worth")(firm)
    use(firm, write(vendors="orion:\n  columns:\n    accounts: {current_value_usd: Current Worth}\n"))
    firm.day()
    assert firm.database.value("select count(*) from warehouse.account_value where market_value_usd > 0") > 0


def test_a_bound_of_the_firm_refuses_a_row_and_another_accepts_a_day(
    start_firm: Callable[..., Firm], write: Write
) -> None:
    firm = start_firm()
    lines = """
orion:
  bounds:
    accounts:
      current_value_usd: {max: 100_000}
      dead_ratio: {max: 1}
      dead_money_ratio: {max: 1}
      start_date: {min: 1950-01-01}
"""
    use(firm, write(vendors=lines))
    firm.day()
    letters = firm.database.rows(
        "select reasons from control.dead_letter where table_name = 'accounts' and stage = 'validate'"
    )
    assert letters
    assert "current_value_usd): -10000000 to 100000" in str(letters[0])


def test_each_setting_reaches_the_declaration(write: Write) -> None:
    lines = """
orion:
  paths: {accounts: v9/firm/accounts, closed: v9/closed}
  columns:
    accounts: {account_id: {field: Account No, hashed: false}}
  bounds: {accounts: {rows_ratio: {min: 0.5}}}
"""
    extra = {"paths": '{"clients": "v9/clients"}', "client_id": "4711"}
    connection = write(vendors=lines).complete(Connection("https://orion.example", extra=extra, name="orion"))
    vendor = apply_overrides(named("orion"), connection.extra)
    assert apply_overrides(vendor, connection.extra) == vendor
    assert [vendor.table(name).path for name in ("accounts", "clients")] == ["v9/firm/accounts", "v9/clients"]
    assert vendor.closed is not None
    assert vendor.closed.path == "v9/closed"
    assert vendor.table("accounts").named("account_id").source == "Account No"
    assert connection.extra["client_id"] == "4711"
    [ratio] = [each for each in find_suite(vendor, vendor.table("accounts")) if each.column == "rows_ratio"]
    assert ratio.kwargs == {"column": "rows_ratio", "min_value": Decimal("0.5"), "max_value": Decimal("1.1")}


def test_codes_that_are_applied_twice_are_applied_once(write: Write) -> None:
    connection = write(vendors="orion: {codes: {transactions: {type_code: {RIN: DRI}}}}").complete(
        Connection("", name="orion")
    )
    once = apply_overrides(named("orion"), connection.extra)
    assert apply_overrides(once, connection.extra) == once
    assert once != named("orion")


def test_other_connections_stay_as_they_are(write: Write) -> None:
    firm = write(vendors="orion: {paths: {accounts: v2}}")
    for connection in (Connection("", name="tamarac"), Connection("", name="salesforce"), Connection("")):
        assert firm.complete(connection) == connection


@pytest.mark.parametrize(
    ("vendors", "extra", "name"),
    [
        ("orion: {paths: {accounts: v2}}", {"paths": {"accounts": "v3"}}, "paths.accounts"),
        (
            "orion: {columns: {accounts: {account_id: A}}}",
            {"columns": {"accounts": {"account_id": {"field": "B"}}}},
            "columns.accounts.account_id",
        ),
    ],
)
def test_a_value_that_the_connection_states_too_is_refused(
    write: Write, vendors: str, extra: dict[str, object], name: str
) -> None:
    connection = Connection("", extra={key: json.dumps(value) for key, value in extra.items()}, name="orion")
    with pytest.raises(ConfigurationError, match="remove one of the two") as refused:
        write(vendors=vendors).complete(connection)
    assert name in str(refused.value)


def test_a_folder_that_does_not_exist_changes_nothing(tmp_path: Path) -> None:
    from include.firm.folder import Firm as Folder
    from include.firm.folder import read_all

    assert read_all(tmp_path / "none") == (Folder(tmp_path / "none"), [])
