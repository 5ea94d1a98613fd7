"""Pages behind Airflow's login, and who may read which: a real API server with this project's plugins."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from include.crm.sync import difference
from include.pipeline import documents
from include.staging.partitions import Staging
from include.validation import site
from local import airflow
from local.airflow_api import AirflowApi
from tests.api_server import serve
from tests.conftest import Database
from tests.dags.airflow_home import ROOT, environment, read_lines, run
from tests.firm_keys import KEYRING, write_keyring

INDEX = "<p>All of the made-up accounts are well.</p>"
SECRET = "nobody may read this"
CHANGES = "<p>Pat Sample, born 1960-01-01.</p>"
STAGING_KEYS = next(key for key in write_keyring().split() if key.startswith("staging:"))
SIGNED = b"%PDF-1.7 what testbank signed"


@dataclass
class Served:
    url: str
    token: str
    viewer: str
    folder: Path
    database: Database

    @property
    def staging(self) -> Staging:
        return Staging(str(self.folder / "staging"), KEYRING.staging)

    def get(self, path: str, token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(self.url + path, headers=headers, timeout=30)

    def get_raw(self, path: str) -> int:
        """Request a path unchanged (`requests` would normalize it); return the status."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
            response = connection.getresponse()
            assert SECRET not in response.read().decode()
            return response.status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(
    shared_database: Database, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("airflow")
    store = Staging(str(folder / "staging"), KEYRING.staging)
    pages = store.folder(f"{site.PLACE}/b")
    pages.write("index.html", INDEX.encode())
    pages.write("1.html", b"<p>One table.</p>")
    pages.write("2.html", SECRET.encode())  # no page of the site
    name = "scheduled__2026-11-02T22:00:00+00:00"
    result = site.Result("orion__a+b c", name, "20261102T220000.000000Z", "2026-11-02", "orion a", True, "b/1.html")
    site.publish(store, site.Site("b/index.html", {}, (result,)), site.Site("b/2.html"))
    (folder / "secret.html").write_text(SECRET)
    store.folder(difference.PLACE).write("salesforce-run.html", CHANGES.encode())

    staging = {"conn_type": "generic", "extra": {"root": str(folder / "staging")}}
    keys = {"conn_type": "generic", "password": STAGING_KEYS}
    connections = {
        "tributary_staging": json.dumps(staging),
        "tributary_keys": json.dumps(keys),
        "tributary_db": shared_database.url("tributary_web").replace("postgresql://", "postgres://"),
    }
    roles = {airflow.USER: "admin", "looker": "viewer"}
    with serve(folder, airflow_database, connections, roles) as (url, passwords):
        token, viewer = (AirflowApi(url, name, word).log_in() for name, word in passwords.items())
        yield Served(url, token, viewer, folder, shared_database)


pytestmark = pytest.mark.airflow


@pytest.mark.parametrize("path", ["/data-docs/", "/data-docs/index.html", "/data-docs/validations/no-such-page.html"])
def test_without_a_login_nothing_is_shown(served: Served, path: str) -> None:
    response = served.get(path)
    assert response.status_code == 401
    assert INDEX not in response.text


def test_a_wrong_token_is_refused(served: Served) -> None:
    assert served.get("/data-docs/", "no token").status_code in (401, 403)


def test_reviewers_see_the_index(served: Served) -> None:
    response = served.get("/data-docs/", served.token)
    assert (response.status_code, response.text) == (200, INDEX)
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_viewers_of_runs_may_not_read_values_of_clients_in_data_docs(served: Served) -> None:
    response = served.get("/data-docs/", served.viewer)
    assert response.status_code == 403
    assert INDEX not in response.text


def test_the_cookie_of_the_pages_log_in_is_enough(served: Served) -> None:
    response = requests.get(f"{served.url}/data-docs/", cookies={"_token": served.token}, timeout=30)
    assert (response.status_code, response.text) == (200, INDEX)


def test_a_page_whose_name_has_blanks_colons_and_plus_signs_is_found(served: Served) -> None:
    run = "scheduled__2026-11-02T22%3A00%3A00%2B00%3A00/20261102T220000.000000Z/2026-11-02.html"
    page = f"/data-docs/validations/orion__a%2Bb%20c/{run}"
    assert served.get(page, served.token).text == "<p>One table.</p>"


def test_a_page_runs_nothing_loads_nothing_and_is_framed_by_airflow_only(served: Served) -> None:
    headers = served.get("/data-docs/", served.token).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.html",
        "..%2fsecret.html",
        "%2e%2e/secret.html",
        "validations/../../secret.html",
        "validations/..%2f..%2fsecret.html",
        "..%5csecret.html",
        "..%252fsecret.html",
        "%00.html",
        "x" * 5000 + ".html",
        "b/2.html",
        "site.json",
        "validations",
        "no-such-page.html",
    ],
)
def test_nothing_outside_the_site_and_nothing_but_pages_is_served(served: Served, path: str) -> None:
    assert served.get_raw(f"/data-docs/{path}") == 404


