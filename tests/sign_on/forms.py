"""Forms of FAB's pages, sent as a browser does, and the sessions behind them."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

import httpx
import jwt
import msgspec

from tests.sign_on.production import Production

PASSWORD_PAGE = "/auth/resetmypassword/form"
SESSIONS = "/auth/sessions/"


def create_user(server: Production, name: str, password: str, role: str = "Admin") -> None:
    created = server.command(
        "users", "create", "--username", name, "--role", role, "--firstname", "A", "--lastname", "B",
        "--email", f"{name}@localhost", "--password", password,
    )  # fmt: skip
    assert created.returncode == 0, created.stderr[-2000:]


def post_form(browser: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Open a page with a form, and send the form with its CSRF token."""
    page = browser.get(path, follow_redirects=True)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert token, page.text[:500]
    return browser.post(page.url, data={"csrf_token": token[1], **fields}, follow_redirects=False)


def log_in(browser: httpx.Client, name: str, password: str) -> httpx.Response:
    return post_form(browser, "/auth/login/", username=name, password=password)


def change_password(browser: httpx.Client, current: str, new: str) -> httpx.Response:
    fields = {"current": current, "password": new, "conf_password": new}
    return post_form(browser, PASSWORD_PAGE, **fields)


def add_user(server: Production, admin: httpx.Client, name: str, password: str) -> httpx.Response:
    [[role]] = server.query("select id from ab_role where name = 'Viewer'")
    fields = {"first_name": "A", "last_name": "B", "username": name, "email": f"{name}@localhost.test", "active": "y"}
    return post_form(admin, "/auth/users/add", roles=str(role), password=password, conf_password=password, **fields)


def edit_session(server: Production, browser: httpx.Client, *, login_age_s: float = 0, idle_s: float = 0) -> None:
    """Move the session of a browser into the past: its login, when the user authenticated, and its last use."""
    where = browser.cookies["session"].partition(".")[0]
    at = time.time() - login_age_s
    moved_login = {"_login_at": at, "_authenticated_at": at}
    [[data, expiry]] = server.query("select data, expiry from session where session_id = ?", where)
    content = msgspec.msgpack.encode(msgspec.msgpack.decode(data) | moved_login)
    moved = (datetime.fromisoformat(expiry) - timedelta(seconds=idle_s)).isoformat(" ")
    server.query("update session set data = ?, expiry = ? where session_id = ?", content, moved, where)


def is_logged_in(browser: httpx.Client) -> bool:
    """Whether FAB gives out a token for Airflow's pages."""
    return "_token=ey" in str(browser.get("/auth/").headers.get_list("set-cookie"))


def read_lifetime(token: str) -> int:
    claims = jwt.decode(token, options={"verify_signature": False})
    return int(claims["exp"] - claims["iat"])


def list_addresses(browser: httpx.Client, page: str = SESSIONS) -> set[str]:
    return set(re.findall(r"<td[^>]*>(198\.51\.100\.\d+)</td>", browser.get(page).text))


def end_session(browser: httpx.Client, address: str, page: str = SESSIONS) -> httpx.Response:
    """End the session that the page lists with an address; `others` ends all others."""
    return end_row(browser, "others" if address == "others" else find_row(browser, address, page))


def find_row(browser: httpx.Client, address: str, page: str = SESSIONS) -> str:
    [row] = re.findall(
        rf'<td[^>]*>{address}</td>\s*<td[^>]*>[^<]*</td>\s*<td>\s*<button[^>]*value="(\d+)"', browser.get(page).text
    )
    return str(row)


def end_row(browser: httpx.Client, row: str) -> httpx.Response:
    token = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get(SESSIONS).text)[0]
    return browser.post(f"{SESSIONS}end", data={"csrf_token": token, "session": row})
