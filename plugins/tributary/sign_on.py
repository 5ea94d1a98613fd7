"""Sign-on in production: FAB with an identity provider, or with local users whose passwords follow a policy.

FAB is Flask-AppBuilder, on which Airflow's provider `fab` builds its users and roles. `docker-compose.yaml` names the class
`SignOnFabAuthManager`, and `docker/webserver_config.py` names the class `SignOn`. Airflow does not load this module as a plugin, because
the demo has no FAB.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.common.types import ExtraMenuItem
from airflow.configuration import conf
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.auth_manager.models import User
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from airflow.providers.fab.auth_manager.views.auth_oauth import CustomAuthOAuthView
from airflow.providers.fab.auth_manager.views.user import CustomUserDBModelView
from airflow.providers.fab.auth_manager.views.user_edit import CustomResetMyPasswordView
from authlib.integrations.flask_client import FlaskOAuth2App
from flask import current_app, flash, g, has_request_context, redirect, request, session, url_for
from flask_appbuilder import expose
from flask_appbuilder.api import BaseApi
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from flask_appbuilder.security.forms import ResetPasswordForm
from flask_login import current_user
from werkzeug.security import check_password_hash, generate_password_hash
from wtforms import PasswordField, ValidationError

from include.errors import ConfigurationError
from include.sign_on import passwords
from include.sign_on.provider import Provider, bind, check_metadata, is_bound_to_another
from include.sign_on.record import Event, record
from tributary import audit, sessions

log = logging.getLogger(__name__)

ACTIONS: dict[Event, str] = {
    "login": "user.signed_in", "login failed": "user.refused", "login refused": "user.refused", "logout": "user.signed_out",
    "session ended": "user.signed_out",
}  # fmt: skip

# Salt lengths. A first password is one that another person chose; its longer salt marks it. The mark ends when the password is replaced.
OWN_SALT, FIRST_SALT = 16, 24
HASHING = "scrypt:32768:8:3"  # N, r, p: takes 32 MB; the smallest cost that OWASP recommends
NO_PASSWORD = "!"  # noqa: S105 (no password has this hash)


def is_first(password_hash: str | None) -> bool:
    """Return whether this is the hash of a first password: one that another person chose, so the user must replace it."""
    parts = (password_hash or "").split("$")
    return len(parts) == 3 and len(parts[1]) == FIRST_SALT


def validate_password(password: str) -> None:
    """Check a password that is entered in a form of FAB. FAB's setting `FAB_PASSWORD_COMPLEXITY_VALIDATOR` names this function.

    Raises:
        PasswordComplexityValidationError: The policy refuses the password; the message states why.
    """
    current_app.appbuilder.sm.check_policy(password)


def _read_provider() -> Provider | None:
    return current_app.config["PROVIDER"]


def _record(event: Event, user: str | None, **details: object) -> None:
    """Log a sign-on, and add it to the audit trail. If our database is unavailable, the login succeeds, and the entry is only in the log."""
    address = request.remote_addr if has_request_context() else None
    record(event, user, address, **details)
    try:
        # If no user has the name, it may be a password that was typed into the wrong field.
        is_known = event != "login failed" or (user and current_app.appbuilder.sm.find_user(username=user))
        actor = user if user and is_known else "unknown"
        audit.record(actor, ACTIONS[event], "Airflow", event=event, address=address, **details)
    except Exception:
        log.exception("The audit trail lacks a sign-on, which the log has")


class OwnPasswordForm(ResetPasswordForm):
    """The form for a new password. Unlike FAB's form, it requires the current password."""

    current = PasswordField("Current password")

    def validate_current(self, field: Any) -> None:
        """Check the current password, so that another person can't change the password at a browser that was left open.

        Raises:
            ValidationError: The password is wrong.
        """
        if not check_password_hash(g.user.password or NO_PASSWORD, field.data or ""):
            raise ValidationError("This is not your current password.")


