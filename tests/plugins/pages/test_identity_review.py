"""Who is who and its API behind Airflow's login: a real API server with this project's plugins, on a real database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests

from local.airflow_api import AirflowApi
from tests.api_server import serve
from tests.conftest import Database

PAGES = ("", "links", "decisions", "pair?entity=person&left=1&right=2", "api/queue", "api/decisions")
USERS = {"admin": "admin", "ursula": "user", "vera": "viewer"}
SECRET = "6789"

pytestmark = pytest.mark.airflow


@dataclass
class Served:
    url: str
    tokens: dict[str, str]
    database: Database

    def get(self, path: str, user: str | None = "admin", **options: Any) -> requests.Response:
        place = "identity-review" if path.startswith(("api/", "openapi", "docs")) else "operations/who-is-who"
        return requests.get(f"{self.url}/{place}/{path}", headers=self.headers(user), timeout=30, **options)

    def decide(self, user: str | None = "admin", **decision: Any) -> requests.Response:
        body = {"entity": "person", "is_same": True, "reason": "Asked the advisor"} | decision
        url = f"{self.url}/identity-review/api/decisions"
        return requests.post(url, json=body, headers=self.headers(user), timeout=30)

    def search(self, **search: Any) -> requests.Response:
        """Search for links by the API."""
        url = f"{self.url}/identity-review/api/links"
        return requests.post(url, json=search, headers=self.headers("admin"), timeout=30)

    def submit(
        self, origin: str | None, site: str | None = None, user: str = "admin", **decision: Any
    ) -> requests.Response:
        """Submit the page's form with the login's cookie, as a browser does."""
        headers = {name: value for name, value in (("Origin", origin), ("Sec-Fetch-Site", site)) if value}
        form = {"entity": "person", "is_same": "true", "reason": "Asked the advisor"} | decision
        url, cookies = f"{self.url}/operations/who-is-who/decide", {"_token": self.tokens[user]}
        return requests.post(url, data=form, headers=headers, cookies=cookies, timeout=30, allow_redirects=False)

    def headers(self, user: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[user]}"} if user else {}

    def read_decisions(self, left: int, right: int) -> list[dict[str, Any]]:
        return self.database.rows(
            "select * from control.identity_decision where left_id = :left and right_id = :right order by 1",
            left=left, right=right,
        )  # fmt: skip


@pytest.fixture(scope="module")
def served(
    shared_database: Database, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    fill(shared_database)
    connections = {"tributary_db": shared_database.url("tributary_web").replace("postgresql://", "postgres://")}
    with serve(tmp_path_factory.mktemp("airflow"), airflow_database, connections, USERS) as (url, passwords):
        tokens = {name: AirflowApi(url, name, password).log_in() for name, password in passwords.items()}
        yield Served(url, tokens, shared_database)


def fill(database: Database) -> None:
    """Insert invented people 1 to 40: pairs (odd, even) in the queue, and (2, 3), (4, 5), ... linked."""
    database.do(
        "insert into warehouse.person (person_id, vendor, person_key, name, birth_date, tax_id_hash, tax_id_last4, street,"
        " valid_from, recorded_from, source_run_id) select n, 'vendor' || n % 2, 'key-' || n, 'Pat Sample <b>' || n,"
        " date '1960-01-01' + cast(n as int), 'hash-of-' || n, :last4, '1 Example St', date '2026-11-20', now(), 1"
        " from generate_series(1, 40) n",
        last4=SECRET,
    )
    for table, first in (("review", 1), ("link", 2)):
        database.do(
            f"insert into control.identity_{table} (entity, left_id, right_id, score, agreed, differed, how, run_id)"
            " select 'person', n, n + 1, 4 - n / 100.0, '{last name}', '{birth date}', 'model', 'r'"
            " from generate_series(cast(:first as int), 39, 2) n",
            first=first,
        )


@pytest.mark.parametrize("path", PAGES)
def test_without_a_login_nothing_is_shown(served: Served, path: str) -> None:
    response = served.get(path, None)
    assert response.status_code == 401
    assert "Sample" not in response.text


@pytest.mark.parametrize("path", PAGES)
def test_users_without_review_rights_see_nothing(served: Served, path: str) -> None:
    response = served.get(path, "vera")
    assert response.status_code == 403
    assert "Sample" not in response.text


@pytest.mark.parametrize("user", [None, "vera"])
def test_other_users_cannot_decide(served: Served, user: str | None) -> None:
    assert served.decide(user, left=1, right=2).status_code == (403 if user else 401)
    assert served.read_decisions(1, 2) == []


def test_the_queue_lists_pairs_with_evidence_likeliest_first(served: Served) -> None:
    body = served.get("api/queue", "ursula", params={"limit": 2}).json()
    first, second = body["pairs"]
    assert (first["score"], first["agreed"], first["differed"]) == (3.99, ["last name"], ["birth date"])
    assert (first["left"]["vendor"], first["left"]["key"]) == ("vendor1", "key-1")
    assert first["right"]["facts"]["birth date"] == "1960-01-03"
    assert second["score"] < first["score"]
    assert body["total"] > 2


@pytest.mark.parametrize("path", PAGES)
def test_no_tax_id_is_shown(served: Served, path: str) -> None:
    text = served.get(path).text
    assert SECRET not in text
    assert "hash-of-" not in text


def test_the_page_shows_both_records_side_by_side_and_runs_nothing_of_theirs(served: Served) -> None:
    response = served.get("")
    assert "<b>" not in response.text
    assert '<th scope="row">name</th>' in response.text
    assert "Pat Sample <b>1" in unescape(response.text)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "form-action 'self'" in policy
    assert response.headers["cache-control"] == "private, no-store"


def test_a_decision_is_kept_with_who_why_and_when_and_leaves_the_queue(served: Served) -> None:
    before = served.get("api/queue").json()["total"]
    response = served.decide("ursula", left=4, right=3, is_same=False, reason="  Twins  ")
    assert response.status_code == 200
    [decision] = served.read_decisions(3, 4)
    assert (decision["is_same"], decision["reason"], decision["decided_by"]) == (False, "Twins", "ursula")
    assert response.json()["decision_id"] == decision["decision_id"]
    assert served.get("api/queue").json()["total"] == before - 1
    assert served.get("api/decisions").json()["decisions"][0]["reason"] == "Twins"


def test_a_repeated_decision_is_recorded_once(served: Served) -> None:
    first, second = served.decide(left=5, right=6), served.decide(left=5, right=6)
    assert first.json() == second.json()
    assert len(served.read_decisions(5, 6)) == 1


def test_the_second_of_two_concurrent_decisions_is_rejected(served: Served) -> None:
    assert served.decide("ursula", left=7, right=8).status_code == 200
    response = served.decide("admin", left=7, right=8, is_same=False)
    assert response.status_code == 409
    assert "ursula decided" in response.json()["detail"]
    assert response.json()["known"]["is_same"] is True
    assert len(served.read_decisions(7, 8)) == 1


def test_a_user_who_saw_a_decision_may_replace_it(served: Served) -> None:
    seen = served.decide("ursula", left=9, right=10).json()["decision_id"]
    assert served.decide("admin", left=9, right=10, is_same=False, seen=seen).status_code == 200
    assert [(decision["is_same"], decision["replaces"]) for decision in served.read_decisions(9, 10)] == [
        (True, None),
        (False, seen),
    ]


def test_a_link_is_taken_apart_from_the_page_of_the_pair(served: Served) -> None:
    assert served.search(name="sample <B>12").json()["total"] == 1
    assert "pair?entity=person&amp;left=12&amp;right=13" in search_on_page(served, name="sample <b>12").text
    response = served.submit(served.url, "same-origin", left="12", right="13", is_same="false", page="pair")
    assert (response.status_code, response.headers["location"].split("=")[0]) == (303, "decisions?recorded")
    assert [decision["is_same"] for decision in served.read_decisions(12, 13)] == [False]


def search_on_page(served: Served, origin: str | None = None, path: str = "links", **fields: str) -> requests.Response:
    headers, cookies = (
        {"Origin": origin or served.url, "Sec-Fetch-Site": "same-origin"},
        {"_token": served.tokens["admin"]},
    )
    url = f"{served.url}/operations/who-is-who/{path}"
    return requests.post(url, data=fields, headers=headers, cookies=cookies, timeout=30)


@pytest.mark.parametrize("path", ["", "links"])
def test_no_name_is_in_an_address(served: Served, path: str) -> None:
    page = search_on_page(served, path=path, name="Pat Sample").text
    assert 'name="name" value="Pat Sample"' in page
    assert "Pat" not in "".join(re.findall(r'(?:href|action)="([^"]*)"', page))
    assert served.get("", params={"name": "Pat"}).status_code == 422
    assert search_on_page(served, "https://other.example", path, name="Pat").status_code == 403


def test_a_search_keeps_its_name_after_a_decision(served: Served) -> None:
    fields = {"entity": "person", "left": "33", "right": "34", "is_same": "true", "standard": "Asked the advisor"}
    page = unescape(search_on_page(served, path="decide", name="sample <b>3", **fields).text)
    assert 'name="name" value="sample <b>3"' in page
    assert "Recorded as decision" in page
    assert len(served.read_decisions(33, 34)) == 1


def test_filters_select_pairs(served: Served) -> None:
    def count(**query: str) -> str:
        found = re.search(r"<strong>1 of (\d+)</strong>", served.get("", params=query).text)
        return found[1] if found else "0"

    total = served.get("api/queue").json()["total"]
    assert (
        count()
        == count(kind="person")
        == count(vendor="vendor1", other="vendor0")
        == count(band="3 or more")
        == str(total)
    )
    assert count(kind="account") == count(vendor="orion") == count(band="under 1") == count(household="7") == "0"


def test_a_position_behind_the_last_pair_is_the_last_pair(served: Served) -> None:
    total = served.get("api/queue").json()["total"]
    assert f"<strong>{total} of {total}</strong>" in served.get("", params={"at": "999"}).text


def test_a_decision_keeps_the_position_and_its_undo_returns_to_it(served: Served) -> None:
    third = served.get("api/queue", params={"limit": 1, "offset": 2}).json()["pairs"][0]
    left, right = str(third["left"]["id"]), str(third["right"]["id"])
    form = {"left": left, "right": right, "at": "2", "vendor": "vendor1", "standard": "Asked the client", "reason": ""}
    response = served.submit(served.url, "same-origin", **form)
    decision_id = served.read_decisions(int(left), int(right))[0]["decision_id"]
    assert response.headers["location"] == f"./?vendor=vendor1&at=2&recorded={decision_id}&recorded_at=2"
    assert served.read_decisions(int(left), int(right))[0]["reason"] == "Asked the client"
    response = undo(
        served, decision_id, page="queue", at="5", recorded_at="2", vendor="vendor1", recorded=str(decision_id)
    )
    assert response.headers["location"] == "./?vendor=vendor1&at=2"
    assert served.get("api/queue", params={"limit": 1, "offset": 2}).json()["pairs"][0] == third


@pytest.mark.parametrize("name", ["' or true --", "'; drop table warehouse.person; --", "\\", "%'"])
def test_a_search_is_no_statement(served: Served, name: str) -> None:
    assert served.search(name=name).json()["total"] == 0
    assert served.search().json()["total"] > 0


def test_a_rejected_decision_is_explained_on_the_page(served: Served) -> None:
    served.decide("ursula", left=15, right=16)
    response = served.submit(served.url, "same-origin", left="15", right="16", is_same="false")
    assert response.status_code == 409
    assert "The pair has changed: ursula decided" in response.text


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        (None, None), ("https://elsewhere.example", None), ("null", None), ("http://127.0.0.1:1", "same-site"),
        ("https://elsewhere.example", "cross-site"), ("https://elsewhere.example", "same-origin"),
    ],
)  # fmt: skip
def test_a_form_of_another_page_decides_nothing(served: Served, origin: str | None, site: str | None) -> None:
    assert served.submit(origin, site, left="17", right="18").status_code == 403
    assert served.read_decisions(17, 18) == []


def test_who_may_not_decide_may_not_by_a_form(served: Served) -> None:
    assert served.submit(served.url, "same-origin", "vera", left="17", right="18").status_code == 403
    assert served.read_decisions(17, 18) == []


class Forms(HTMLParser):
    """Collects whether each decision form's first button is enabled: a browser submits it on Enter."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.first: list[bool] = []
        self._is_new = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "form":
            self._is_new = ("action", "decide") in attrs
        if tag == "button" and self._is_new:
            self.first.append("disabled" not in dict(attrs))
            self._is_new = False


