"""Local users of production: the password policy, the change of a first password, sessions and the record of logins."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from local.processes import find_free_port
from tests.conftest import Database
from tests.sign_on.forms import (
    PASSWORD_PAGE,
    SESSIONS,
    add_user,
    change_password,
    create_user,
    edit_session,
    end_row,
    end_session,
    find_row,
    is_logged_in,
    list_addresses,
    log_in,
    post_form,
    read_lifetime,
)  # fmt: skip
from tests.sign_on.production import Production, serve

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # the first run installs the packages

FIRST = "an orchard of plums"
OWN = "seven grey lighthouses"
COMMON = "password1234"


@pytest.fixture(scope="module")
def server(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    connection = {
        "AIRFLOW_CONN_TRIBUTARY_DB": shared_database.url("tributary_web").replace("postgresql", "postgres", 1)
    }
    with serve(tmp_path_factory.mktemp("local"), find_free_port(), **connection) as running:
        yield running


@pytest.fixture(scope="module")
def admin(server: Production) -> str:
    """The name of an administrator who has chosen a password."""
    create_user(server, "marianne", FIRST)
    with server.open_browser() as browser:
        log_in(browser, "marianne", FIRST)
        change_password(browser, FIRST, OWN)
    return "marianne"


@pytest.fixture
def browser(server: Production, admin: str) -> Iterator[httpx.Client]:
    """A browser in which the administrator has logged in."""
    with server.open_browser() as opened:
        log_in(opened, admin, OWN)
        yield opened


@contextmanager
def new_user(server: Production, admin: httpx.Client, name: str) -> Iterator[httpx.Client]:
    """Create a user on the administrator's page; yield a browser in which the user has logged in with the first password."""
    assert add_user(server, admin, name, FIRST).status_code == 302
    with server.open_browser() as opened:
        log_in(opened, name, FIRST)
        yield opened


def test_a_first_password_opens_only_the_page_to_change_it(server: Production, browser: httpx.Client) -> None:
    with new_user(server, browser, "henriette") as opened:
        assert opened.get("/api/v2/dags").status_code == 403
        paths = ("/auth/", "/auth/login/", "/auth/users/userinfo/")
        assert {opened.get(path, follow_redirects=True).url.path for path in paths} == {PASSWORD_PAGE}
        change_password(opened, FIRST, "an island of basalt")
        assert is_logged_in(opened)
        assert opened.get("/api/v2/dags").status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "reason"),
    [
        (OWN, COMMON, "most common"),
        (OWN, "marianne by the sea", "must not contain"),
        (OWN, OWN, "must differ"),
        ("not the one", "an island of basalt", "not your current"),
    ],
)
def test_the_page_refuses_a_new_password(browser: httpx.Client, current: str, new: str, reason: str) -> None:
    response = change_password(browser, current, new)
    assert response.status_code == 200
    assert reason in response.text


def test_a_change_ends_the_other_sessions(server: Production, browser: httpx.Client) -> None:
    with new_user(server, browser, "clementine") as opened, server.open_browser() as other:
        log_in(other, "clementine", FIRST)
        assert change_password(opened, FIRST, "an island of basalt").status_code == 302
        assert is_logged_in(opened)
        assert not is_logged_in(other)


@pytest.mark.parametrize("command", ["create", "reset-password"])
def test_the_command_line_applies_the_policy(server: Production, admin: str, command: str) -> None:
    names = (
        ["--role", "Op", "--firstname", "A", "--lastname", "B", "--email", "w@localhost"] if command == "create" else []
    )
    user = "weakling" if command == "create" else admin
    result = server.command("users", command, "--username", user, *names, "--password", f"{user} by the sea")
    assert result.returncode != 0
    assert "must not contain a user name" in result.stdout + result.stderr


def test_an_administrator_can_set_a_first_password_only(server: Production, browser: httpx.Client) -> None:
    with new_user(server, browser, "josephine") as other:
        change_password(other, FIRST, "an island of basalt")
        [[pk]] = server.query("select id from ab_user where username = 'josephine'")
        page = f"/auth/resetpassword/form?pk={pk}"
        assert "most common" in post_form(browser, page, password=COMMON, conf_password=COMMON).text
        assert post_form(browser, page, password=FIRST, conf_password=FIRST).status_code == 302
        log_in(other, "josephine", FIRST)
        assert other.get("/auth/").headers["location"] == PASSWORD_PAGE


