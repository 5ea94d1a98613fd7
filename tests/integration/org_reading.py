"""Reading an org by Bulk queries over HTTP, without the loader's code, and comparing records with the expected ones."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import httpx

from tests.integration.crm_truth import KEY, Record, Records

_API = "/services/data/v66.0"


class Org:
    """The org as the user of a connected app sees it; call `log_in` once the clock is set."""

    def __init__(self, url: str, client_id: str, secret: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}

    def close(self) -> None:
        self._http.close()

    def log_in(self) -> None:
        token = self._http.post("/services/oauth2/token", data=self._form).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def read(self, sobject: str, fields: Sequence[str], where: str) -> list[dict[str, str]]:
        """Read all live records that match `where`; every value is text, null is empty."""
        query = {"operation": "query", "query": f"SELECT {', '.join(fields)} FROM {sobject} WHERE {where}"}
        response = self._http.post(f"{_API}/jobs/query", json=query)
        assert response.status_code == 200, response.text
        job = f"{_API}/jobs/query/{response.json()['id']}"
        until = time.monotonic() + 20
        while (state := self._http.get(job).json()["state"]) != "JobComplete":
            assert state in ("UploadComplete", "InProgress"), state
            assert time.monotonic() < until
            time.sleep(0.01)
        rows: list[dict[str, str]] = []
        locator = ""
        while locator != "null":
            page = self._http.get(f"{job}/results", params={"locator": locator} if locator else {})
            rows += csv.DictReader(io.StringIO(page.content.decode(), newline=""))
            locator = page.headers["Sforce-Locator"]
        return rows

    def read_ours(self, sobject: str, fields: Sequence[str], prefix: str) -> dict[str, dict[str, str]]:
        """Read the records whose key begins with `prefix`, by key; with `Id` and `SystemModstamp`."""
        rows = self.read(sobject, ["Id", KEY, "SystemModstamp", *fields], f"{KEY} LIKE '{prefix}:%'")
        by_key = {row[KEY]: row for row in rows}
        assert len(by_key) == len(rows), "two records have one key"
        return by_key


def find_differences(expected: Records, actual: dict[str, dict[str, str]]) -> list[tuple[str, str, Any, Any]]:
    """List (key, field, expected, actual) for every field that differs, and for missing and extra records."""
    missing = [(key, "record", "there", "missing") for key in expected.keys() - actual.keys()]
    extra = [(key, "record", "none", "there") for key in actual.keys() - expected.keys()]
    return [
        *missing,
        *extra,
        *(one for key in expected.keys() & actual.keys() for one in _fields(key, expected[key], actual[key])),
    ]


def _fields(key: str, expected: Record, actual: dict[str, str]) -> list[tuple[str, str, Any, Any]]:
    return [(key, name, value, actual[name]) for name, value in expected.items() if _read(actual[name], value) != value]


def _read(text: str, like: Any) -> Any:
    """Convert a text to the type of another value; null and unreadable texts equal no value."""
    if text == "":
        return None
    if isinstance(like, bool):
        return {"true": True, "false": False}.get(text)
    if isinstance(like, Decimal):
        return Decimal(text)
    if isinstance(like, datetime):
        return datetime.fromisoformat(text)
    return date.fromisoformat(text) if isinstance(like, date) else text
