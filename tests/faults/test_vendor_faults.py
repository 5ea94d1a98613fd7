"""Every fault that the sandbox knows, in a whole day: it recovers and is right, or it tells why and changes nothing."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from include.contract import Table, Vendor
from include.errors import (
    AuthenticationError,
    DataQualityError,
    PagingUnstable,
    RateLimited,
    SchemaDrift,
    TributaryError,
    VendorUnavailable,
)
from include.extract.session import VendorSession
from include.local.postgres import Postgres
from include.sandbox.faults import ROWS, TRANSPORT
from include.vendors import VENDORS
from tests.conftest import Database, Firm
from tests.running_sandbox import LAST, run_sandbox


def paged(vendor: Vendor, rows: int) -> Vendor:
    """The vendor, asked for pages of so many rows."""
    return replace(vendor, tables=tuple(replace(table, page_rows=rows) for table in vendor.tables))


def struck(vendor: Vendor) -> Table:
    """The table that the faults lie on: the one that the day's money is in."""
    return next(table for table in vendor.tables if table.agrees)


def key_source(table: Table) -> str:
    return table.named(table.key[0]).source


def money_source(table: Table) -> str:
    return table.named(str(table.money)).source


def add_fault(firm: Firm, table: Table, kind: str, **options: Any) -> None:
    route = f"{urlsplit(firm.connection.url).path}/{table.path}"
    answer = firm.sandbox.http.post("/_sandbox/faults", json={"route": route, "kind": kind, **options})
    assert answer.status_code == 200, answer.text


def truth(firm: Firm) -> dict[str, Any]:
    """What the vendor itself says of each key's money, when nothing disturbs it."""
    firm.sandbox.http.delete("/_sandbox/faults")
    table = struck(firm.vendor)
    asked = {name: LAST.strftime(pattern) for name, pattern in table.dated.items()}
    rows = firm.sandbox.rows(table.path, **asked, _orderby=table.order, _top=100_000)
    assert len(rows) > 100
    return {str(row[key_source(table)]): row[money_source(table)] for row in rows}


def held(firm: Firm) -> dict[str, Decimal]:
    return {key: money for key, (_, money) in firm.held().items()}


def warehouse(firm: Firm) -> dict[str, Any]:
    """Every table of the warehouse: how many rows, and a sum over what they hold."""
    names = firm.database.rows(
        "select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'warehouse' and c.relkind in ('r', 'p') and not c.relispartition"
    )
    assert len(names) > 5
    return {
        n["name"]: firm.database.rows(f"select count(*), sum(hashtext(t::text)) from warehouse.{n['name']} t")
        for n in names
    }


@pytest.fixture(scope="module", params=[vendor.name for vendor in VENDORS])
def loaded(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Firm]:
    """A firm whose day is in the warehouse, pulled in many pages; each test leaves it as it was."""
    vendor = next(vendor for vendor in VENDORS if vendor.name == request.param)
    name, folder = f"test_{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("firm")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template template_tributary")  # type: ignore[arg-type]
        with run_sandbox(folder / "sandbox", households=12) as sandbox:
            firm = Firm(paged(vendor, 60), sandbox, Database(postgres.url(name)), folder)
            firm.day()
            yield firm
            firm.engine.dispose()
        connection.execute(f"drop database {name} with (force)")  # type: ignore[arg-type]


def be_patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setitem(VendorSession.__init__.__kwdefaults__, "patience_s", seconds)


@pytest.fixture
def firm_in(loaded: Firm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Firm]:
    """The loaded firm, patient for 20 seconds."""
    be_patient(monkeypatch, 20)
    yield loaded
    loaded.sandbox.http.delete("/_sandbox/faults")
    loaded.database.do("delete from control.rate_budget")


def run_again(firm: Firm) -> None:
    """The day again, of the table that is struck and its parents."""
    table = struck(firm.vendor)
    firm.day(LAST, *dict.fromkeys([*table.parents.values(), table.name]))


