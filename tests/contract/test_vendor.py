"""A declaration is validated when it is created, and hashed as a whole."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from include import canonical
from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    STRING,
    TIMESTAMP,
    Basic,
    Budget,
    Derived,
    FanOut,
    Linked,
    Nested,
    Numbered,
    Offset,
    Positioned,
    Pushed,
    Report,
    Shape,
    Table,
    Vendor,
    Whole,
    column,
    ignored,
    sensitive,
)
from include.contract.arrow import arrow_type
from include.extract.columns import staged_schema
from include.validation.suite import read_suite
from include.vendors import VENDORS

COLUMNS = (
    column("row_id", "id", INTEGER, required=True),
    column("amount_usd", "amount", MONEY),
    sensitive("tax_id", "ssn"),
    *ignored("junk"),
)
TABLE = Table("rows", "Some/Rows", ("row_id",), COLUMNS)


@pytest.mark.parametrize("name", ["nothing", "tax_id", "junk"])
@pytest.mark.parametrize("role", ["key", "money"])
def test_key_and_money_must_be_staged_columns(role: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"rows: {name} is not a staged column"):
        replace(TABLE, **{role: (name,) if role == "key" else name})


def test_field_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="declare the same field"):
        replace(TABLE, columns=(*COLUMNS, *ignored("id")))


def test_ignored_fields_are_names_separated_by_commas() -> None:
    fields = ignored("Branch Phone, fax", INTEGER)
    assert [(col.source, col.type, col.kind) for col in fields] == [
        ("Branch Phone", INTEGER, "ignored"),
        ("fax", INTEGER, "ignored"),
    ]


def test_window_without_its_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="needs `edited`"):
        replace(TABLE, pull="window")


@pytest.mark.parametrize(
    "change",
    [
        {"path": "Other/Rows"},
        {"page_rows": 7},
        {"columns": (*COLUMNS, column("name", "name", STRING))},
        {"shape": Offset("id")},
        {"rows": "items"},
        {"has_objects": True},
        {"omits_nulls": True},
        {"dates": "us"},
        {"skipped": ("tabs",)},
        {"selected": "ids"},
        {"overlap_days": 7},
        {"shape": Positioned("start", "size")},
    ],
)
def test_any_change_of_a_declaration_changes_its_hash(change: dict[str, object]) -> None:
    assert replace(TABLE).hash == TABLE.hash
    assert replace(TABLE, **change).hash != TABLE.hash  # type: ignore[arg-type]


def test_what_is_staged_is_the_same_whatever_the_vendor_calls_it_and_wherever_it_is() -> None:
    renamed = (replace(TABLE.columns[0], source="Other"), *TABLE.columns[1:])
    assert replace(TABLE, path="v2/other", columns=renamed).staged_hash == TABLE.staged_hash
    assert replace(TABLE, columns=TABLE.columns[:-1]).staged_hash != TABLE.staged_hash
    assert replace(TABLE, version=TABLE.key[0]).staged_hash == TABLE.staged_hash
    assert replace(TABLE, weekly_days=7).staged_hash == TABLE.staged_hash
    formed = tuple(replace(each, has_form=True) for each in TABLE.columns)
    assert replace(TABLE, columns=formed).staged_hash == TABLE.staged_hash


def test_only_tables_requested_by_date_state_the_past() -> None:
    assert not TABLE.states_past
    assert replace(TABLE, pull="snapshot").states_past
    assert replace(TABLE, pull="window", edited=("from", "to")).states_past


def test_unknown_type_is_rejected() -> None:
    with pytest.raises(ValueError, match="unknown column type float64"):
        arrow_type("float64")


# --- shapes ---

CLIENTS = Table("clients", "clients", ("client_id",), (column("client_id", "id", STRING, required=True),))
PLANS = Table(
    "plans",
    "clients/{client_id}/plans",
    ("plan_id",),
    (
        column("plan_id", "planId", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("requested_at", "@requested_at", TIMESTAMP),
    ),
    shape=FanOut("clients"),
)
GOALS = replace(PLANS, name="goals", path="", shape=Nested("plans", ("goals",)))


@pytest.mark.parametrize(
    "shape",
    [
        *(
            Whole(),
            Offset("id"),
            Numbered("page", "size"),
            Linked("next", "size"),
            Report({}, "jobId", "status", "Complete", ("Failed",)),
            FanOut(),
            Pushed(),
        ),
        *(Linked("page.next", "size", "cursor"), Positioned("start", "size")),
    ],
)
def test_table_without_a_parent_is_in_the_first_stage(shape: Shape) -> None:
    assert replace(TABLE, shape=shape).parent == ""


def test_fan_out_and_what_is_inside_wait_for_their_table() -> None:
    assert (PLANS.parent, GOALS.parent) == ("clients", "plans")


def test_row_carries_columns_of_the_table_that_it_is_over_but_not_its_own_time() -> None:
    assert PLANS.carried == ("client_id",)


def test_shape_is_part_of_the_hash_field_by_field() -> None:
    assert replace(PLANS, shape=FanOut("clients", missing=(404, 409))).hash != PLANS.hash
    assert replace(PLANS, shape=FanOut("clients", bucket="simulations")).hash != PLANS.hash
    assert replace(PLANS, shape=FanOut("clients", headers={"x-api-user": "{client_id}"})).hash != PLANS.hash
    assert replace(PLANS, shape=FanOut("clients", pages=Linked("next", "size", "cursor"))).hash != PLANS.hash
    assert replace(PLANS, shape=FanOut("clients", final="envelope")).hash != PLANS.hash


def test_stages_pull_a_child_after_its_parent() -> None:
    tables = (TABLE, CLIENTS, PLANS, GOALS)
    vendor = Vendor("testbank", "Testbank", "", Basic(), tables, (), "0 6 * * *", Budget(60))
    assert vendor.stages == (("rows", "clients"), ("plans",), ("goals",))


def test_webhook_only_table_is_in_no_stage() -> None:
    tables = (TABLE, replace(TABLE, name="deliveries", shape=Pushed()))
    vendor = Vendor("testbank", "Testbank", "", Basic(), tables, (), "0 6 * * *", Budget(60))
    assert (vendor.requested_tables, vendor.stages) == ((TABLE,), (("rows",),))
    assert vendor.table("deliveries").name == "deliveries"


def test_selectable_keys_are_of_the_declared_or_the_first_table() -> None:
    vendor = Vendor("testbank", "Testbank", "", Basic(), (CLIENTS, PLANS), (), "0 6 * * *", Budget(60))
    assert [vendor.is_keyed(table) for table in vendor.tables] == [True, False]
    assert [replace(vendor, keyed="plans").is_keyed(table) for table in vendor.tables] == [False, True]


def test_table_of_another_vendor_is_unknown() -> None:
    vendor = Vendor("testbank", "Testbank", "", Basic(), (TABLE,), (), "0 6 * * *", Budget(60))
    with pytest.raises(KeyError, match="testbank has no table clients"):
        vendor.table("clients")


# --- every declared vendor ---


def test_parent_of_a_fan_out_is_declared_before_it(vendor: Vendor) -> None:
    seen: set[str] = set()
    for table in vendor.tables:
        assert not table.parent or table.parent in seen, table.name
        seen.add(table.name)
    assert (
        {name for stage in vendor.stages for name in stage} == {table.name for table in vendor.requested_tables} <= seen
    )


def test_keys_of_a_path_and_carried_columns_are_staged_by_the_table_that_it_is_over(vendor: Vendor) -> None:
    for table in vendor.tables:
        headers = table.shape.headers.values() if isinstance(table.shape, FanOut) else ()
        in_path = set(re.findall(r"{(\w+)}", "".join((table.path, *headers))))
        if table.parent:
            assert in_path | set(table.carried) <= set(staged_schema(vendor.table(table.parent)).names), table.name
        else:
            assert not in_path
            assert not table.carried


def test_fan_out_names_a_flag_and_a_bucket_that_exist(vendor: Vendor) -> None:
    for table in vendor.tables:
        if isinstance(table.shape, FanOut):
            assert table.shape.bucket in {"", *vendor.budget.calls_per_hour}
            assert not table.shape.only or vendor.table(table.parent).named(table.shape.only).type == BOOLEAN


def test_rows_inside_come_from_a_text_that_is_staged(vendor: Vendor) -> None:
    for table in vendor.tables:
        if isinstance(table.shape, Nested):
            assert {vendor.table(table.parent).named(name).type for name in table.shape.columns} == {STRING}
            assert table.path == ""


def test_columns_that_are_added_up_are_numbers_of_merged_rows(vendor: Vendor) -> None:
    for entity_map in vendor.maps:
        fields = canonical.named(entity_map.entity).columns
        assert entity_map.merged or not entity_map.summed
        assert set(entity_map.summed) <= set(entity_map.columns)
        assert all(fields[name].startswith("decimal") for name in entity_map.summed)


def test_table_is_summed_by_a_money_column_of_the_table_that_it_agrees_with(vendor: Vendor) -> None:
    for table in vendor.tables:
        if table.agrees:
            by, other, money = table.agrees
            assert table.named(by).required
            assert vendor.table(other).money == money


def test_headers_are_filled_from_the_connection_under_names_of_their_own(vendor: Vendor) -> None:
    assert len(set(vendor.headers.values())) == len(vendor.headers)


def test_every_vendor_has_a_rank_for_all_that_it_does_not_name(vendor: Vendor) -> None:
    assert "" in vendor.ranks


def test_every_column_has_a_type(vendor: Vendor) -> None:
    for table in vendor.tables:
        for each in table.columns:
            assert arrow_type(each.type) is not None


def test_keys_are_required(vendor: Vendor) -> None:
    assert all(table.named(key).required for table in vendor.tables for key in table.key)


def test_parents_are_declared_before_their_children(vendor: Vendor) -> None:
    seen: set[str] = set()
    for table in vendor.tables:
        assert set(table.references.values()) <= seen
        seen.add(table.name)


def test_mappings_use_staged_and_canonical_columns(vendor: Vendor) -> None:
    for entity_map in vendor.maps:
        table, entity = vendor.table(entity_map.table), canonical.named(entity_map.entity)
        staged = set(staged_schema(table).names)
        for other, beside in entity_map.beside.items():
            assert {*beside.columns, *beside.found_by} <= set(staged_schema(vendor.table(other)).names)
            assert set(beside.found_by) <= set(beside.columns)
            assert set(beside.found_by.values()) <= set(entity_map.takes)
        assert set(entity_map.columns) <= set(entity.columns)
        assert entity.key in entity_map.columns
        sources = (*entity_map.columns.values(), *entity_map.dropped.values())
        named = {n for s in sources for n in ((s,) if isinstance(s, str) else getattr(s, "columns", ()))}
        # A split adds columns of its own; the columns that it reads are staged.
        assert set(entity_map.takes if entity_map.split is not None else named) <= staged, entity_map.entity
        assert all(isinstance(rule, Derived) for rule in entity_map.dropped.values())


def test_every_requested_table_has_a_suite_for_its_staged_columns(vendor: Vendor) -> None:
    for table in vendor.requested_tables:
        suite = read_suite(vendor.name, table.name)
        staged = {c.name for c in table.columns if c.kind == "value"}
        assert {e.staged for e in suite if e.level == "row"} <= staged
        assert {e.level for e in suite} == {"row", "batch"}


def test_every_date_and_time_that_is_staged_has_a_first_and_a_last_day_in_its_suite(vendor: Vendor) -> None:
    for table in vendor.requested_tables:
        bounded = {
            e.column
            for e in read_suite(vendor.name, table.name)
            if e.level == "row"
            and e.type == "expect_column_values_to_be_between"
            and {"min_value", "max_value"} <= e.kwargs.keys()
        }
        moments = {c.name for c in table.columns if c.kind == "value" and c.type in (DATE, TIMESTAMP)}
        assert moments <= bounded, table.name


def test_money_is_never_a_float() -> None:
    columns = [(vendor.name, c) for vendor in VENDORS for table in vendor.tables for c in table.columns]
    named = [(name, c.type) for name, c in columns if c.name.endswith(("_usd", "quantity", "_ratio"))]
    assert all(type_.startswith("decimal") for _, type_ in named)
    assert len({name for name, _ in named}) >= 4


# --- webhook-only tables, and events with states ---


def test_webhook_delivers_the_vendors_tables_and_its_log_is_never_pulled(vendor: Vendor) -> None:
    pushed = {table.name for table in vendor.tables if isinstance(table.shape, Pushed)}
    assert pushed == ({vendor.webhook.log} if vendor.webhook else set())
    assert vendor.webhook is None or vendor.webhook.table in {table.name for table in vendor.requested_tables}


def test_delivery_key_selects_single_rows(vendor: Vendor) -> None:
    if vendor.webhook is None or vendor.webhook.row:
        return
    table = vendor.table(vendor.webhook.table)
    assert isinstance(table.shape, FanOut)
    assert vendor.is_keyed(vendor.table(table.parent))
    asked_by = {*re.findall(r"{(\w+)}", "".join((table.path, *table.shape.headers.values()))), *table.carried}
    assert len(vendor.webhook.keys) == len(asked_by)


def test_table_whose_keys_people_choose_exists(vendor: Vendor) -> None:
    assert not vendor.keyed or vendor.table(vendor.keyed)


def test_only_final_events_are_not_requested_again(vendor: Vendor) -> None:
    for table in vendor.tables:
        if isinstance(table.shape, FanOut) and table.shape.final:
            assert canonical.named(table.shape.final).final


def test_table_has_a_path_unless_it_comes_with_another_or_by_webhook(vendor: Vendor) -> None:
    assert all(bool(table.path) != isinstance(table.shape, Nested | Pushed) for table in vendor.tables)