def test_the_form_for_a_new_user_applies_the_policy(server: Production, browser: httpx.Client) -> None:
    assert "must not contain a user name" in add_user(server, browser, "wilhelmine", "wilhelmine by the sea").text


def test_the_api_for_users_applies_the_policy(server: Production, browser: httpx.Client, admin: str) -> None:
    is_logged_in(browser)  # brings the token
    response = browser.patch(f"/auth/fab/v1/users/{admin}?update_mask=password", json={"password": COMMON})
    assert response.is_error
    with server.open_browser() as other:
        log_in(other, admin, OWN)
        assert is_logged_in(other)


def test_only_an_administrator_may_manage_api_keys(server: Production, browser: httpx.Client) -> None:
    create_user(server, "olaf", FIRST, "Op")
    with server.open_browser() as opened:
        log_in(opened, "olaf", FIRST)
        change_password(opened, FIRST, OWN)
        opened.get("/auth/")
        statuses = [each.get("/operations/api-keys/").status_code for each in (browser, opened)]
    assert statuses == [200, 403]


def test_programs_get_no_token_of_fab(browser: httpx.Client, admin: str) -> None:
    login = {"username": admin, "password": OWN, "provider": "db"}
    assert browser.post("/auth/api/v1/security/login", json=login).status_code == 404


def test_the_token_lasts_15_minutes_and_the_cookie_30(browser: httpx.Client) -> None:
    response = browser.get("/auth/")
    [expires] = re.findall(r"session=.*?Expires=([^;]+)", "\n".join(response.headers.get_list("set-cookie")))
    left = parsedate_to_datetime(expires) - datetime.now(UTC)
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    assert read_lifetime(response.cookies["_token"]) == 15 * 60


@pytest.mark.parametrize(("idle_minutes", "stays"), [(29, True), (31, False)])
def test_a_session_ends_after_30_idle_minutes(
    server: Production, browser: httpx.Client, idle_minutes: int, stays: bool
) -> None:
    edit_session(server, browser, idle_s=idle_minutes * 60)
    assert is_logged_in(browser) == stays


def test_a_session_ends_8_hours_after_the_login(server: Production, browser: httpx.Client) -> None:
    edit_session(server, browser, login_age_s=8 * 3600 - 60)
    assert 0 < read_lifetime(browser.get("/auth/").cookies["_token"]) <= 60
    edit_session(server, browser, login_age_s=8 * 3600 + 1)
    assert not is_logged_in(browser)


def test_a_logout_ends_session_and_token(browser: httpx.Client) -> None:
    is_logged_in(browser)
    copied = dict(browser.cookies)
    assert browser.get("/api/v2/dags").status_code == 200
    browser.get("/api/v2/auth/logout", follow_redirects=True)
    browser.cookies.update(copied)
    assert browser.get("/api/v2/dags").status_code in (401, 403)
    browser.cookies.update(copied)
    assert not is_logged_in(browser)


def test_logins_and_failures_are_recorded_with_user_and_address(server: Production, browser: httpx.Client) -> None:
    address = browser.headers["X-Forwarded-For"]
    with server.open_browser("203.0.113.8") as stranger:
        log_in(stranger, "no such user", "seven grey lighthouses")
    assert {"event": "login", "user": "marianne", "address": address} in server.events()
    assert {"event": "login failed", "user": "no such user", "address": "203.0.113.8"} in server.events()


def test_the_audit_trail_has_each_login_failure_and_logout(
    server: Production, shared_database: Database, admin: str
) -> None:
    before = shared_database.value("select coalesce(max(entry_id), 0) from control.audit")
    with server.open_browser("203.0.113.7") as browser:
        log_in(browser, admin, "not the password")
        log_in(browser, admin, OWN)
        browser.get("/api/v2/auth/logout", follow_redirects=True)
    query = "select actor, action, details ->> 'address' as address from control.audit where entry_id > :before order by entry_id"
    assert [tuple(row.values()) for row in shared_database.rows(query, before=before)] == [
        (admin, action, "203.0.113.7") for action in ("user.refused", "user.signed_in", "user.signed_out")
    ]