RECOVERING: dict[str, tuple[str, dict[str, Any]]] = {
    "latency": ("latency", {"seconds": 0.2}),
    "429 with Retry-After": ("too_many_requests", {"times": 1, "retry_after": 1}),
    "429 without": ("too_many_requests", {"times": 2}),
    "503 in a burst": ("server_error", {"times": 2}),
    "502 now and then": ("server_error", {"status": 502, "share": 0.3, "seed": 4}),
    "reset": ("connection_reset", {"times": 2, "after": 1}),
    "body cut": ("body_cut", {"times": 2, "after": 1}),
    "HTML with status 200": ("html_page", {"times": 2, "after": 1}),
    "token dies between pages": ("token_expired", {"times": 1, "after": 1}),
    "rows come while paging": ("rows_added", {"times": 2, "count": 3}),
}


@pytest.mark.parametrize("fault", RECOVERING)
def test_day_recovers_and_holds_every_row(firm_in: Firm, fault: str) -> None:
    kind, options = RECOVERING[fault]
    before = warehouse(firm_in)
    add_fault(firm_in, struck(firm_in.vendor), kind, **options)
    run_again(firm_in)
    [report] = firm_in.sandbox.http.get("/_sandbox/faults").json()
    assert report["hits"] > 0
    assert held(firm_in) == truth(firm_in)
    assert warehouse(firm_in) == before


def test_rows_that_go_while_paging_lose_nobody_else(firm_in: Firm) -> None:
    """The sandbox leaves out the first rows before a later page: those that the earlier page has brought."""
    before = warehouse(firm_in)
    add_fault(firm_in, struck(firm_in.vendor), "rows_removed", times=2, count=7)
    run_again(firm_in)
    assert held(firm_in) == truth(firm_in)
    assert warehouse(firm_in) == before


FATAL: dict[str, tuple[str, dict[str, Any], type[TributaryError], str]] = {
    "429 for hours": ("too_many_requests", {"retry_after": 3600}, RateLimited, "retry_after=3600"),
    "429 for ever": ("too_many_requests", {}, RateLimited, "status=429"),
    "500 for ever": ("server_error", {"status": 500}, VendorUnavailable, "status=500"),
    "reset for ever": ("connection_reset", {}, VendorUnavailable, "ConnectionError"),
    "body cut for ever": ("body_cut", {}, VendorUnavailable, "ChunkedEncodingError|ConnectionError"),
    "HTML for ever": ("html_page", {}, VendorUnavailable, "something else than JSON"),
    "tokens die at once": ("token_expired", {}, AuthenticationError, "token it has just given"),
    "rows vanish for ever": ("rows_removed", {"count": 55}, PagingUnstable, "vanish faster"),
}


@pytest.mark.parametrize("fault", FATAL)
def test_day_that_cannot_recover_tells_why_and_changes_nothing(
    firm_in: Firm, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch, 1.5)
    kind, options, error, cause = FATAL[fault]
    table, before = struck(firm_in.vendor), warehouse(firm_in)
    add_fault(firm_in, table, kind, **options)
    with pytest.raises(error, match=cause) as told:
        run_again(firm_in)
    assert f"vendor={firm_in.vendor.name}" in str(told.value)
    assert f"path={table.path}" in str(told.value) or f"table={table.name}" in str(told.value)
    assert warehouse(firm_in) == before


def test_every_fault_of_the_sandbox_is_tried_here() -> None:
    tried = {kind for kind, *_ in [*RECOVERING.values(), *FATAL.values()]} | {"rows_removed"}
    assert {*TRANSPORT, "token_expired", "rows_added", "rows_removed"} <= tried
    assert set(ROWS) == {"field_added", "field_renamed", "field_retyped", "poison"}  # below


# --- drift ---


def test_field_that_is_new_is_loaded_around_and_told(firm_in: Firm) -> None:
    table, before = struck(firm_in.vendor), warehouse(firm_in)
    add_fault(firm_in, table, "field_added", field="brandNewField")
    run_again(firm_in)
    assert held(firm_in) == truth(firm_in)
    assert warehouse(firm_in) == before
    asked = "select vendor, table_name from control.drift where field = 'brandNewField'"
    assert firm_in.database.rows(asked) == [{"vendor": firm_in.vendor.name, "table_name": table.name}]


