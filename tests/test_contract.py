"""A declaration is checked when it is made, and hashed as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include import canonical
from include.arrow import arrow_type
from include.contract import INTEGER, MONEY, STRING, Derived, Table, Vendor, column, ignored, sensitive
from include.extract.login import LOGINS
from include.validation.suite import read_suite

COLUMNS = (
    column("row_id", "id", INTEGER, required=True),
    column("amount_usd", "amount", MONEY),
    sensitive("tax_id", "ssn"),
    ignored("junk"),
)
TABLE = Table("rows", "Some/Rows", ("row_id",), COLUMNS)


@pytest.mark.parametrize("name", ["nothing", "tax_id", "junk"])
@pytest.mark.parametrize("role", ["key", "money"])
def test_key_and_money_must_be_staged_columns(role: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"rows: {name} is not a staged column"):
        replace(TABLE, **{role: (name,) if role == "key" else name})


def test_field_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        replace(TABLE, columns=(*COLUMNS, ignored("id")))


def test_window_without_its_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="edit bounds"):
        replace(TABLE, pull="window")


@pytest.mark.parametrize(
    "change", [{"path": "Other/Rows"}, {"page_rows": 7}, {"columns": (*COLUMNS, column("name", "name", STRING))}]
)
def test_any_change_of_a_declaration_changes_its_hash(change: dict[str, object]) -> None:
    assert replace(TABLE).hash == TABLE.hash
    assert replace(TABLE, **change).hash != TABLE.hash  # type: ignore[arg-type]


def test_only_what_is_asked_for_by_date_states_the_past() -> None:
    assert not TABLE.states_past
    assert replace(TABLE, pull="snapshot").states_past
    assert replace(TABLE, pull="window", edited=("from", "to")).states_past


def test_type_word_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="float64 is not a type word"):
        arrow_type("float64")


# --- every declared vendor ---


def test_vendor_logs_in_by_a_known_way(vendor: Vendor) -> None:
    assert vendor.login in LOGINS


def test_every_column_has_a_type(vendor: Vendor) -> None:
    for table in vendor.tables:
        for each in table.columns:
            assert arrow_type(each.type) is not None


def test_keys_are_required(vendor: Vendor) -> None:
    assert all(table.named(key).required for table in vendor.tables for key in table.key)


def test_parents_stand_before_their_children(vendor: Vendor) -> None:
    seen: set[str] = set()
    for table in vendor.tables:
        assert set(table.parents.values()) <= seen
        seen.add(table.name)


def test_maps_speak_of_staged_and_canonical_columns(vendor: Vendor) -> None:
    for entity_map in vendor.maps:
        table, entity = vendor.table(entity_map.table), canonical.named(entity_map.entity)
        staged = {c.name for c in table.columns if c.kind == "value"}
        for c in table.columns:
            staged |= {f"{c.name}_hash", f"{c.name}_last4"} if c.kind == "sensitive" else set()
        assert set(entity_map.columns) <= set(entity.columns)
        assert entity.key in entity_map.columns
        for source in entity_map.columns.values():
            names = (source,) if isinstance(source, str) else getattr(source, "columns", ())
            assert set(names) <= staged, entity_map.entity
        assert all(isinstance(rule, Derived) for rule in entity_map.dropped.values())


def test_every_table_has_a_suite_of_columns_that_it_stages(vendor: Vendor) -> None:
    for table in vendor.tables:
        suite = read_suite(vendor.name, table.name)
        staged = {c.name for c in table.columns if c.kind == "value"}
        assert {e.column for e in suite if e.level == "row"} <= staged
        assert {e.level for e in suite} == {"row", "batch"}


def test_money_is_never_a_float(vendor: Vendor) -> None:
    named = [c for table in vendor.tables for c in table.columns if c.name.endswith(("_usd", "quantity", "_ratio"))]
    assert named
    assert all(c.type.startswith("decimal") for c in named)
