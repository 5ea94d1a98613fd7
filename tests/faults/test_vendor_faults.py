"""Every fault of the sandbox in a whole day: the day recovers with correct data, or fails with a reason and changes nothing."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include import canonical
from include.contract import (
    PAIRS,
    STRING,
    Basic,
    FanOut,
    Limits,
    Linked,
    Numbered,
    Offset,
    Positioned,
    Report,
    Table,
    Vendor,
)
from include.control.digest import write_digest
from include.errors import (
    AuthenticationError,
    DataQualityError,
    LimitExceeded,
    PagingUnstable,
    RateLimited,
    SchemaDrift,
    TributaryError,
    VendorUnavailable,
)
from include.pipeline.pull import open_session
from include.vendors import VENDORS, named
from local.postgres import Postgres
from sandbox.server.faults import ROWS, TRANSPORT
from tests.conftest import Firm, new_database, place_of
from tests.running_sandbox import LAST, run_sandbox


def paged(vendor: Vendor, rows: int) -> Vendor:
    """Return the vendor, with pages of this many rows."""
    tables = tuple(replace(table, page_rows=rows) for table in vendor.tables)
    return replace(vendor, tables=tables, limits=Limits(expanded_bytes=2**25))


TARGETS = {"docusign": "envelopes", "adobe_sign": "agreement_details"}
PAGE_ROWS = {"orion": 60, "adobe_sign": 2}


def find_target(vendor: Vendor) -> Table:
    """Return the table that gets the faults: the one with the day's money, else its main table, else the first."""
    main = TARGETS.get(vendor.name, vendor.tables[0].name)
    return next((table for table in vendor.tables if table.agrees), vendor.table(main))


def find_targets(vendor: Vendor) -> list[Table]:
    """Return that table, and its parent if the parent is a paged fan-out."""
    over = [
        t
        for t in vendor.tables
        if isinstance(t.shape, FanOut) and t.shape.pages and t.name == find_target(vendor).parent
    ]
    return [find_target(vendor), *over]


def is_paged(table: Table) -> bool:
    shape = table.shape.pages if isinstance(table.shape, FanOut) else table.shape
    return isinstance(shape, (Offset, Numbered, Linked, Positioned))


def path_of(table: Table, key: str) -> str:
    """Return the table's path, with `key` in place of its variables."""
    return re.sub(r"{\w+}", key, table.path)


def key_source(table: Table) -> str:
    return table.named(table.key[0]).source


def money_source(table: Table) -> str:
    return table.named(str(table.money)).source


def add_fault(firm: Firm, table: Table, kind: str, **options: Any) -> None:
    route = f"{place_of(firm.vendor, firm.connection)}/{path_of(table, '*')}"
    if isinstance(table.shape, Report):  # a report has an order, a state and a file; its rows are in the file
        of_one = f"/{table.shape.order['report']}"
        route += of_one + "/file" if kind in (*ROWS, "zip_cut") else of_one if kind == "report_failed" else "*"
    if not is_paged(table):  # one call returns all rows
        options.pop("after", None)
    response = firm.sandbox.http.post("/_sandbox/faults", json={"route": route, "kind": kind, **options})
    assert response.status_code == 200, response.text


def warehouse(firm: Firm) -> dict[str, Any]:
    """Count and hash the rows of every warehouse table."""
    names = firm.database.rows(
        "select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'warehouse' and c.relkind in ('r', 'p') and not c.relispartition"
    )
    assert len(names) > 5
    return {
        n["name"]: firm.database.rows(f"select count(*), sum(hashtext(t::text)) from warehouse.{n['name']} t")
        for n in names
    }


@contextlib.contextmanager
def load_firm(vendor: Vendor, postgres: Postgres, folder: Path) -> Iterator[Firm]:
    """Start a firm and load its day, pulled in many pages."""
    with new_database(postgres) as database, run_sandbox(folder / "sandbox", households=12) as sandbox:
        firm = Firm(paged(vendor, PAGE_ROWS.get(vendor.name, 10)), sandbox, database, folder)
        firm.day()
        yield firm
        firm.engine.dispose()


@pytest.fixture(scope="module")
def load_once(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Firm]]:
    """Loads a firm per vendor, once."""
    with contextlib.ExitStack() as running:

        @functools.cache
        def load(name: str) -> Firm:
            return running.enter_context(load_firm(named(name), postgres, tmp_path_factory.mktemp(name)))

        yield load


@pytest.fixture
def loaded(request: pytest.FixtureRequest, load_once: Callable[[str], Firm]) -> Firm:
    """The vendor's firm, reset for each test."""
    return load_once(request.param)