@pytest.mark.parametrize("which", [money_source, lambda t: next(c.source for c in t.columns if not c.required)])
def test_field_that_is_renamed_stops_the_day(firm_in: Firm, which: Callable[[Table], str]) -> None:
    table, before = struck(firm_in.vendor), warehouse(firm_in)
    add_fault(firm_in, table, "field_renamed", field=which(table), to="nowCalledThis")
    with pytest.raises(SchemaDrift) as told:
        run_again(firm_in)
    assert told.value.facts == {
        "vendor": firm_in.vendor.name, "table": table.name, "fields": which(table), "undeclared": "nowCalledThis",
    }  # fmt: skip
    assert warehouse(firm_in) == before


def test_field_that_is_retyped_beyond_reading_stops_the_day(firm_in: Firm) -> None:
    table, before = struck(firm_in.vendor), warehouse(firm_in)
    field = next(c for c in table.columns if c.type == "string" and c.kind == "value")
    add_fault(firm_in, table, "field_retyped", field=field.source)
    with pytest.raises(DataQualityError, match=rf"{table.name}: .*dead_ratio.*{field.source}: not string.*vendor="):
        run_again(firm_in)
    assert warehouse(firm_in) == before


def test_number_that_is_sent_as_text_is_read_exactly(firm_in: Firm) -> None:
    before = warehouse(firm_in)
    add_fault(firm_in, struck(firm_in.vendor), "field_retyped", field=money_source(struck(firm_in.vendor)))
    run_again(firm_in)
    assert held(firm_in) == truth(firm_in)
    assert warehouse(firm_in) == before


# --- poison ---


def test_exactly_the_poisoned_rows_are_dead_letters_and_the_rest_is_loaded(
    start_firm: Callable[..., Firm], vendor: Vendor
) -> None:
    firm = start_firm(paged(vendor, 100_000), households=30)
    poisoned: dict[str, set[str]] = {}
    for seed, table in enumerate((struck(vendor), next(t for t in vendor.tables if t.pull == "window")), 5):
        asked = {n: LAST.strftime(p) for n, p in table.dated.items()} if table.pull == "snapshot" else {}
        rows = firm.sandbox.rows(table.path, **asked, _orderby=table.order, _top=100_000)
        draw = random.Random(seed)
        poisoned[table.name] = {str(row[key_source(table)]) for row in rows if draw.random() < 0.01}
        assert len(poisoned[table.name]) > 2
        add_fault(firm, table, "poison", share=0.01, seed=seed, field=money_source(table), value="N/A")
    firm.day()
    letters = firm.database.rows("select * from control.dead_letter")
    for name, keys in poisoned.items():
        assert {row["row_key"] for row in letters if row["table_name"] == name} == keys
        reason = f"{money_source(firm.vendor.table(name))}: not decimal(20,2)"
        assert {tuple(row["reasons"]) for row in letters if row["table_name"] == name} == {(reason,)}
    assert len(letters) == sum(map(len, poisoned.values()))
    dead = poisoned[struck(vendor).name]
    assert held(firm) == {key: money for key, money in truth(firm).items() if key not in dead}
    window = next(name for name in poisoned if name != struck(vendor).name)
    loaded = firm.database.rows("select transaction_key from warehouse.transaction")
    assert not poisoned[window] & {row["transaction_key"] for row in loaded}
    assert len(loaded) == len(rows) - len(poisoned[window])


@pytest.mark.parametrize("seed", range(3))
def test_poison_in_any_field_is_accounted_for_or_stops_the_day(
    start_firm: Callable[..., Firm], vendor: Vendor, seed: int
) -> None:
    firm = start_firm(paged(vendor, 100_000), households=12)
    table, before = struck(vendor), warehouse(firm)
    add_fault(firm, table, "poison", share=0.015, seed=seed)
    stopped = ""
    try:
        firm.day()
    except (DataQualityError, PagingUnstable) as error:
        stopped = str(error)
    if stopped:
        assert firm.vendor.name in stopped
        assert table.name in stopped
        assert warehouse(firm) == before
        return
    whole = truth(firm)
    letters = firm.database.rows("select row_key from control.dead_letter where table_name = :t", t=table.name)
    keys = {row["row_key"] for row in letters}
    keyless = sum(row["row_key"] is None for row in letters)
    assert len(set(whole) - set(held(firm)) - keys) == keyless
    changed = {key for key, money in held(firm).items() if whole.get(key) != money}
    assert len(changed) <= 0.05 * len(whole)