@pytest.mark.parametrize("path", ["", "pair?entity=person&left=1&right=2"])
def test_enter_decides_nothing(served: Served, path: str) -> None:
    first = Forms(served.get(path).text).first
    assert first
    assert not any(first)


def undo(
    served: Served, decision_id: int, site: str = "same-origin", user: str = "admin", **fields: str
) -> requests.Response:
    headers = {"Origin": served.url, "Sec-Fetch-Site": site}
    url, cookies = f"{served.url}/operations/who-is-who/undo", {"_token": served.tokens[user]}
    form = {"decision_id": str(decision_id)} | fields
    return requests.post(url, data=form, headers=headers, cookies=cookies, timeout=30, allow_redirects=False)


def test_a_decision_is_shown_with_names_and_undone_before_a_run_uses_it(served: Served) -> None:
    before = served.get("api/queue").json()["total"]
    decision_id = served.decide(left=21, right=22).json()["decision_id"]
    page = unescape(served.get("decisions").text)
    assert "Pat Sample <b>21" in page
    assert f'name="decision_id" value="{decision_id}"' in page

    response = undo(served, decision_id)

    assert (response.status_code, response.headers["location"]) == (303, f"decisions?undone={decision_id}")
    assert served.get("api/queue").json()["total"] == before
    assert [(row["is_withdrawn"], row["replaces"]) for row in served.read_decisions(21, 22)] == [
        (False, None),
        (True, decision_id),
    ]
    assert f'name="decision_id" value="{decision_id}"' not in served.get("decisions").text
    assert served.decide(left=21, right=22, is_same=False).status_code == 200


