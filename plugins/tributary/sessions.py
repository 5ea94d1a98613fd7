"""The page on which users see and end their own sessions, and administrators those of all users; a part of sign-on in production.

FAB stores each session in Airflow's database. What it does not store is added here: the address and the browser of the login, when the user
authenticated, and which tokens for Airflow's pages were made from the session. These tokens are revoked with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import sqlalchemy as sa
from airflow.models.revoked_token import RevokedToken
from airflow.providers.fab.www.extensions.init_session import SESSION_LOGIN_TIME_KEY, get_max_session_lifetime_seconds
from airflow.providers.fab.www.security.permissions import ACTION_CAN_EDIT, RESOURCE_USER
from flask import current_app, flash, g, redirect, request, session, url_for
from flask_appbuilder import BaseView, expose
from flask_login import logout_user

from include.sign_on.browsers import describe_browser

RECENT_S = 300
"""Maximum number of seconds since the user authenticated, for ending a session: the browser may have been left open."""
PAGE = "/security/sessions"

_AUTHENTICATED_AT, _ADDRESS, _AGENT, _JTIS, _AGAIN = "_authenticated_at", "_address", "_agent", "_jtis", "_again"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that has not ended.

    Attributes:
        row_id: Id of its row in Airflow's table `session`.
        user: Name of the user.
        began_at: When the user signed in.
        used_at: When a page of FAB last used it. Airflow's pages do so every 15 minutes.
        address: IP address of the login; empty if unknown.
        agent: The browser, as it describes itself; empty if unknown.
        is_this: Whether it is the session of the current request.
        jtis: The tokens for Airflow's pages that were made from it: expiry (Unix time) by id.
    """

    row_id: int
    user: str
    began_at: datetime
    used_at: datetime
    address: str
    agent: str
    is_this: bool
    jtis: Mapping[str, float]


def begin(authenticated_at: float | None) -> None:
    """Record in the session of a new login its address, its browser, and when the user authenticated.

    Args:
        authenticated_at: Unix time; None if the identity provider does not state it. If None, the current time is recorded if the provider had
            to ask the user, and otherwise no time.
    """
    was_asked = session.pop(_AGAIN, False)
    session[_AUTHENTICATED_AT] = authenticated_at or (time.time() if was_asked else 0)
    session[_ADDRESS] = request.remote_addr or ""
    session[_AGENT] = request.user_agent.string[:300]


def record_token(token: str) -> None:
    """Record a new token for Airflow's pages in the session of the current request."""
    claims = jwt.decode(token, options={"verify_signature": False})
    unexpired = {jti: exp for jti, exp in session.get(_JTIS, {}).items() if exp > time.time()}
    session[_JTIS] = unexpired | {claims["jti"]: claims["exp"]}


def must_authenticate_again() -> bool:
    """Return whether the next login must ask the user to authenticate, even if the identity provider has a session."""
    return bool(session.get(_AGAIN))


class SessionsView(BaseView):
    """The page, and its actions."""

    route_base = "/sessions"
    default_view = "show"
    template_folder = str(Path(__file__).parent / "templates")

    @expose("/")
    def show(self) -> Any:
        """Return the page with the user's sessions; with `?all=1`, an administrator sees those of all users."""
        if not g.user.is_authenticated:
            return redirect(self.appbuilder.get_url_for_login)
        is_admin = _is_admin()
        shows_all = is_admin and "all" in request.args
        found = [each for each in self._list_sessions() if shows_all or each.user == g.user.username]
        return self.render_template(
            "tributary_sessions.html", sessions=found, is_admin=is_admin, shows_all=shows_all, is_recent=_is_recent(),
            describe_browser=describe_browser,
        )  # fmt: skip

    @expose("/end", methods=["POST"])
    def end(self) -> Any:
        """End the session whose id is in the form; without an id, all other sessions of the user. Record it in the audit trail.

        If the user has not logged in recently, end no session and ask for a new login.
        """
        if not g.user.is_authenticated:
            return redirect(self.appbuilder.get_url_for_login)
        if not _is_recent():
            flash("Sign in again before you end a session.", "warning")
            return redirect(url_for(f"{self.endpoint}.show"))
        ended = self._select(request.form.get("session", ""))
        _delete(ended)
        for user in {each.user for each in ended}:
            count = sum(each.user == user for each in ended)
            self.appbuilder.sm.record_ended_sessions(g.user.username, user, count)
        flash(f"Sessions ended: {len(ended)}." if ended else "Session not found.", "info")
        return redirect(url_for(f"{self.endpoint}.show", **({"all": 1} if request.form.get("all") else {})))

    @expose("/again", methods=["POST"])
    def sign_in_again(self) -> Any:
        """End this session, and redirect to the login page, which leads back to this page."""
        if g.user.is_authenticated:
            user = self.appbuilder.sm.find_user(username=g.user.username)
            _revoke(session.pop(_JTIS, {}))
            logout_user()
            self.appbuilder.sm.on_user_logout(user)
        session[_AGAIN] = True
        return redirect(f"{self.appbuilder.get_url_for_login}?next={PAGE}")

    def _select(self, chosen: str) -> list[OpenSession]:
        """Return the sessions to end: `others`, or the one with an id that the user may end."""
        found = [each for each in self._list_sessions() if not each.is_this]
        own = [each for each in found if each.user == g.user.username]
        if chosen == "others":
            return own
        return [each for each in (found if _is_admin() else own) if str(each.row_id) == chosen]

    def _list_sessions(self) -> list[OpenSession]:
        """Return the sessions that have not ended, the last used first."""
        names = {str(user.id): user.username for user in self.appbuilder.sm.get_all_users()}
        interface: Any = current_app.session_interface
        model, now = interface.sql_session_model, datetime.now(UTC)
        rows = interface.client.session.scalars(sa.select(model).where(model.expiry > now.replace(tzinfo=None)))
        found = [_read(row, interface.serializer.decode(row.data), names) for row in rows]
        limit = get_max_session_lifetime_seconds()
        alive = [each for each in found if each and (now - each.began_at).total_seconds() < limit]
        return sorted(alive, key=lambda each: each.used_at, reverse=True)


def _read(row: Any, data: Mapping[str, Any], names: Mapping[str, str]) -> OpenSession | None:
    user = names.get(str(data.get("_user_id")))
    if user is None or SESSION_LOGIN_TIME_KEY not in data:
        return None  # no user has signed in
    return OpenSession(
        row.id, user, datetime.fromtimestamp(data[SESSION_LOGIN_TIME_KEY], UTC),
        row.expiry.replace(tzinfo=UTC) - current_app.permanent_session_lifetime,
        data.get(_ADDRESS, ""), data.get(_AGENT, ""), row.session_id == getattr(session, "sid", None), data.get(_JTIS, {}),
    )  # fmt: skip


def _delete(ended: Iterable[OpenSession]) -> None:
    interface: Any = current_app.session_interface
    model = interface.sql_session_model
    for each in ended:
        _revoke(each.jtis)
        interface.client.session.execute(sa.delete(model).where(model.id == each.row_id))
        interface.client.session.commit()


def _revoke(jtis: Mapping[str, float]) -> None:
    for jti, expires_at in jtis.items():
        RevokedToken.revoke(jti, datetime.fromtimestamp(expires_at, UTC))


def _is_recent() -> bool:
    return time.time() - float(session.get(_AUTHENTICATED_AT, 0)) < RECENT_S


def _is_admin() -> bool:
    """Return whether the user may change users, and so may end their sessions."""
    return bool(current_app.appbuilder.sm.has_access(ACTION_CAN_EDIT, RESOURCE_USER))