def be_patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setitem(open_session.__kwdefaults__, "patience_s", seconds)


@pytest.fixture
def firm_in(loaded: Firm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Firm]:
    """The loaded firm, patient for 20 seconds."""
    be_patient(monkeypatch, 20)
    yield loaded
    loaded.sandbox.http.delete("/_sandbox/faults")
    loaded.database.do("delete from control.rate_budget")


def run_again(firm: Firm) -> None:
    """Run the day again for the target table, its parents, and the tables that its maps read."""
    tables, pending = set[str](), [find_target(firm.vendor).name]
    while pending:
        tables.add(name := pending.pop())
        beside = [other for m in firm.vendor.maps if m.table == name for other in m.beside]
        table = firm.vendor.table(name)
        pending += {*table.references.values(), *beside, *([table.parent] if table.parent else [])} - tables
    firm.day(LAST, *tables, full_refresh=True)


ALWAYS = (
    "body cut",
    "500 for ever",
    "429 with Retry-After",
    "token dies between pages",
    "rows come while paging",
    "rows vanish for ever",
)
"""Faults that the first vendor always gets."""
BETWEEN_PAGES = ("token dies between pages", "rows come while paging")
"""Faults for tables whose paging differs from the first vendor's."""


def cases(faults: Mapping[str, tuple[Any, ...]]) -> Any:
    """Parametrize each vendor with each fault that applies to it."""
    params = []
    tables = [(vendor, table) for vendor in VENDORS for table in find_targets(vendor)]
    for (vendor, table), name in itertools.product(tables, faults):
        kind = faults[name][0]
        can = {
            "rows_added": is_paged(table),
            "rows_removed": isinstance(table.shape, Offset),
            "token_expired": not isinstance(vendor.login, Basic),
            "zip_cut": isinstance(table.shape, Report),
            "report_failed": isinstance(table.shape, Report),
            "error_in_body": bool(vendor.error_field),
        }.get(kind, True)
        is_of_the_road = kind in TRANSPORT or kind.startswith("rows_")
        has_own_pages = is_paged(table) and isinstance(table.shape, (FanOut, Positioned))
        always = BETWEEN_PAGES if has_own_pages else ()
        is_long = is_of_the_road and name not in (ALWAYS if vendor is VENDORS[0] else always)
        if can:
            params.append(pytest.param(vendor.name, table.name, name, marks=[pytest.mark.long] if is_long else []))
    return pytest.mark.parametrize(("loaded", "table", "fault"), params, indirect=["loaded"])


def every(*names: str) -> Any:
    """Parametrize over all vendors, or over these."""
    return pytest.mark.parametrize("loaded", names or [vendor.name for vendor in VENDORS], indirect=True)


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
    "maintenance page": ("maintenance", {"times": 2, "status": 404}),
    "body that drips": ("drip", {"times": 1, "bytes": 4000, "seconds": 0.01}),
    "archive cut": ("zip_cut", {"times": 1}),
    "200 that is an error": ("error_in_body", {"times": 2}),
}


@cases(RECOVERING)
def test_day_recovers_and_holds_every_row(firm_in: Firm, table: str, fault: str) -> None:
    kind, options = RECOVERING[fault]
    before = warehouse(firm_in)
    add_fault(firm_in, firm_in.vendor.table(table), kind, **options)
    run_again(firm_in)
    [report] = firm_in.sandbox.http.get("/_sandbox/faults").json()
    assert report["hits"] > 0
    assert warehouse(firm_in) == before


# A vendor's own cursor, or an append-only order, determines reliably where the next page begins.
SHIFTED = [vendor.name for vendor in VENDORS if isinstance(find_target(vendor).shape, (Offset, Numbered))]


@every(*SHIFTED)
def test_rows_removed_while_paging_lose_no_other_row(firm_in: Firm) -> None:
    """The sandbox omits the first rows before a later page: those that an earlier page contained."""
    before = warehouse(firm_in)
    add_fault(firm_in, find_target(firm_in.vendor), "rows_removed", times=2, count=7)
    run_again(firm_in)
    assert warehouse(firm_in) == before


