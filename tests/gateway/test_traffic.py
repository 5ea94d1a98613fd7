"""The gateway's requests are counted by route and status; callers can't invent labels."""

from __future__ import annotations

import asyncio
import uuid

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from include.gateway import traffic
from include.gateway.connections import limit_calls
from include.gateway.traffic import count_requests


@pytest.fixture
def app() -> Starlette:
    api = FastAPI(openapi_url=None)
    api.add_api_route("/runs/{id}", lambda id: id)
    api.add_api_route("/broken", lambda: 1 / 0)
    return Starlette(routes=[Mount("/api/v1", api)])


def count(app: ASGIApp, *paths: str) -> dict[tuple[str, str], float]:
    """Request each path; return the counts by route and status."""
    gateway = uuid.uuid4().hex

    async def call() -> None:
        transport = httpx.ASGITransport(count_requests(app, gateway), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            for path in paths:
                await http.get(path)

    asyncio.run(call())
    family, *_ = text_string_to_metric_families(traffic.render().decode())
    return {
        (each.labels["route"], each.labels["status"]): each.value
        for each in family.samples
        if each.labels["gateway"] == gateway and each.name.endswith("_count")
    }


def test_requests_are_counted_by_route(app: Starlette) -> None:
    assert count(app, "/api/v1/runs/1", "/api/v1/runs/2") == {("/api/v1/runs/{id}", "200"): 2}


def test_all_unknown_paths_have_one_label(app: Starlette) -> None:
    assert count(app, "/one", "/two", "/api/v1/three") == {("unknown", "404"): 3}


def test_an_error_is_counted_as_500(app: Starlette) -> None:
    assert count(app, "/api/v1/broken") == {("/api/v1/broken", "500"): 1}


def test_requests_beyond_the_limit_are_counted(app: Starlette) -> None:
    assert count(limit_calls(app, 0), "/api/v1/runs/1") == {("unknown", "503"): 1}