class OwnPasswordView(CustomResetMyPasswordView):
    """The page on which users change their password."""

    form = OwnPasswordForm


class LocalUserView(CustomUserDBModelView):
    """The pages on which administrators add and edit local users."""

    def pre_add(self, item: Any) -> None:
        """Check and hash the password of a new user. It is a first password, which the user must replace."""
        item.password = self.appbuilder.sm._hash_password(item.password)


class ProviderView(CustomAuthOAuthView):
    """The pages that redirect to the identity provider and receive its answer."""

    @expose("/login/")
    @expose("/login/<provider>")
    def login(self, provider: str | None = None) -> Any:
        """Redirect to the provider; show the login page instead if a page of another site led here, because the user must choose to log in."""
        is_chosen = request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        return super().login(provider if is_chosen else None)

    @expose("/oauth-authorized/<provider>")
    def oauth_authorized(self, provider: str) -> Any:
        """Handle the provider's answer; record a refusal that was not recorded yet."""
        response = super().oauth_authorized(provider)
        if not current_user.is_authenticated and not g.get("is_refusal_recorded"):
            _record("login refused", None, reason="the provider's answer was not accepted")
        return response


class ProviderClient(FlaskOAuth2App):
    """The client of the identity provider. It uses the addresses in the provider's metadata only if they are safe for secrets."""

    def load_server_metadata(self) -> dict[str, Any]:
        """Return the provider's metadata.

        Raises:
            ConfigurationError: An address is not https. The next login reads the metadata again.
        """
        metadata: dict[str, Any] = super().load_server_metadata()
        try:
            check_metadata(metadata)
        except ConfigurationError:
            metadata.pop("_loaded_at", None)
            raise
        return metadata

    def authorize_redirect(self, redirect_uri: str | None = None, **parameters: Any) -> Any:
        """Redirect to the provider; if the user wants to sign in again, request that the provider asks the user for it."""
        if sessions.must_authenticate_again():
            parameters |= {"prompt": "login", "max_age": sessions.RECENT_S}
        return super().authorize_redirect(redirect_uri, **parameters)


class NoLoginApi(BaseApi):
    """An API without routes. It replaces FAB's own login for programs, which has no limit on attempts."""

    resource_name = "security"


class SignOnFabAuthManager(FabAuthManager):
    """The auth manager for Airflow's pages and API. Its name must contain `FabAuthManager`: otherwise Airflow does not treat it as FAB."""

    def deserialize_user(self, token: dict[str, Any]) -> User:
        """Return the user of a token.

        Raises:
            ValueError: The user has a first password, and must replace it before anything else.
        """
        user = super().deserialize_user(token)
        if is_first(user.password):
            self.cache.clear()  # so that the new password opens the pages at once
            raise ValueError("The first password must be changed")
        return user

    def generate_jwt(self, user: User, **options: Any) -> str:
        """Return a token for Airflow's pages; record it in the session from which it is made."""
        token = super().generate_jwt(user, **options)
        if has_request_context():
            sessions.record_token(token)
        return token

    def is_authorized_view(self, *, access_view: AccessView, user: User) -> bool:
        """Return whether a user may see one of Airflow's views. Every user may list the plugins.

        From this list, Airflow shows *Operations* in its menu, on its home page and on the page of each run. FAB's own `Viewer` and `User`
        lack the right.
        """
        return access_view == AccessView.PLUGINS or bool(super().is_authorized_view(access_view=access_view, user=user))

    def get_extra_menu_items(self, *, user: User) -> list[ExtraMenuItem]:
        """Return the entries of the menu *Security*; every user has *Sessions*."""
        page = ExtraMenuItem(text="Sessions", href="/auth/sessions/")
        return [*super().get_extra_menu_items(user=user), page]

    def get_url_logout(self) -> str:
        """Return the URL of FAB's page that ends the session. FAB's default URL only removes the cookies, so a copied cookie stays valid."""
        return f"{super().get_url_logout()}/"