def test_an_absolute_path_is_refused(served: Served) -> None:
    assert served.get_raw(f"/data-docs/{served.folder / 'secret.html'}") == 404
    assert served.get_raw("/data-docs//etc/passwd") == 404


def test_airflow_lists_the_page_in_its_menu(served: Served) -> None:
    plugins = served.get("/api/v2/plugins", served.token).json()["plugins"]
    views = next(plugin for plugin in plugins if plugin["name"] == "data_docs")["external_views"]
    assert [(view["name"], view["destination"]) for view in views] == [("Data Docs", "nav")]


def test_the_pages_have_no_public_schema(served: Served) -> None:
    assert served.get("/data-docs/openapi.json", served.token).status_code == 404
    assert served.get("/data-docs/docs", served.token).status_code == 404


def test_before_the_first_build_the_page_is_a_notice(served: Served) -> None:
    pointer = served.folder / "staging" / site.PLACE / "site.json"
    pointer.rename(pointer.with_suffix(".away"))
    try:
        response = served.get("/data-docs/", served.token)
        assert response.status_code == 200
        assert "Nothing has been validated yet" in response.text
    finally:
        pointer.with_suffix(".away").rename(pointer)


def test_a_page_that_was_altered_is_not_shown(served: Served) -> None:
    pages = served.staging.folder(f"{site.PLACE}/b")
    stored = pages.read_raw("index.html")
    pages.write_raw("index.html", stored[:-1] + bytes([stored[-1] ^ 1]))
    try:
        response = served.get("/data-docs/", served.token)
        assert (response.status_code, "altered" in response.text) == (502, True)
    finally:
        pages.write_raw("index.html", stored)


# --- changes to Salesforce ---

CHANGES_PAGE = "/salesforce-changes/salesforce-run.html"


def test_reviewers_may_read_the_changes_to_salesforce(served: Served) -> None:
    response = served.get(CHANGES_PAGE, served.token)
    assert (response.status_code, response.text) == (200, CHANGES)
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "private, no-store"


def test_viewers_of_runs_may_not_read_the_changes_to_salesforce(served: Served) -> None:
    response = served.get(CHANGES_PAGE, served.viewer)
    assert response.status_code == 403
    assert CHANGES not in response.text


@pytest.mark.parametrize(
    "page", ["../salesforce_changes/salesforce-run.html", "..%2fsalesforce_changes%2fsalesforce-run.html"]
)
def test_changes_can_not_be_read_as_a_data_quality_page(served: Served, page: str) -> None:
    assert served.get_raw(f"/data-docs/{page}") == 404


@pytest.mark.parametrize(
    "page", ["..%2fdata_docs%2fb%2findex.html", "..%2fsecret.html", "salesforce-run", "no-such-page.html", ""]
)
def test_nothing_but_pages_of_changes_is_served_there(served: Served, page: str) -> None:
    assert served.get_raw(f"/salesforce-changes/{page}") == 404


# --- signed documents ---


@pytest.fixture(scope="module")
def signed(served: Served) -> str:
    """The path of a stored document."""
    return f"/documents/{documents.write(served.staging, SIGNED)}"


def test_reviewers_may_read_signed_documents(served: Served, signed: str) -> None:
    response = served.get(signed, served.token)
    assert (response.status_code, response.content) == (200, SIGNED)
    assert response.headers["content-type"] == "application/pdf"
    assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert response.headers["content-disposition"] == f'inline; filename="{signed.rpartition("/")[2][:12]}.pdf"'


def test_viewers_of_runs_may_read_no_document(served: Served, signed: str) -> None:
    response = served.get(signed, served.viewer)
    assert response.status_code == 403
    assert SIGNED not in response.content


def test_without_a_login_no_document_is_shown(served: Served, signed: str) -> None:
    for path in (signed, "/documents/" + "0" * 64):
        response = served.get(path)
        assert response.status_code == 401
        assert SIGNED not in response.content


@pytest.mark.parametrize("name", ["0" * 64, "F" * 64, "0" * 63, "..%2f..%2fsecret.html", "openapi.json", "docs"])
def test_what_is_no_document_is_not_found(served: Served, name: str) -> None:
    assert served.get(f"/documents/{name}", served.token).status_code == 404


def test_a_document_that_was_altered_is_not_shown(served: Served) -> None:
    staging = served.staging
    name = documents.write(staging, b"%PDF-1.7 as it was kept")
    staging.folder(f"documents/{name[:2]}").write(f"{name}.pdf", b"%PDF-1.7 something else")
    response = served.get(f"/documents/{name}", served.token)
    assert (response.status_code, "altered" in response.text) == (502, True)


