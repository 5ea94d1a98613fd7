"""Users of production sign in at a certified OpenID Connect server, over real HTTP."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from werkzeug.security import generate_password_hash

from include.sign_on.provider import bind
from local.processes import find_free_port
from tests.running_node import install_packages
from tests.sign_on.production import HOST, ROOT, Production, serve

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # the first run installs the packages

HERE = Path(__file__).parent
CLIENT = {"client_id": "tributary", "client_secret": "only-for-tests"}
ROLES = {"it-admins": "Admin", "auditors": "Viewer"}
ROLES_OF = """
    select ab_role.name from ab_user
    join ab_user_role on ab_user_role.user_id = ab_user.id join ab_role on ab_role.id = ab_user_role.role_id
    where ab_user.username = ?
"""
# The provider's accounts by their subject, which is what a user enters at the provider.
ACCOUNTS: dict[str, dict[str, Any]] = {
    "0001": {"preferred_username": "ada", "given_name": "Ada", "family_name": "A", "groups": ["all", "it-admins"]},
    "0002": {"preferred_username": "vera", "groups": ["auditors"], "groups_in": "userinfo"},
    "0003": {"preferred_username": "otto", "groups": ["all"]},
    "0004": {"preferred_username": "nora"},
    "0005": {"groups": ["auditors"]},
}


@contextmanager
def run_provider(port: int, redirect_uri: str, accounts: Path) -> Iterator[str]:
    inputs = CLIENT | {"port": port, "redirect_uri": redirect_uri, "users": str(accounts)}
    environment = os.environ | {"PACKAGES": str(install_packages(HERE, 20)), "INPUT": json.dumps(inputs)}
    pipe = subprocess.PIPE
    command = ["node", str(HERE / "provider.mjs")]
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        try:
            yield f"http://{HOST}:{port}"
        finally:
            process.stdin.close()


def change_accounts(home: Path, **changed: dict[str, Any]) -> None:
    (home / "accounts.json").write_text(json.dumps(ACCOUNTS | changed))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    home, port = tmp_path_factory.mktemp("provider"), find_free_port()
    redirect_uri = f"http://{HOST}:{port}/auth/oauth-authorized/firm"
    change_accounts(home)
    with run_provider(find_free_port(), redirect_uri, home / "accounts.json") as issuer:
        settings = {
            "TRIBUTARY_OIDC_ISSUER": issuer,
            "TRIBUTARY_OIDC_CLIENT_ID": CLIENT["client_id"],
            "TRIBUTARY_OIDC_CLIENT_SECRET": CLIENT["client_secret"],
            "TRIBUTARY_OIDC_ROLES": json.dumps(ROLES),
            "TRIBUTARY_OIDC_ACR": "2 3",
            "TRIBUTARY_OIDC_AMR": "mfa hwk",
        }
        with serve(home, port, **settings) as running:
            yield running


@pytest.fixture
def browser(server: Production) -> Iterator[httpx.Client]:
    with server.open_browser() as opened:
        yield opened


def request_login(browser: httpx.Client) -> httpx.URL:
    """Return the URL of the provider to which the login page leads."""
    response = browser.get("/auth/login/firm")
    assert response.status_code == 302
    return httpx.URL(response.headers["location"])


def sign_in(browser: httpx.Client, url: httpx.URL, account: str) -> httpx.URL:
    """Sign in at the provider, and consent there; return the URL with which it leads back."""
    response = browser.get(url)
    while "/auth/oauth-authorized/" not in response.headers.get("location", ""):
        if response.is_redirect:
            response = browser.get(response.next_request.url if response.next_request else "")
            continue
        assert response.status_code == 200, response.text[:2000]
        [action] = re.findall(r'<form[^>]* action="([^"]+)"', response.text)
        [prompt] = re.findall(r'name="prompt" value="(\w+)"', response.text)
        response = browser.post(action, data={"prompt": prompt, "login": account, "password": "any"})
    return httpx.URL(response.headers["location"])


def log_in(browser: httpx.Client, account: str) -> httpx.Response:
    return browser.get(sign_in(browser, request_login(browser), account))


def has_token(response: httpx.Response) -> bool:
    return "_token=ey" in str(response.headers.get_list("set-cookie"))


def get_statuses(browser: httpx.Client) -> tuple[int, int]:
    """Request what a Viewer may see, and what only an Admin or Op may see."""
    return browser.get("/api/v2/dags").status_code, browser.get("/api/v2/connections").status_code


def test_the_login_page_offers_the_provider_and_no_password(browser: httpx.Client) -> None:
    page = browser.get("/auth/login/")
    assert "firm" in page.text
    assert 'type="password"' not in page.text


def test_a_login_requests_a_code_with_pkce_state_and_nonce(browser: httpx.Client) -> None:
    query = request_login(browser).params
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert all(query.get(name) for name in ("state", "nonce", "code_challenge"))


@pytest.mark.parametrize(("account", "statuses"), [("0001", (200, 200)), ("0002", (200, 403))])
def test_a_user_has_the_roles_of_the_groups(browser: httpx.Client, account: str, statuses: tuple[int, int]) -> None:
    assert has_token(log_in(browser, account))
    assert get_statuses(browser) == statuses


def test_a_login_is_recorded_with_user_subject_groups_and_address(server: Production, browser: httpx.Client) -> None:
    log_in(browser, "0001")
    who = {"user": "ada", "address": browser.headers["X-Forwarded-For"], "subject": "0001", "groups": ["it-admins"]}
    assert server.events()[-1] == {"event": "login", **who}


@pytest.mark.parametrize(("account", "user"), [("0003", "otto"), ("0004", "nora"), ("0005", None)])
def test_a_user_without_group_or_name_is_refused(
    server: Production, browser: httpx.Client, account: str, user: str | None
) -> None:
    assert not has_token(log_in(browser, account))
    assert not has_token(browser.get("/auth/"))
    refusal = server.events()[-1]
    assert (refusal["event"], refusal["user"], refusal["subject"]) == ("login refused", user, account)


@pytest.mark.parametrize(
    ("strength", "reason"),
    [
        ({"acr": "1"}, "its acr '1' is none of 2, 3"),
        ({"acr": None}, "its acr None is none of 2, 3"),
        ({"amr": ["pwd"]}, "its amr ['pwd'] has none of mfa, hwk"),
        ({"amr": None}, "its amr [] has none of mfa, hwk"),
    ],
)
def test_a_login_without_the_required_strength_is_refused(
    server: Production, browser: httpx.Client, strength: dict[str, Any], reason: str
) -> None:
    account: dict[str, Any] = {"preferred_username": "liv", "groups": ["it-admins"]}
    change_accounts(server.home, **{"0013": account | strength})
    assert not has_token(log_in(browser, "0013"))
    assert not has_token(browser.get("/auth/"))
    assert "without the second factor that is required" in browser.get("/auth/login/").text
    refusal = server.events()[-1]
    assert (refusal["event"], refusal["user"]) == ("login refused", "liv")
    assert reason in refusal["reason"]
    assert server.query("select count(*) from ab_user where username = 'liv'") == [(0,)]


def test_a_login_requests_the_required_strength(browser: httpx.Client) -> None:
    assert request_login(browser).params["acr_values"] == "2 3"


def test_a_login_to_end_sessions_asks_the_user_again(server: Production, browser: httpx.Client) -> None:
    log_in(browser, "0001")
    assert (
        "sign in again first" in browser.get("/auth/sessions/").text
    )  # the provider did not state when the user authenticated
    [token, *_] = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get("/auth/sessions/").text)
    browser.post("/auth/sessions/again", data={"csrf_token": token})
    url = request_login(browser)
    assert (url.params["prompt"], url.params["max_age"]) == ("login", "300")
    assert has_token(browser.get(sign_in(browser, url, "0001")))
    assert "sign in again first" not in browser.get("/auth/sessions/").text
    assert "prompt" not in request_login_of_another(server)


def request_login_of_another(server: Production) -> httpx.QueryParams:
    with server.open_browser() as other:
        return request_login(other).params


def test_roles_follow_the_groups_at_each_login(server: Production, browser: httpx.Client) -> None:
    account: dict[str, Any] = {"preferred_username": "ines", "groups": ["it-admins"]}
    change_accounts(server.home, **{"0006": account})
    log_in(browser, "0006")
    assert get_statuses(browser) == (200, 200)

    change_accounts(server.home, **{"0006": account | {"groups": ["auditors"]}})
    with server.open_browser() as second:
        log_in(second, "0006")
        assert server.query(ROLES_OF, "ines") == [("Viewer",)]

    change_accounts(server.home, **{"0006": account | {"groups": []}})
    with server.open_browser() as third:
        assert not has_token(log_in(third, "0006"))
    assert not has_token(browser.get("/auth/"))  # the first session ended


@pytest.mark.parametrize("parameter", ["nonce", "code_challenge"])
def test_an_answer_to_another_request_is_refused(server: Production, browser: httpx.Client, parameter: str) -> None:
    url = request_login(browser)
    value = url.params[parameter]
    changed = url.copy_set_param(parameter, value[:-1] + ("A" if value[-1] != "A" else "B"))
    assert not has_token(browser.get(sign_in(browser, changed, "0001")))
    assert server.events()[-1]["event"] == "login refused"


def test_a_changed_state_is_refused(server: Production, browser: httpx.Client) -> None:
    back = sign_in(browser, request_login(browser), "0001")
    assert not has_token(browser.get(back.copy_set_param("state", back.params["state"] + "x")))
    assert server.events()[-1]["event"] == "login refused"


def test_an_answer_in_another_browser_is_refused(server: Production, browser: httpx.Client) -> None:
    back = sign_in(browser, request_login(browser), "0001")
    with server.open_browser() as victim:
        request_login(victim)
        assert not has_token(victim.get(back))
    assert server.events()[-1]["event"] == "login refused"


def test_a_page_of_another_site_starts_no_login(browser: httpx.Client) -> None:
    for site, status in {"cross-site": 200, "same-site": 200, "same-origin": 302, "none": 302}.items():
        assert browser.get("/auth/login/firm", headers={"Sec-Fetch-Site": site}).status_code == status


def test_the_session_holds_no_token_of_the_provider(server: Production, browser: httpx.Client) -> None:
    assert has_token(log_in(browser, "0001"))
    where = browser.cookies["session"].partition(".")[0]
    [[data]] = server.query("select data from session where session_id = ?", where)
    session = msgspec.msgpack.decode(data)
    assert {name for name in session if "oauth" in name or "token" in name} <= {"csrf_token", "oauth_state"}
    assert "eyJ" not in str(session)


def test_local_passwords_are_refused(server: Production, browser: httpx.Client) -> None:
    log_in(browser, "0001")
    server.query(
        "update ab_user set password = ? where username = 'ada'", generate_password_hash("an orchard of plums")
    )
    login = {"username": "ada", "password": "an orchard of plums"}
    assert browser.post("/auth/token", json=login).status_code == 401
    refusal = server.events()[-1]
    assert (refusal["event"], refusal["user"]) == ("login refused", "ada")


def test_a_login_at_the_provider_ends_a_local_password(server: Production, browser: httpx.Client) -> None:
    log_in(browser, "0001")
    first = generate_password_hash("an orchard of plums", salt_length=24)
    server.query("update ab_user set password = ? where username = 'ada'", first)
    with server.open_browser() as second:
        assert has_token(log_in(second, "0001"))
        assert get_statuses(second) == (200, 200)
    binding = bind(server.settings["TRIBUTARY_OIDC_ISSUER"], "0001")
    assert server.query("select password from ab_user where username = 'ada'") == [(binding,)]


def test_another_person_with_the_same_user_name_is_refused(server: Production, browser: httpx.Client) -> None:
    account: dict[str, Any] = {"preferred_username": "uma", "groups": ["auditors"]}
    change_accounts(server.home, **{"0007": account, "0008": account | {"groups": ["it-admins"]}})
    log_in(browser, "0007")
    with server.open_browser() as other:
        assert not has_token(log_in(other, "0008"))
        assert not has_token(other.get("/auth/"))
        assert "belongs to another account of the identity provider" in other.get("/auth/login/").text
    refusal = server.events()[-1]
    assert (refusal["event"], refusal["user"], refusal["name"], refusal["subject"]) == (
        "login refused",
        None,
        "uma",
        "0008",
    )
    assert "another account" in refusal["reason"]
    assert server.query(ROLES_OF, "uma") == [("Viewer",)]
    assert get_statuses(browser) == (200, 403)


def test_another_person_without_groups_leaves_the_user_as_it_is(server: Production, browser: httpx.Client) -> None:
    account: dict[str, Any] = {"preferred_username": "ivo", "groups": ["auditors"]}
    change_accounts(server.home, **{"0009": account, "0010": account | {"groups": []}})
    log_in(browser, "0009")
    with server.open_browser() as other:
        assert not has_token(log_in(other, "0010"))
    assert server.query(ROLES_OF, "ivo") == [("Viewer",)]
    assert get_statuses(browser) == (200, 403)


def test_a_reset_of_the_password_lets_another_person_have_the_user(server: Production, browser: httpx.Client) -> None:
    account: dict[str, Any] = {"preferred_username": "eli", "groups": ["auditors"]}
    change_accounts(server.home, **{"0011": account, "0012": account})
    log_in(browser, "0011")
    reset = server.command("users", "reset-password", "--username", "eli", "--password", "an orchard of plums")
    assert reset.returncode == 0, reset.stderr[-2000:]
    with server.open_browser() as other:
        assert has_token(log_in(other, "0012"))
    with server.open_browser() as first:
        assert not has_token(log_in(first, "0011"))


_LOAD_METADATA = """
import runpy
import sys
from include.errors import ConfigurationError

[provider] = runpy.run_path(sys.argv[1])["OAUTH_PROVIDERS"]
settings = provider["remote_app"] | {"server_metadata_url": sys.argv[2]}
client = settings.pop("client_cls")(None, "firm", **settings)
for _ in range(2):
    try:
        client.load_server_metadata()
    except ConfigurationError as error:
        print("REFUSED", error)
"""


def test_metadata_with_an_address_that_is_not_https_is_refused(server: Production, tmp_path: Path) -> None:
    (tmp_path / "metadata").write_text(json.dumps({"token_endpoint": "http://login.sample-wealth.example/token"}))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as metadata:
        threading.Thread(target=metadata.serve_forever, daemon=True).start()
        config = server.settings["AIRFLOW__FAB__CONFIG_FILE"]
        command = [server.python, "-c", _LOAD_METADATA, config, f"http://{HOST}:{metadata.server_port}/metadata"]
        environment = dict(server.settings) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=True)
        metadata.shutdown()
    assert result.stdout.count("REFUSED token_endpoint in the identity provider's metadata must begin with https") == 2