def test_an_undone_decision_has_the_one_before_it_count_again(served: Served) -> None:
    first = served.decide(left=23, right=24).json()["decision_id"]
    second = served.decide(left=23, right=24, is_same=False, seen=first).json()["decision_id"]
    assert undo(served, second).status_code == 303
    assert served.database.value("select is_same from control.identity_decision_in_force where left_id = 23") is True


def test_a_decision_is_undone_after_a_run_used_it(served: Served) -> None:
    decision_id = served.decide(left=25, right=26).json()["decision_id"]
    served.database.do(
        "insert into control.identity_run (run_id, fingerprint, records, people, households, copies, review, changed, seconds)"
        " values ('used', '', 0, 0, 0, 0, 0, 0, 0)"
    )
    try:
        assert "Undo it? The next run reverts its effect." in served.get("decisions").text
        assert undo(served, decision_id).status_code == 303
    finally:
        served.database.do("delete from control.identity_run")
    assert [row["is_withdrawn"] for row in served.read_decisions(25, 26)] == [False, True]


def test_an_older_decision_is_not_undone(served: Served) -> None:
    first = served.decide(left=27, right=28).json()["decision_id"]
    served.decide(left=27, right=28, is_same=False, seen=first)
    assert undo(served, first).status_code == 409


@pytest.mark.parametrize(("site", "user"), [("cross-site", "admin"), ("same-origin", "vera")])
def test_a_foreign_page_or_person_undoes_nothing(served: Served, site: str, user: str) -> None:
    decision_id = served.decide(left=29, right=30).json()["decision_id"]
    assert undo(served, decision_id, site, user).status_code == 403
    assert served.database.value("select is_same from control.identity_decision_in_force where left_id = 29") is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"entity": "household"}, {"left": "x"}, {"left": 2**63}, {"is_same": "perhaps"}, {"is_same": None}, {"reason": ""},
        {"reason": "  "}, {"reason": "r" * 501}, {"reason": "a\x00b"}, {"decided_by": "testbank else"}, {"seen": "now"},
    ],
)  # fmt: skip
def test_an_unclear_decision_is_rejected(served: Served, wrong: dict[str, Any]) -> None:
    assert served.decide(**{"left": 19, "right": 20} | wrong).status_code == 422
    assert served.read_decisions(19, 20) == []