def read_trail(served: Served) -> list[tuple[str, str, str]]:
    rows = served.database.rows("select actor, action, subject from control.audit order by entry_id")
    return [(row["actor"], row["action"], row["subject"]) for row in rows]


def test_the_audit_trail_shows_who_opened_a_page_or_a_document(served: Served, signed: str) -> None:
    before = len(read_trail(served))
    served.get("/data-docs/", served.token)
    served.get("/data-docs/", served.viewer)  # refused
    served.get(signed, served.token)
    served.get(CHANGES_PAGE, served.token)
    served.get(signed, served.viewer)  # refused
    served.get(CHANGES_PAGE, served.viewer)  # refused
    served.get("/data-docs/no-such-page.html", served.token)
    assert read_trail(served)[before:] == [
        ("admin", "report.opened", "index.html"),
        ("admin", "document.opened", signed.rpartition("/")[2]),
        ("admin", "changes.opened", "salesforce-run.html"),
    ]


def test_the_log_shows_who_was_refused_a_page(served: Served, signed: str) -> None:
    served.get(signed, served.viewer)
    served.get("/api/v2/connections", served.viewer)
    served.get(signed)  # without a login
    log = "".join((served.folder / "home" / name).read_text() for name in ("stdout", "stderr"))
    refused = [json.loads(line) for line in re.findall(r"refused (\{.*?\})", log)]
    expected = [
        {"user": "looker", "call": f"GET {path}", "address": "127.0.0.1"} for path in (signed, "/api/v2/connections")
    ]
    assert refused[-2:] == expected


def test_the_audit_trail_shows_changes_in_airflow_with_their_user_and_status(served: Served) -> None:
    before = len(read_trail(served))
    body = {"key": "tributary_crm_paused", "value": "true"}
    for token in (served.token, served.viewer, "no token"):
        headers = {"Authorization": f"Bearer {token}"}
        requests.post(f"{served.url}/api/v2/variables", json=body, headers=headers, timeout=30)
    served.get("/api/v2/variables", served.token)
    headers = {"Authorization": f"Bearer {served.token}"}
    listed = requests.post(f"{served.url}/api/v2/dags/~/dagRuns/list", json={}, headers=headers, timeout=30)
    assert listed.status_code == 200
    path = "POST /api/v2/variables"
    assert read_trail(served)[before:] == [
        ("admin", "airflow.called", path),
        ("looker", "airflow.called", path),
    ]
    statuses = served.database.rows(
        "select details -> 'status' as status from control.audit order by entry_id desc limit 2"
    )
    assert [row["status"] for row in statuses] == [403, 201]
    assert "true" not in str(
        served.database.rows("select * from control.audit where subject = :path", path=path)[0]["details"]
    )


# --- who may read which page ---

_LIST = """
from airflow.plugins_manager import get_fastapi_plugins
from fastapi.routing import APIRoute

for each in get_fastapi_plugins()[0]:
    for route in getattr(each["app"], "routes", ()):
        if isinstance(route, APIRoute):
            print("ROUTE", each["url_prefix"], sorted(route.methods)[0], route.path)
"""
ANY_USER, REVIEWERS, OWN = "any user", "reviewers", "checks its callers itself"
READERS = {
    "/data-docs": REVIEWERS, "/salesforce-changes": REVIEWERS, "/documents": REVIEWERS, "/identity-review": REVIEWERS,
    "/operations": ANY_USER, "/operations/clients": REVIEWERS, "/operations/who-is-who": REVIEWERS, "/operations/lineage": REVIEWERS,
    "/operations/api-keys": REVIEWERS, "/operations/find-client": REVIEWERS, "/webhooks": OWN, "/api/v1": OWN,
}  # fmt: skip
"""Who may read the pages below a path; the longest one counts. A new plugin page is added here."""
REFUSED = [("POST", "/operations/thresholds")]
"""Requests that a viewer may not make although the page is for any user."""


def find_readers(url: str) -> str:
    return READERS[max((prefix for prefix in READERS if url.startswith(prefix)), key=len)]


def test_each_route_of_each_plugin_refuses_the_callers_it_is_not_for(served: Served, tmp_path: Path) -> None:
    environ = environment(tmp_path, {}) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    routes = [line.split() for line in read_lines(run(environ, _LIST), "ROUTE")]
    pages = [each for each in routes if find_readers(each[0] + each[2]) != OWN]
    assert len(pages) > 17
    for prefix, method, path in pages:
        url = served.url + prefix + path.replace("{", "").replace("}", "").replace(":path", "")
        statuses = [
            requests.request(method, url, headers=headers, timeout=30).status_code
            for headers in ({}, {"Authorization": f"Bearer {served.viewer}"})
        ]
        assert statuses[0] == 401, url
        is_refused = find_readers(prefix + path) == REVIEWERS or (method, prefix + path) in REFUSED
        assert (statuses[1] == 403) == is_refused, (method, url)


