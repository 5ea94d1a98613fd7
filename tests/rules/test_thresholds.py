"""The form of the thresholds: read, validated, saved with its user, and previewed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from include.errors import ConfigurationError, InputRejected
from include.rules.policy import Policy
from include.rules.preview import preview
from include.rules.thresholds import change, compare, list_thresholds, read_form, read_history, read_saved
from include.warehouse import schema
from tests.conftest import Database
from tests.rules.conftest import FRIDAY, MONDAY, Ledgered
from tests.warehouse.loading import dead_letter


def _fill(**changed: Any) -> dict[str, Any]:
    return {each.name: each.value for each in list_thresholds(Policy())} | changed


def test_every_threshold_is_described() -> None:
    assert [each.name for each in list_thresholds(Policy())] == list(vars(Policy()))
    assert all(each.description for each in list_thresholds(Policy()))


def test_an_unchanged_form_differs_in_nothing() -> None:
    assert read_form(_fill()) == {}


def test_a_form_gives_the_thresholds_that_differ() -> None:
    filled = _fill(
        excess_cash_percent=" 7.50 ", unfunded_days="45", concentration_includes_cash=True, questionnaire_versions="RQ5\n\nRQ4 \n"
    )  # fmt: skip
    thresholds = read_form(filled)
    assert thresholds == {
        "excess_cash_percent": "7.50", "unfunded_days": 45, "concentration_includes_cash": True,
        "questionnaire_versions": ["RQ4", "RQ5"],
    }  # fmt: skip
    assert Policy.of(thresholds).excess_cash_percent == Decimal("7.5")


def test_an_invalid_form_is_refused_with_a_sentence_for_each_fault() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_form(_fill(excess_cash_percent="0", unfunded_days="soon", no_such="1"))
    for sentence in (
        "excess_cash_percent must be between",
        "unfunded_days must be a number",
        "no_such is not a threshold",
    ):
        assert sentence in str(refused.value)


@pytest.fixture
def web(database: Database) -> Iterator[sa.Engine]:
    opened = schema.engine(database.url("tributary_web"))
    yield opened
    opened.dispose()


def test_a_change_is_in_force_and_the_audit_trail_has_user_and_values(web: sa.Engine, database: Database) -> None:
    change(web, "ann", Policy(), {"unfunded_days": 45}, None)
    with web.connect() as db:
        change_id, saved = read_saved(db)
        [entry] = read_history(db)
    assert saved == {"unfunded_days": 45}
    assert entry["changes"] == {"unfunded_days": {"from": 30, "to": 45}}
    [audited] = database.rows("select actor, details from control.audit where action = 'thresholds.changed'")
    assert audited == {"actor": "ann", "details": {"changes": {"unfunded_days": {"from": 30, "to": 45}}}}
    change(web, "ben", Policy.of(saved), {}, change_id)
    with web.connect() as db:
        assert read_saved(db)[1] == {}


def test_a_form_that_another_user_has_overtaken_is_refused(web: sa.Engine) -> None:
    change(web, "ann", Policy(), {"unfunded_days": 45}, None)
    with pytest.raises(InputRejected, match="Another user has changed the thresholds"):
        change(web, "ben", Policy(), {"unfunded_days": 60}, None)


def test_a_change_of_nothing_is_refused(web: sa.Engine) -> None:
    with pytest.raises(InputRejected, match="No threshold is different"):
        change(web, "ann", Policy(), {}, None)


@pytest.mark.parametrize("role", ["tributary_web", "tributary_load", "tributary_read"])
def test_no_role_changes_thresholds_without_the_function(database: Database, role: str) -> None:
    engine = schema.engine(database.url(role))
    statement = "insert into control.threshold_change (thresholds, changes, changed_by) values ('{}', '{}', 'x')"
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), engine.begin() as db:
        db.execute(sa.text(statement))
    engine.dispose()


def test_a_preview_counts_what_each_rule_would_find_and_writes_nothing(firm: Ledgered, engine: sa.Engine) -> None:
    firm.day(FRIDAY, {"a": 100_000, "b": 100_000}, {"a": -50, "b": -5})
    firm.reconcile(FRIDAY)
    proposed = Policy.of({"negative_cash_tolerance_usd": 10})
    counts = {each["rule"]: each for each in preview(firm.engine, Policy(), proposed)}
    assert counts["negative_cash"] == {"rule": "negative_cash", "severity": "critical", "now": 2, "proposed": 1}
    assert firm.findings("rule") == []


def test_a_preview_leaves_out_accounts_with_a_dead_letter(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100_000, "b": 100_000}, {"a": -50, "b": -5})
    before = {each["rule"]: each["now"] for each in preview(firm.engine, Policy(), Policy())}
    firm.day(MONDAY, {"a": 100_000, "b": 100_000}, {"a": -50, "b": -5})
    value = {
        "account_value_key": "b",
        "account_key": "b",
        "market_value_usd": Decimal(100_000),
        "cash_usd": Decimal(-5),
    }
    firm.load("account_value", [value], MONDAY, dead=[dead_letter("account_value", "a", parent="a")])
    firm.reconcile(MONDAY)
    after = {each["rule"]: each["now"] for each in preview(firm.engine, Policy(), Policy())}
    assert after["negative_cash"] == (before["negative_cash"] or 0) + 1


def test_a_rule_without_data_has_no_count(database: Database, engine: sa.Engine) -> None:
    assert {each["now"] for each in preview(engine, Policy(), Policy())} == {None}


def test_differences_name_both_values() -> None:
    assert compare(Policy(), Policy.of({"excess_cash_percent": "7.5"})) == {
        "excess_cash_percent": {"from": "10", "to": "7.5"}
    }