@pytest.mark.parametrize(("left", "right"), [(19, 999), (999, 998), (19, 19), (19, -19)])
def test_a_decision_on_unknown_records_is_rejected(served: Served, left: int, right: int) -> None:
    response = served.decide(left=left, right=right)
    assert (response.status_code, response.json()["known"]) == (409, None)


@pytest.mark.parametrize("search", [{"limit": 0}, {"limit": 201}, {"offset": -1}, {"offset": 2**40}])
def test_a_page_that_can_not_be_is_refused(served: Served, search: dict[str, int]) -> None:
    assert served.get("api/queue", params=search).status_code == 422
    assert served.search(**search).status_code == 422


@pytest.mark.parametrize("search", [{"name": "\x00"}, {"name": 7}, {"name": "x" * 501}, {"names": "x"}])
def test_a_search_that_can_not_be_is_refused(served: Served, search: dict[str, Any]) -> None:
    assert served.search(**search).status_code == 422


@pytest.mark.parametrize("reason", ["x" * 501, "a\x00b"])
def test_a_form_that_can_not_be_is_refused(served: Served, reason: str) -> None:
    assert served.submit(served.url, "same-origin", left="19", right="20", reason=reason).status_code == 422
    assert served.submit(served.url, "same-origin", left="19", right="20", reason="", standard="").status_code == 422
    assert served.read_decisions(19, 20) == []