FATAL: dict[str, tuple[str, dict[str, Any], type[TributaryError], str]] = {
    "429 for hours": ("too_many_requests", {"retry_after": 3600}, RateLimited, "retry_after=3600"),
    "429 for ever": ("too_many_requests", {}, RateLimited, "status=429"),
    "500 for ever": ("server_error", {"status": 500}, VendorUnavailable, "status=500"),
    "reset for ever": ("connection_reset", {}, VendorUnavailable, "ConnectionError"),
    "body cut for ever": ("body_cut", {}, VendorUnavailable, "ChunkedEncodingError|ConnectionError"),
    "HTML for ever": ("html_page", {}, VendorUnavailable, "The response is not JSON"),
    "maintenance for ever": ("maintenance", {}, VendorUnavailable, "maintenance page"),
    "body that expands without end": ("bomb", {"bytes": 2**26}, LimitExceeded, "after decompression"),
    "tokens die at once": ("token_expired", {}, AuthenticationError, "token that it has just issued"),
    "report can't be made": ("report_failed", {}, VendorUnavailable, "failed to create the report"),
    "rows vanish for ever": ("rows_removed", {"count": 55}, PagingUnstable, "vanish faster"),
}


@cases(FATAL)
def test_failed_day_reports_its_reason_and_changes_nothing(
    firm_in: Firm, table: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch, 1.5)
    kind, options, error, cause = FATAL[fault]
    of, before = firm_in.vendor.table(table), warehouse(firm_in)
    add_fault(firm_in, of, kind, **options)
    with pytest.raises(error, match=cause) as error_info:
        run_again(firm_in)
    assert f"vendor={firm_in.vendor.name}" in str(error_info.value)
    assert re.search(f"path={path_of(of, '[^/ ]+')}[] ]", str(error_info.value)) or f"table={table}" in str(
        error_info.value
    )
    assert warehouse(firm_in) == before


def test_every_fault_of_the_sandbox_is_tried_here() -> None:
    tried = {kind for kind, *_ in [*RECOVERING.values(), *FATAL.values()]} | {"rows_removed"}
    assert {*TRANSPORT, "token_expired", "rows_added", "rows_removed"} <= tried
    assert set(ROWS) == {
        "field_added",
        "field_removed",
        "field_renamed",
        "field_retyped",
        "poison",
        "field_scaled",
    }  # below, and in test_wrong_days


# --- drift ---


@pytest.mark.others_long
@every()
def test_new_field_is_reported_and_the_day_is_loaded(firm_in: Firm) -> None:
    table, before = find_target(firm_in.vendor), warehouse(firm_in)
    add_fault(firm_in, table, "field_added", field="brandNewField")
    run_again(firm_in)
    assert warehouse(firm_in) == before
    query = "select vendor, table_name from control.drift where field = 'brandNewField'"
    assert firm_in.database.rows(query) == [{"vendor": firm_in.vendor.name, "table_name": table.name}]
    reported = rf"- {firm_in.vendor.name}\.{table.name}: .*\bbrandNewField\b"
    assert re.search(reported, write_digest(firm_in.site.engine, firm_in.clock()))


def an_optional_field(table: Table) -> str:
    return next(c.source for c in table.columns if not c.required)


STATES_ALL = [vendor.name for vendor in VENDORS if not find_target(vendor).omits_nulls]
"""Vendors that send null fields, so that a missing field is detected."""


def read_drift(error: SchemaDrift, table: Table) -> dict[str, object]:
    """Return the facts of an error; the whole header, which that of a report has, as its missing and its undeclared fields."""
    facts = dict(error.facts)
    if isinstance(table.shape, Report):
        expected, found = (set(str(facts.pop(name)).split(",")) for name in ("expected", "found"))
        facts["fields"] = ",".join(sorted(expected - found))
        facts["undeclared"] = ",".join(sorted(found - {c.source for c in table.columns}))
    return facts


@pytest.mark.others_long
@pytest.mark.parametrize(
    ("loaded", "which"),
    [(vendor.name, key_source) for vendor in VENDORS] + [(name, an_optional_field) for name in STATES_ALL],
    indirect=["loaded"],
)
def test_field_that_is_renamed_stops_the_day(firm_in: Firm, which: Callable[[Table], str]) -> None:
    table, before = find_target(firm_in.vendor), warehouse(firm_in)
    add_fault(firm_in, table, "field_renamed", field=which(table), to="nowCalledThis")
    with pytest.raises(SchemaDrift) as error:
        run_again(firm_in)
    assert read_drift(error.value, table) == {
        "vendor": firm_in.vendor.name, "table": table.name, "fields": which(table), "undeclared": "nowCalledThis",
    }  # fmt: skip
    assert warehouse(firm_in) == before


@every("orion")
@pytest.mark.parametrize("which", [key_source, an_optional_field])
def test_field_that_is_missing_stops_the_day(firm_in: Firm, which: Callable[[Table], str]) -> None:
    table, before = find_target(firm_in.vendor), warehouse(firm_in)
    add_fault(firm_in, table, "field_removed", field=which(table))
    with pytest.raises(SchemaDrift) as error:
        run_again(firm_in)
    assert error.value.facts == {"vendor": firm_in.vendor.name, "table": table.name, "fields": which(table)}
    assert warehouse(firm_in) == before