def test_the_login_page_hides_the_password_and_lets_managers_fill_it_in(server: Production) -> None:
    with server.open_browser() as stranger:
        page = stranger.get("/auth/login/").text
    [form] = re.findall(r'<form[^>]*name="login".*?</form>', page, re.DOTALL)
    inputs = {each["name"]: each for each in map(read_attributes, re.findall(r"<input[^>]*>", form)) if "name" in each}
    assert inputs.keys() == {"csrf_token", "username", "password"}  # no hint and no question
    assert inputs["password"]["type"] == "password"
    assert not any("autocomplete" in each or "onpaste" in each for each in inputs.values())


def read_attributes(tag: str) -> dict[str, str]:
    return dict(re.findall(r'([\w-]+)="([^"]*)"', tag))


def test_a_password_counts_exactly_as_it_was_entered(server: Production, admin: str) -> None:
    long = "Seven Grey Lighthouses " * 4 + " "  # 93 characters
    create_user(server, "wilma", long)
    for entered, is_right in {
        long: True,
        long.strip(): False,
        long.lower(): False,
        long[:72]: False,
        f"{long} ": False,
    }.items():
        with server.open_browser() as opened:
            log_in(opened, "wilma", entered)
            assert (opened.get("/auth/").headers.get("location") == PASSWORD_PAGE) == is_right, entered


def test_passwords_are_hashed_by_a_slow_function(server: Production, admin: str) -> None:
    [[stored]] = server.query("select password from ab_user where username = ?", admin)
    assert stored.startswith("scrypt:32768:8:3$")


def test_a_login_begins_a_new_session_with_a_random_id(server: Production, admin: str) -> None:
    ids = set()
    for _ in range(2):
        with server.open_browser() as opened:
            opened.get("/auth/login/")
            before = opened.cookies["session"]
            log_in(opened, admin, OWN)
            ids.add(opened.cookies["session"].partition(".")[0])
            assert before.partition(".")[0] not in ids
        with server.open_browser() as other:
            other.cookies.set("session", before)
            assert not is_logged_in(other)
    assert len(ids) == 2
    assert all(len(each) >= 22 for each in ids)  # base64: 6 bits a character


def test_a_user_who_is_set_inactive_is_refused_within_30_seconds(server: Production, browser: httpx.Client) -> None:
    with new_user(server, browser, "ottilie") as opened:
        change_password(opened, FIRST, "an island of basalt")
        assert is_logged_in(opened)
        assert opened.get("/api/v2/dags").status_code == 200
        [[pk]] = server.query("select id from ab_user where username = 'ottilie'")
        page = browser.get(f"/auth/users/edit/{pk}").text
        [role] = re.findall(r'<option selected value="(\d+)"', page)
        fields = {"first_name": "A", "last_name": "B", "username": "ottilie", "email": "ottilie@localhost.test"}
        assert (
            post_form(browser, f"/auth/users/edit/{pk}", roles=role, **fields).status_code == 302
        )  # `active` is not ticked
        time.sleep(31)
        assert opened.get("/api/v2/dags").status_code in (401, 403)
        assert not is_logged_in(opened)


def test_a_form_without_its_token_is_refused(browser: httpx.Client) -> None:
    fields = {"current": OWN, "password": "an island of basalt", "conf_password": "an island of basalt"}
    assert browser.post(PASSWORD_PAGE, data=fields).status_code == 400
    login = {"username": "marianne", "password": OWN}
    assert browser.post("/auth/login/", data=login).status_code == 400


@pytest.mark.parametrize(
    "target", ["https://other.example/", "//other.example/", "/\\other.example", "https:other.example"]
)
def test_a_login_redirects_to_no_other_host(server: Production, admin: str, target: str) -> None:
    with server.open_browser() as opened:
        first = opened.get("/api/v2/auth/login", params={"next": target})
        fields = {"username": admin, "password": OWN}
        page = f"/auth/login/?{httpx.QueryParams(next=target)}"
        for location in (first.headers.get("location", ""), post_form(opened, page, **fields).headers["location"]):
            assert httpx.URL(server.url).join(location).host == httpx.URL(server.url).host


def test_attempts_are_limited(server: Production) -> None:
    with server.open_browser("203.0.113.9") as stranger:
        statuses = [log_in(stranger, "marianne", "wrong").status_code for _ in range(6)]
    assert statuses == [302] * 5 + [429]