def test_a_user_who_may_not_review_is_told_so_on_a_page(served: Served) -> None:
    headers = served.headers("vera") | {"Accept": "text/html"}
    response = requests.get(f"{served.url}/operations/who-is-who/", headers=headers, timeout=30)
    assert response.status_code == 403
    assert "This page shows clients. It requires the right to answer approval requests" in response.text


def test_the_pages_have_no_public_schema(served: Served) -> None:
    assert served.get("openapi.json").status_code == 404
    assert served.get("docs").status_code == 404


def test_the_audit_trail_shows_whose_data_a_user_was_shown(served: Served) -> None:
    for path in PAGES:
        before = served.database.value("select coalesce(max(entry_id), 0) from control.audit")
        served.get(path, "ursula")
        served.get(path, "vera")  # refused
        [entry] = served.database.rows("select * from control.audit where entry_id > :before", before=before)
        assert (entry["actor"], entry["action"]) == ("ursula", "identity.opened")
        assert entry["subject"] == (path.removeprefix("api/").partition("?")[0] or "queue")
        if "decisions" not in path:
            shown = served.get(path).text
            records = entry["details"]["records"]
            assert records
            assert all(f"key-{record.removeprefix('person ')}" in shown for record in records)
            assert "Sample" not in str(entry)


def test_the_decisions_show_what_they_teach(served: Served) -> None:
    assert "What the decisions teach" not in served.get("decisions").text
    served.database.do("insert into control.identity_lesson values ('only an initial', 40, 38, 0.8, 1.25, 'run')")
    page = served.get("decisions").text
    assert "<td>only an initial</td><td>40</td><td>95%</td><td>80%</td><td>+1.25</td>" in page
