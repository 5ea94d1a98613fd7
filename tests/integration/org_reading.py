"""An org read by Bulk queries over HTTP, with none of the loader's code; and how a record differs from what it must be."""

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
    """The org as the user of a connected app sees it; `log_in` once the clock was set."""

    def __init__(self, url: str, client_id: str, secret: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}

    def close(self) -> None:
        self._http.close()

    def log_in(self) -> None:
        token = self._http.post("/services/oauth2/token", data=self._form).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def read(self, sobject: str, fields: Sequence[str], where: str) -> list[dict[str, str]]:
        """All live records that `where` holds of; every value is text, null is empty."""
        asked = {"operation": "query", "query": f"SELECT {', '.join(fields)} FROM {sobject} WHERE {where}"}
        answer = self._http.post(f"{_API}/jobs/query", json=asked)
        assert answer.status_code == 200, answer.text
        job = f"{_API}/jobs/query/{answer.json()['id']}"
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
        """Records whose key begins with `prefix`, by key; with `Id` and `SystemModstamp`."""
        rows = self.read(sobject, ["Id", KEY, "SystemModstamp", *fields], f"{KEY} LIKE '{prefix}:%'")
        found = {row[KEY]: row for row in rows}
        assert len(found) == len(rows), "two records have one key"
        return found


def differences(wanted: Records, held: dict[str, dict[str, str]]) -> list[tuple[str, str, Any, Any]]:
    """Key, field, what it must be and what it is, for every field that differs; a record too many or too few at a time."""
    missing = [(key, "record", "there", "missing") for key in wanted.keys() - held.keys()]
    extra = [(key, "record", "none", "there") for key in held.keys() - wanted.keys()]
    return [
        *missing,
        *extra,
        *(one for key in wanted.keys() & held.keys() for one in _fields(key, wanted[key], held[key])),
    ]


def _fields(key: str, wanted: Record, held: dict[str, str]) -> list[tuple[str, str, Any, Any]]:
    return [(key, name, value, held[name]) for name, value in wanted.items() if _read(held[name], value) != value]


def _read(text: str, like: Any) -> Any:
    """A text as a value of the type of another; null and what can't be read stay apart from every value."""
    if text == "":
        return None
    if isinstance(like, bool):
        return {"true": True, "false": False}.get(text)
    if isinstance(like, Decimal):
        return Decimal(text)
    if isinstance(like, datetime):
        return datetime.fromisoformat(text)
    return date.fromisoformat(text) if isinstance(like, date) else text