# --- the page of sessions ---


@contextmanager
def two_browsers(server: Production, name: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two browsers in which a new user has logged in, and uses Airflow."""
    create_user(server, name, FIRST, "Viewer")
    with server.open_browser() as first, server.open_browser() as second:
        log_in(first, name, FIRST)
        change_password(first, FIRST, "an island of basalt")
        log_in(second, name, "an island of basalt")
        for each in (first, second):
            assert is_logged_in(each)
            assert each.get("/api/v2/dags").status_code == 200
        yield first, second


def is_out(browser: httpx.Client) -> bool:
    """Whether both the session and the token of a browser have ended."""
    return browser.get("/api/v2/dags").status_code in (401, 403) and not is_logged_in(browser)


def test_users_see_and_end_their_own_sessions(
    server: Production, browser: httpx.Client, shared_database: Database
) -> None:
    before = shared_database.value("select coalesce(max(entry_id), 0) from control.audit")
    with two_browsers(server, "philippa") as (first, second):
        addresses = {each.headers["X-Forwarded-For"] for each in (first, second)}
        assert list_addresses(first) == list_addresses(second) == addresses
        assert "python-httpx" in first.get(SESSIONS).text
        end_session(first, second.headers["X-Forwarded-For"])
        assert is_out(second)
        assert list_addresses(first) == {first.headers["X-Forwarded-For"]}
        assert first.get("/api/v2/dags").status_code == 200
    query = "select details from control.audit where entry_id > :before and actor = 'philippa' and action = 'user.signed_out'"
    [entry] = [row["details"] for row in shared_database.rows(query, before=before)]
    assert (entry["event"], entry["of"], entry["sessions"]) == ("session ended", "philippa", 1)


def test_a_user_ends_all_other_sessions(server: Production, browser: httpx.Client) -> None:
    with two_browsers(server, "rosalind") as (first, second):
        end_session(second, "others")
        assert is_out(first)
        assert is_logged_in(second)
    assert is_logged_in(browser)


def test_only_an_administrator_sees_and_ends_the_sessions_of_others(server: Production, browser: httpx.Client) -> None:
    everybody = f"{SESSIONS}?all=1"
    with two_browsers(server, "theodora") as (first, second):
        address = second.headers["X-Forwarded-For"]
        assert browser.headers["X-Forwarded-For"] not in list_addresses(first, everybody)
        with server.open_browser() as stranger, new_user(server, browser, "ursula") as other:
            assert stranger.get(SESSIONS).status_code == 302
            change_password(other, FIRST, "an island of basalt")
            end_row(other, find_row(browser, address, everybody))
            assert "Session not found" in other.get(SESSIONS).text
            assert is_logged_in(second)
        end_session(browser, address, everybody)
        assert is_out(second)
        assert is_logged_in(first)


def test_a_login_that_is_not_recent_ends_no_session(server: Production, browser: httpx.Client) -> None:
    with two_browsers(server, "leonora") as (first, second):
        edit_session(server, first, login_age_s=301)
        assert "sign in again first" in first.get(SESSIONS).text
        end_session(first, second.headers["X-Forwarded-For"])
        assert is_logged_in(second)
        token = re.findall(r'name="csrf_token" value="([^"]+)"', first.get(SESSIONS).text)[0]
        again = first.post(f"{SESSIONS}again", data={"csrf_token": token})
        assert again.headers["location"].endswith("/auth/login/?next=/security/sessions")
        assert is_out(first)


def test_a_form_of_another_page_ends_no_session(browser: httpx.Client) -> None:
    assert browser.post(f"{SESSIONS}end", data={"session": "others"}).status_code == 400


def test_the_menu_leads_every_user_to_the_sessions(server: Production, browser: httpx.Client) -> None:
    with two_browsers(server, "wilhelma") as (first, _):
        menu = first.get("/ui/auth/menus").json()
    assert [each["href"] for each in menu["extra_menu_items"]] == [SESSIONS]


def test_signatures_of_session_ids_and_forms_are_of_sha_256(server: Production, browser: httpx.Client) -> None:
    value = browser.cookies["session"]
    assert len(value.partition(".")[2]) == 43  # base64 of 32 bytes
    [token] = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get(SESSIONS).text)[:1]
    assert len(token.rpartition(".")[2]) == 43