@every("orion")
def test_field_that_is_retyped_beyond_reading_stops_the_day(firm_in: Firm) -> None:
    table, before = find_target(firm_in.vendor), warehouse(firm_in)
    field = next(c for c in table.columns if c.type == "string" and c.kind == "value")
    add_fault(firm_in, table, "field_retyped", field=field.source)
    with pytest.raises(DataQualityError, match=rf"{table.name}: .*dead_ratio.*{field.source}: not string.*vendor="):
        run_again(firm_in)
    assert warehouse(firm_in) == before


@every("orion")
def test_number_that_is_sent_as_text_is_read_exactly(firm_in: Firm) -> None:
    before = warehouse(firm_in)
    add_fault(firm_in, find_target(firm_in.vendor), "field_retyped", field=money_source(find_target(firm_in.vendor)))
    run_again(firm_in)
    assert warehouse(firm_in) == before


# --- poison ---


def loaded_keys(firm: Firm) -> dict[str, Any]:
    """Read the target table's open rows by the vendor's key, with their money if the entity has any."""
    maps = (m for m in firm.vendor.maps if m.table == find_target(firm.vendor).name)
    entity = min(maps, key=lambda m: (not canonical.named(m.entity).money, m.split is not None)).entity
    money = canonical.named(entity).money or "null"
    rows = firm.database.rows(
        f"select {entity}_key as key, {money} as money from warehouse.{entity} where recorded_to is null"
    )
    return {row["key"]: row["money"] for row in rows}


def read_dead_letters(firm: Firm) -> list[str | None]:
    return [row["row_key"] for row in firm.database.rows("select row_key from control.dead_letter order by 1")]


def a_field_to_spoil(table: Table) -> str:
    """Choose a field that is neither a text nor the key, so that a text in it is unreadable."""
    return next(
        c.source
        for c in table.columns
        if c.type not in (STRING, PAIRS) and c.kind == "value" and c.name not in table.key and c.source[0] != "@"
    )


# Unordered pages are swept until two sweeps agree, and this fault draws different rows in each.
AGREEING = [vendor.name for vendor in VENDORS if not isinstance(find_target(vendor).shape, Numbered)]


@pytest.mark.others_long
@pytest.mark.parametrize("vendor", AGREEING, indirect=True)
def test_poisoned_rows_are_dead_letters_and_all_others_are_loaded(
    start_firm: Callable[..., Firm], vendor: Vendor
) -> None:
    firm = start_firm(vendor, households=30 if find_target(vendor).agrees else 150)
    table = find_target(vendor)
    add_fault(firm, table, "poison", share=0.015, seed=38, field=a_field_to_spoil(table), value="N/A")
    run_again(firm)
    dead, some = read_dead_letters(firm), loaded_keys(firm)
    firm.sandbox.http.delete("/_sandbox/faults")
    run_again(firm)
    whole = loaded_keys(firm)
    assert len(dead) > 0
    if len(table.key) == 1:
        assert set(whole) - set(some) == set(dead)
    else:
        assert 0 < len(set(whole) - set(some)) <= len(dead)
    # Where rows are summed, a dead row is missing from a sum.
    changed = sum(whole[key] != money for key, money in some.items())
    assert changed <= (len(dead) if any(m.summed for m in vendor.maps) else 0)


@pytest.mark.others_long
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_poison_in_any_field_is_accounted_for_or_stops_the_day(
    start_firm: Callable[..., Firm], vendor: Vendor, seed: int
) -> None:
    firm = start_firm(vendor, households=12 if find_target(vendor).agrees else 200)
    table, before = find_target(vendor), warehouse(firm)
    add_fault(firm, table, "poison", share=0.015, seed=seed)
    stopped = ""
    try:
        run_again(firm)
    except (DataQualityError, PagingUnstable) as error:
        stopped = str(error)
    if stopped:
        assert firm.vendor.name in stopped
        assert table.name in stopped
        assert warehouse(firm) == before
        return
    dead, some = read_dead_letters(firm), loaded_keys(firm)
    firm.sandbox.http.delete("/_sandbox/faults")
    run_again(firm)
    whole = loaded_keys(firm)
    lost = set(whole) - set(some) - set(dead)
    assert len(lost) <= (dead.count(None) if len(table.key) == 1 else len(dead))
    assert sum(whole[key] != money for key, money in some.items() if key in whole) <= 0.05 * len(whole)
