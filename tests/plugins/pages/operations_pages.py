"""The Operations pages behind Airflow's login, over records with markup in each text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from tests.conftest import Database
from tests.operations.records import DAY

SCRIPT = "<script>alert('made up')</script>"
DAY_PAGE = f"clients/day?vendor=orion&business_date={DAY}"


@dataclass
class Served:
    url: str
    admin: str
    viewer: str
    database: Database

    def post(self, path: str, token: str, origin: str | None = None, **form: Any) -> requests.Response:
        """Submit a form with the login's cookie, as a browser does."""
        headers = {"Origin": origin or self.url, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        url, cookies = f"{self.url}/operations/{path}", {"_token": token}
        return requests.post(url, data=form, headers=headers, cookies=cookies, timeout=60, allow_redirects=False)

    def get(self, path: str, token: str = "") -> requests.Response:
        """Request a page, as a browser that shows it does."""
        headers = {"Accept": "text/html"} | ({"Authorization": f"Bearer {token}"} if token else {})
        return requests.get(f"{self.url}/operations/{path}", headers=headers, timeout=60)

    def post_json(self, path: str, body: dict[str, Any], token: str, origin: str = "") -> requests.Response:
        """Post as a page of an origin does, with the login cookie; without an origin, as a program with a token."""
        sent = {"headers": {"Origin": origin, "Sec-Fetch-Site": "same-origin"}, "cookies": {"_token": token}}
        return requests.post(
            f"{self.url}/operations/{path}",
            json=body,
            timeout=60,
            **(sent if origin else {"headers": {"Authorization": f"Bearer {token}"}}),
        )