def test_an_empty_token_beside_the_cookie_does_not_hide_who_changes_something(served: Served) -> None:
    before = len(read_trail(served))
    headers, cookies = {"Authorization": "Bearer "}, {"_token": served.token}
    url = f"{served.url}/api/v2/variables/no_such_variable"
    requests.delete(url, headers=headers, cookies=cookies, timeout=30)
    assert read_trail(served)[before:] == [("admin", "airflow.called", "DELETE /api/v2/variables/no_such_variable")]


# --- the API server itself ---


@pytest.mark.parametrize("path", ["/api/v2/dags", "/data-docs/", "/api/v2/version"])
def test_no_other_origin_may_read_a_response(served: Served, path: str) -> None:
    headers = {"Authorization": f"Bearer {served.token}", "Origin": "https://other.example"}
    for method in ("GET", "OPTIONS"):
        response = requests.request(method, served.url + path, headers=headers, timeout=30)
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_form_can_send_changes_nothing(served: Served, content_type: str) -> None:
    body = json.dumps({"key": "foreign", "value": "true"})
    headers = {"Content-Type": content_type or None}  # None: no header at all
    cookies = {"_token": served.token}
    url = f"{served.url}/api/v2/variables"
    assert requests.post(url, data=body, headers=headers, cookies=cookies, timeout=30).status_code in (415, 422)
    assert served.get("/api/v2/variables/foreign", served.token).status_code == 404


@pytest.mark.parametrize("path", ["/", "/api/v2/version", "/data-docs/", "/auth/login", "/static/x"])
def test_trace_is_not_supported(served: Served, path: str) -> None:
    response = requests.request("TRACE", served.url + path, headers={"X-Probe": "probe"}, timeout=30)
    assert response.status_code >= 400
    assert "probe" not in response.text


def test_no_debug_mode_is_on(served: Served) -> None:
    assert served.get("/api/v2/config", served.token).status_code == 403
    test = requests.post(
        f"{served.url}/api/v2/connections/test", json={"connection_id": "x", "conn_type": "http"}, timeout=30,
        headers={"Authorization": f"Bearer {served.token}"},
    )  # fmt: skip
    assert test.status_code == 403
    assert "Traceback" not in served.get("/api/v2/dags?order_by=%00", served.token).text


def test_a_users_token_is_refused_by_the_api_of_tasks(served: Served) -> None:
    assert served.get("/execution/variables/anything", served.token).status_code in (401, 403)
    assert served.get("/api/v2/variables", served.token).status_code == 200


def test_a_missing_connection_is_named_on_every_page(airflow_database: Path, tmp_path: Path) -> None:
    """Before a firm has set up its connections, the pages say which one to create instead of failing without a reason."""
    paths = ("/data-docs/", "/salesforce-changes/run.html", f"/documents/{'0' * 64}", "/operations/", "/operations/clients/findings", "/identity-review/api/queue")  # fmt: skip
    with serve(tmp_path, airflow_database, {}, {airflow.USER: "admin"}) as (url, passwords):
        token = AirflowApi(url, airflow.USER, passwords[airflow.USER]).log_in()
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
        responses = {path: requests.get(url + path, headers=headers, timeout=30) for path in paths}
    assert {path: response.status_code for path, response in responses.items()} == dict.fromkeys(paths, 503)
    for path, response in responses.items():
        missing = "tributary_staging" if path.startswith(("/data", "/sales", "/doc")) else "tributary_db"
        assert missing in response.text, path
        assert "Admin, Connections" in response.text, path


def test_a_database_that_cannot_be_used_is_explained(airflow_database: Path, tmp_path: Path) -> None:
    """As with a database that is not migrated yet: the page says what to do."""
    connections = {"tributary_db": "postgres://tributary_web:made-up@database.example/tributary"}
    with serve(tmp_path, airflow_database, connections, {airflow.USER: "admin"}) as (url, passwords):
        token = AirflowApi(url, airflow.USER, passwords[airflow.USER]).log_in()
        for path in ("/operations/", "/identity-review/api/queue"):
            response = requests.get(url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)
            assert response.status_code == 503
            assert "sslmode" in response.text


def test_a_page_that_does_not_exist_says_why(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.token}", "Accept": "text/html"}
    response = requests.get(f"{served.url}/data-docs/validations/none.html", headers=headers, timeout=30)
    assert (response.status_code, response.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Page not found" in response.text