class SignOn(FabAirflowSecurityManagerOverride):
    """FAB's security manager, with the firm's rules about logins and passwords."""

    authoauthview = ProviderView
    resetmypasswordview = OwnPasswordView
    userdbmodelview = LocalUserView
    security_api = NoLoginApi

    def register_views(self) -> None:
        """Add FAB's pages, and the page of the sessions."""
        super().register_views()
        self.appbuilder.add_view_no_menu(sessions.SessionsView())

    @staticmethod
    def before_request() -> Any:
        """Redirect a user with a first password to the page for a new one; return None for every other request."""
        FabAirflowSecurityManagerOverride.before_request()
        allowed = (OwnPasswordView.__name__, "AuthDBView", "appbuilder", "static")
        view = (request.endpoint or "").partition(".")[0]
        if view in allowed or not is_first(getattr(g.user, "password", None)):
            return None
        flash("Choose a password of your own.", "info")
        return redirect(url_for(f"{OwnPasswordView.__name__}.this_form_get"))

    def check_policy(self, password: str) -> None:
        """Check a new password against the policy. A user's own new password must also differ from the current one.

        Raises:
            PasswordComplexityValidationError: The policy refuses the password; the message states why.
        """
        if _is_own_change() and check_password_hash(g.user.password or NO_PASSWORD, password):
            raise PasswordComplexityValidationError("The new password must differ from the current one.")
        users = [user.username for user in (*self.get_all_users(), *self.session.new) if isinstance(user, User)]
        entered = request.form.get("username", "") if has_request_context() else ""
        host = passwords.split_host(urlsplit(conf.get("api", "base_url")).hostname or "")
        if fault := passwords.find_fault(password, [*users, entered, *host]):
            raise PasswordComplexityValidationError(fault)

    def _hash_password(self, password: str) -> str:
        """Check and hash a password. Every way to set one calls this method: pages, API and command line.

        Raises:
            PasswordComplexityValidationError: The policy refuses the password.
        """
        self.check_policy(password)
        salt = OWN_SALT if _is_own_change() else FIRST_SALT
        return generate_password_hash(password, method=HASHING, salt_length=salt)

    def auth_user_db(self, username: str, password: str, rotate_session_id: bool = True) -> Any:
        """Log in a local user, and record the result. Return None if the login fails, or if an identity provider is configured."""
        if _read_provider():
            return _record("login refused", username, reason="users log in at the identity provider")
        user = super().auth_user_db(username, password, rotate_session_id)
        if user and has_request_context():
            sessions.begin(time.time())
        _record("login" if user else "login failed", user.username if user else username)
        return user

    def on_user_logout(self, user: User) -> None:
        """Record a logout."""
        _record("logout", user.username)

    def record_ended_sessions(self, by: str, user: str, count: int) -> None:
        """Record that a user ended a number of sessions: other ones of the same user, or those of another user."""
        _record("session ended", by, of=user, sessions=count)

    def _rotate_session_id(self) -> None:
        """Give the session of a new login another id, of 256 random bits; FAB's has 122."""
        session.sid = secrets.token_urlsafe(32)  # type: ignore[attr-defined]

    def get_oauth_user_info(self, provider: str, resp: Any) -> dict[str, Any]:
        """Return the user's name, subject and groups from the validated ID token.

        If the token lacks the claim of the user name or of the groups, the userinfo endpoint is requested for it.

        Raises:
            ValueError: The token is of another issuer or for another client, or the userinfo endpoint describes another user.
        """
        settings, claims = _read_provider(), dict(resp["userinfo"])
        settings.require_own(claims)
        if settings.groups_claim not in claims or settings.user_claim not in claims:
            more = self.oauth_remotes[provider].userinfo(token=resp)
            if more["sub"] != claims["sub"]:
                raise ValueError("the userinfo endpoint describes another user")
            claims = {**more, **claims}
        return {
            "username": claims.get(settings.user_claim),
            "first_name": claims.get("given_name", ""),
            "last_name": claims.get("family_name", ""),
            "subject": claims["sub"],
            "binding": bind(claims["iss"], claims["sub"]),
            "role_keys": settings.find_groups(claims),
            "weakness": settings.find_weakness(resp["userinfo"]),
            "authenticated_at": resp["userinfo"].get("auth_time"),
        }

    def set_oauth_session(self, provider: str, oauth_response: Any) -> None:
        """Do nothing, so that the provider's tokens are not stored in the session. They are used only at login."""

    def auth_user_oauth(self, userinfo: dict[str, Any], rotate_session_id: bool = True) -> Any:
        """Log in a user of the identity provider, with the roles of the user's groups. Create the user at the first login.

        The first login binds the user to the person at the provider. Record a refusal, and return None, if

        - the user is bound to another person,
        - the login was too weak,
        - the provider states no user name, or no group with a role, or
        - the user is inactive.
        """
        name, groups = userinfo["username"], userinfo["role_keys"]
        known = self.find_user(username=name) if name else None
        if known and is_bound_to_another(known.password, userinfo["binding"]):
            return self._refuse_another(userinfo)
        if userinfo["weakness"]:
            return self._refuse_weak(userinfo)
        if not name or not groups:
            self._refuse(known, userinfo)
            return None
        if known is None:
            roles = self._oauth_calculate_user_roles(userinfo)
            # The e-mail address is not needed, but must be unique.
            self.add_user(name, userinfo["first_name"], userinfo["last_name"], name, roles, hashed_password=NO_PASSWORD)
        user = super().auth_user_oauth(userinfo, rotate_session_id)
        if user is None:
            self._refuse(known, userinfo)
        else:
            user.password = userinfo["binding"]  # also removes a local password from before the identity provider
            self.update_user(user)
            sessions.begin(userinfo["authenticated_at"])
            _record("login", name, subject=userinfo["subject"], groups=groups)
        return user

    def _refuse_another(self, userinfo: dict[str, Any]) -> None:
        """Record the refusal of a person at the provider whose user name belongs to another person's user. Do not change that user."""
        g.is_refusal_recorded = True
        flash(
            f"The user {userinfo['username']} belongs to another account of the identity provider. Ask an administrator, who can allow your"
            " account by resetting the user's password.", "warning",
        )  # fmt: skip
        reason = "the user belongs to another account of the identity provider"
        _record("login refused", None, name=userinfo["username"], subject=userinfo["subject"], reason=reason)

    def _refuse_weak(self, userinfo: dict[str, Any]) -> None:
        """Record the refusal of a login that was weaker than the firm requires. Do not change the user, whose sessions were stronger."""
        g.is_refusal_recorded = True
        flash(
            "The identity provider reports a login without the second factor that is required here. Sign in there with your second factor; if you"
            " did, ask an administrator.", "warning",
        )  # fmt: skip
        reason = f"the login at the identity provider was too weak: {userinfo['weakness']}"
        _record("login refused", userinfo["username"], subject=userinfo["subject"], reason=reason)

    def _refuse(self, user: User | None, userinfo: dict[str, Any]) -> None:
        """Record a refusal. Remove the roles of a known user, and end the user's sessions."""
        g.is_refusal_recorded = True
        reason = "inactive user" if userinfo["role_keys"] and user else "no user name, or no group with a role"
        _record("login refused", userinfo["username"], subject=userinfo["subject"], reason=reason)
        if user:
            user.roles = []
            self.update_user(user)
            self.reset_user_sessions(user)


def _is_own_change() -> bool:
    """Return whether the current request is a user's change of the user's own password."""
    return has_request_context() and request.endpoint == f"{OwnPasswordView.__name__}.this_form_post"
