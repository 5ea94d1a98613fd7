"""Scopes: each route needs one, and a scope that is limited to a vendor or a table opens nothing else. The routes are read from the app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from include.errors import ConfigurationError
from include.gateway.api.app import router
from include.gateway.api.document import read_scope
from include.gateway.api.endpoint import add_error_handlers
from include.gateway.api.keys import PREFIX
from include.gateway.api.reading import is_pushable
from include.gateway.api.scopes import SCOPES, WITHOUT_TABLES, Permission, find_permission, split
from include.gateway.problem import Refusal
from include.pipeline.plan import find_keyed
from include.vendors import VENDORS
from tests.gateway.api.conftest import Api, read_body, read_problem
from tests.gateway.api.test_document import APP
from tests.gateway.api.test_reading import die, find
from tests.pushed_rows import whole_row

VENDOR, OTHER = (vendor for vendor in VENDORS if vendor.name in ("orion", "tamarac"))
TABLE, SECOND = [t for t in VENDOR.requested_tables if is_pushable(VENDOR, t) and not t.has_objects and not t.parent][
    :2
]
PUBLIC = {"/openapi.json"}
ROUTES = [each for each in APP.routes if isinstance(each, APIRoute) and each.path not in PUBLIC]
WRITING = [route for route in ROUTES if "POST" in route.methods]
BODIES = {
    "startRun": {"vendor": VENDOR.name, "tables": [TABLE.name]},
    "pushRecords": [whole_row(TABLE)],
    "replayDeadLetters": {"vendor": VENDOR.name, "table": TABLE.name, "business_date": "2026-11-23"},
}


def name_of(route: APIRoute) -> str:
    return str(route.operation_id)


def scope_of(route: APIRoute) -> str:
    return read_scope(route)


@dataclass
class Caller:
    """Calls any route about `TABLE` of `VENDOR`, of which the database has a run, a push, a dead letter and a finding."""

    api: Api
    run: str
    push: str

    def call(self, route: APIRoute, *scopes: str) -> Any:
        [method] = route.methods
        holes = {"vendor": VENDOR.name, "table": TABLE.name, "id": self.push if "pushes" in route.path else self.run}
        body = {"json": BODIES[name_of(route)]} if name_of(route) in BODIES else {}
        self.api.tries += 1
        headers = self.api.bearer(self.api.provider.token(" ".join(scopes)))
        headers |= {"Idempotency-Key": f"attempt-of-{self.api.tries}"} if method == "POST" else {}
        return self.api.http.request(method, route.path.format(**holes), headers=headers, **body)


@pytest.fixture
def caller(api: Api) -> Caller:
    die(api.database, 1, vendor=VENDOR.name, table=TABLE.name)
    find(api.database, 1, vendor=VENDOR.name)
    run = read_body(api.post("/runs", BODIES["startRun"]), 202)["id"]
    push = read_body(api.post(f"/vendors/{VENDOR.name}/tables/{TABLE.name}/records", BODIES["pushRecords"]), 202)["id"]
    return Caller(api, run, push)


def names_vendor(response: Any) -> bool:
    return json.dumps(VENDOR.name) in response.text


# --- each route and each scope ---


def test_every_path_of_the_document_is_a_route_of_the_matrix() -> None:
    assert {route.path for route in APP.routes if hasattr(route, "operation_id")} - PUBLIC == {r.path for r in ROUTES}
    assert {scope_of(route) for route in ROUTES} == SCOPES.keys()


def test_route_without_a_scope_serves_no_caller(api: Api) -> None:
    app, new = FastAPI(), APIRouter(dependencies=router.dependencies)
    new.add_api_route("/leak", lambda: "data")
    app.include_router(new)
    add_error_handlers(app)

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            return await http.get("/leak", headers=api.bearer())

    read_problem(asyncio.run(call()), 503)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_route_is_open_to_its_scope_alone(caller: Caller, route: APIRoute, scope: str) -> None:
    response = caller.call(route, scope)
    if scope == scope_of(route):
        assert response.status_code in (200, 202)
    else:
        assert read_problem(response, 403) == f"This request needs the scope {scope_of(route)}"


# --- each route and a limited scope ---


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_scope_of_the_vendor_opens_the_route(caller: Caller, route: APIRoute) -> None:
    response = caller.call(route, f"{scope_of(route)}:{VENDOR.name}")
    assert response.status_code in (200, 202), response.text
    assert names_vendor(response) or "status_url" in response.json()


@pytest.mark.parametrize("route", [each for each in ROUTES if scope_of(each) not in WITHOUT_TABLES], ids=name_of)
def test_scope_of_the_table_opens_the_route(caller: Caller, route: APIRoute) -> None:
    response = caller.call(route, f"{scope_of(route)}:{VENDOR.name}.{TABLE.name}")
    assert response.status_code in (200, 202), response.text
    assert names_vendor(response) or "status_url" in response.json()


@pytest.mark.parametrize("limit", [OTHER.name, f"{OTHER.name}.{TABLE.name}", f"{VENDOR.name}.{SECOND.name}"])
@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_other_limits_open_nothing_of_the_table(caller: Caller, route: APIRoute, limit: str) -> None:
    """The caller has all other scopes without limits."""
    response = caller.call(route, f"{scope_of(route)}:{limit}", *(SCOPES.keys() - {scope_of(route)}))
    if response.status_code == 403:
        assert f"needs the scope {scope_of(route)}" in read_problem(response, 403)
        assert "insufficient_scope" in response.headers["WWW-Authenticate"]
    elif limit.startswith(VENDOR.name):
        items = read_body(response, 200)["items"]  # the lists of tables show the second table
        assert all(TABLE.name not in (each.get("table"), each.get("name")) for each in items)
        assert [t["name"] for v in items for t in v.get("tables", ())] in ([], [SECOND.name])
    else:
        assert response.status_code == 200
        assert not names_vendor(response)


@pytest.mark.parametrize("route", WRITING, ids=name_of)
def test_refused_write_names_the_missing_scope_and_stores_nothing(caller: Caller, route: APIRoute) -> None:
    before = caller.api.database.rows("select caller, idempotency_key from control.idempotency")
    target = f"{scope_of(route)}:{VENDOR.name}.{TABLE.name}"
    response = caller.call(route, f"{scope_of(route)}:{OTHER.name}")
    assert read_problem(response, 403) == f"This request needs the scope {target}"
    assert f'scope="{target}"' in response.headers["WWW-Authenticate"]
    assert caller.api.database.rows("select caller, idempotency_key from control.idempotency") == before


def test_two_limits_add_up(caller: Caller) -> None:
    limits = [f"status:read:{VENDOR.name}.{each.name}" for each in (TABLE, SECOND)]
    items = read_body(caller.api.get("/freshness", caller.api.provider.token(" ".join(limits))), 200)["items"]
    assert {each["table"] for each in items} == {TABLE.name, SECOND.name}


def test_run_of_all_tables_needs_the_whole_vendor(api: Api) -> None:
    token = api.provider.token(f"runs:write:{VENDOR.name}.{TABLE.name}")
    response = api.post("/runs", {"vendor": VENDOR.name}, **api.bearer(token))
    assert read_problem(response, 403).endswith(f"the scope runs:write:{VENDOR.name}")


def test_run_for_clients_and_its_status_need_every_table_that_it_pulls(api: Api) -> None:
    vendor, table, beside = next(
        (v, m.table, next(iter(m.beside))) for v in VENDORS for m in v.maps if m.beside and find_keyed(v, [m.table])
    )
    order = {"vendor": vendor.name, "tables": [table], "clients": ["c1"]}
    scope = f"runs:write:{vendor.name}.{table}"
    assert read_problem(api.post("/runs", order, **api.bearer(api.provider.token(scope))), 403).endswith(beside)
    both = f"{scope} runs:write:{vendor.name}.{beside}"
    run = read_body(api.post("/runs", order, **api.bearer(api.provider.token(both))), 202)
    one = api.provider.token(scope.replace("runs:write", "status:read"))
    assert read_problem(api.get(f"/runs/{run['id']}", one), 403).endswith(beside)
    assert read_body(api.get("/runs", one), 200)["items"] == []
    assert read_body(api.get(f"/runs/{run['id']}", api.provider.token(both.replace("runs:write", "status:read"))), 200)


def test_run_of_several_tables_is_hidden_from_a_caller_that_may_see_one(api: Api) -> None:
    order = {"vendor": VENDOR.name, "tables": [TABLE.name, SECOND.name]}
    run = read_body(api.post("/runs", order), 202)
    one = api.provider.token(f"status:read:{VENDOR.name}.{TABLE.name}")
    both = api.provider.token(" ".join(f"status:read:{VENDOR.name}.{each.name}" for each in (TABLE, SECOND)))
    assert read_problem(api.get(f"/runs/{run['id']}", one), 403).endswith(f"{VENDOR.name}.{SECOND.name}")
    assert read_body(api.get("/runs", one), 200)["items"] == []
    assert len(read_body(api.get("/runs", both), 200)["items"]) == 1


@pytest.mark.parametrize("path", ["/runs", "/findings", "/dead-letters"])
def test_filter_by_a_vendor_that_the_caller_may_not_see_is_refused(caller: Caller, path: str) -> None:
    [route] = [each for each in ROUTES if each.path == path and "GET" in each.methods]
    token = caller.api.provider.token(f"{scope_of(route)}:{OTHER.name}")
    assert read_problem(caller.api.get(path, token, vendor=VENDOR.name), 403).endswith(f":{VENDOR.name}")
    read_body(caller.api.get(path, token, vendor=OTHER.name), 200)


@pytest.mark.parametrize("path", ["/runs", "/dead-letters"])
def test_filter_by_the_vendor_of_a_permitted_table_returns_the_table(caller: Caller, path: str) -> None:
    [route] = [each for each in ROUTES if each.path == path and "GET" in each.methods]
    token = caller.api.provider.token(f"{scope_of(route)}:{VENDOR.name}.{TABLE.name}")
    assert len(read_body(caller.api.get(path, token, vendor=VENDOR.name), 200)["items"]) == 1


# --- the form of a scope ---


@pytest.mark.parametrize(
    "text",
    ["", "runs", "runs:write:", "runs:write:orion.", "runs:write:orion.a.b", "runs:write:.a", "runs:write:*", "runs:write:Orion", "runs:all",
     "findings:read:orion.accounts", "records:write:orion\n"],
)  # fmt: skip
def test_unknown_scope_grants_nothing(text: str) -> None:
    assert split(text) == ("", None)
    for scope in SCOPES:
        with pytest.raises(Refusal):
            find_permission("a", [text], scope)


def test_scope_without_a_limit_wins() -> None:
    permission = find_permission("a", ["runs:write:orion", "runs:write"], "runs:write")
    assert permission.targets is None


@pytest.mark.parametrize(
    ("vendor", "table", "is_covered"),
    [("orion", "", False), ("orion", "accounts", True), ("orion", "account", False), ("tamarac", "", True), ("tamarac", "x", True),
     ("tam", "", False), ("orion.accounts", "", True)],
)  # fmt: skip
def test_permission_covers(vendor: str, table: str, is_covered: bool) -> None:
    permission = Permission("a", "records:write", frozenset({"orion.accounts", "tamarac"}))
    assert permission.covers(vendor, table) == is_covered


def test_key_can_be_limited(caller: Caller, make_key: Callable[..., str]) -> None:
    key = {"X-API-Key": make_key(scopes=[f"status:read:{OTHER.name}"])}
    assert key["X-API-Key"].startswith(PREFIX)
    vendors = read_body(caller.api.http.get("/vendors", headers=key), 200)["items"]
    assert [vendor["name"] for vendor in vendors] == [OTHER.name]


@pytest.mark.parametrize("limit", ["no_such_vendor", f"{VENDOR.name}.pets", f"no_such_vendor.{TABLE.name}", ""])
def test_key_for_a_vendor_that_is_not_declared_is_not_made(make_key: Callable[..., str], limit: str) -> None:
    with pytest.raises(ConfigurationError, match="Unknown scope"):
        make_key(scopes=[f"status:read:{limit}"])
