"""Query parameters: no route ignores one; an invalid one is rejected with the expected form."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute

from tests.gateway.api.conftest import Api, read_problem
from tests.gateway.api.test_document import APP
from tests.gateway.api.test_push import TABLE, VENDOR

ROUTES = [route for route in APP.routes if isinstance(route, APIRoute)]
HOLES = {"vendor": VENDOR.name, "table": TABLE.name, "id": str(uuid4())}


def call(api: Api, route: APIRoute, query: str, **headers: str) -> Any:
    [method] = route.methods
    body = {"content": b"[]"} if method == "POST" else {}
    sent = {"Idempotency-Key": "parameters-1", "Content-Type": "application/json"} | headers
    return api.http.request(method, f"{route.path.format(**HOLES)}?{query}", headers=sent, **body)


def name_of(route: APIRoute) -> str:
    return route.name


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_unknown_query_parameter_is_named_beside_the_known_ones(api: Api, route: APIRoute) -> None:
    names = [field.alias for field in route.dependant.query_params]
    reason = read_problem(call(api, route, "vender=orion", **api.bearer()), 422)
    assert reason == f"Unknown query parameter: vender; known: {', '.join(names) or 'none'}"


@pytest.mark.parametrize("route", [each for each in ROUTES if each.include_in_schema], ids=name_of)
def test_parameters_are_not_shown_to_unknown_callers(api: Api, route: APIRoute) -> None:
    read_problem(call(api, route, "vender=orion"), 401)


@pytest.mark.parametrize("route", [each for each in ROUTES if each.dependant.query_params], ids=name_of)
def test_parameter_that_is_given_twice_is_rejected(api: Api, route: APIRoute) -> None:
    assert "more than once: limit" in read_problem(call(api, route, "limit=1&limit=2", **api.bearer()), 422)


def test_names_of_unknown_parameters_are_cut(api: Api) -> None:
    query = "&".join(f"{n}{'x' * 500}=1" for n in range(50))
    assert len(read_problem(call(api, ROUTES[1], query, **api.bearer()), 422)) < 500


@pytest.mark.parametrize(
    ("path", "query", "example"),
    [
        ("/runs", "since=2026-11-25", "2026-11-25T13:04:11Z"),
        ("/dead-letters", "business_date=25.11.2026", "2026-11-25"),
    ],
)
def test_invalid_date_is_rejected_with_the_expected_format(api: Api, path: str, query: str, example: str) -> None:
    reason = read_problem(api.http.get(f"{path}?{query}", headers=api.bearer()), 422)
    assert reason.split("must be a string like ")[1].split(": ")[0] == example
