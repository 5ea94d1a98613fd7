"""The identity URL and the userinfo endpoint. Both describe the user of a token and list the URLs of the org's services."""

from typing import Any

from sandbox.salesforce.org import ORG_ID, Org
from sandbox.salesforce.soql_dates import TIME_ZONE
from sandbox.salesforce.store import Body, load_records
from sandbox.salesforce.values import complete_id


def identity_url(base: str, user_id: str) -> str:
    """Return the identity URL of a user."""
    return f"{base}/id/{ORG_ID}/{user_id}"


def describe_identity(org: Org, base: str, org_id: str, user_id: str) -> dict[str, Any] | None:
    """Return the response of a user's identity URL; None if this is not the org's id or the org has no such user."""
    user = _find_user(org, complete_id(user_id)) if complete_id(org_id) == ORG_ID else None
    if user is None:
        return None
    return {
        "id": identity_url(base, user["Id"]),
        "asserted_user": True,
        "user_id": user["Id"],
        "organization_id": ORG_ID,
        "username": user["Username"],
        "nick_name": _nickname(user),
        "display_name": _name(user),
        "email": user["Email"],
        "email_verified": True,
        "first_name": user.get("FirstName"),
        "last_name": user["LastName"],
        "timezone": TIME_ZONE.key,
        "photos": {"picture": None, "thumbnail": None},
        "addr_street": None,
        "addr_city": None,
        "addr_state": None,
        "addr_country": "US",
        "addr_zip": None,
        "mobile_phone": None,
        "mobile_phone_verified": False,
        "is_lightning_login_user": False,
        "status": {"created_date": None, "body": None},
        **_shared(org, user, base),
        "last_modified_date": user["LastModifiedDate"],
    }


def describe_userinfo(org: Org, base: str, user_id: str) -> dict[str, Any]:
    """Return the response of the userinfo endpoint: the OpenID Connect claims of a user."""
    user = _find_user(org, user_id)
    assert user is not None, "a session's user is never deleted"
    return {
        "sub": identity_url(base, user_id),
        "user_id": user_id,
        "organization_id": ORG_ID,
        "preferred_username": user["Username"],
        "nickname": _nickname(user),
        "name": _name(user),
        "email": user["Email"],
        "email_verified": True,
        "given_name": user.get("FirstName"),
        "family_name": user["LastName"],
        "zoneinfo": TIME_ZONE.key,
        "photos": {"picture": None, "thumbnail": None},
        "address": {"country": "US"},
        "is_salesforce_integration_user": False,
        **_shared(org, user, base),
        "updated_at": user["LastModifiedDate"],
    }


def _shared(org: Org, user: Body, base: str) -> dict[str, Any]:
    data = f"{base}/services/data/v{{version}}/"
    offset = TIME_ZONE.utcoffset(org.clock.now().replace(month=1, day=1, tzinfo=None))
    assert offset is not None
    return {
        # A real org also lists SOAP, search, Chatter and tooling.
        "urls": {"rest": data, "sobjects": f"{data}sobjects/", "query": f"{data}query/", "custom_domain": base},
        "active": user.get("IsActive", True),
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": int(offset.total_seconds() * 1000),
        "is_app_installed": True,
    }


def _find_user(org: Org, user_id: str) -> Body | None:
    if org.store.object_of(user_id) != "User":
        return None
    with org.store.read() as connection:
        return load_records(connection, [user_id]).get(user_id)


def _name(user: Body) -> str:
    return " ".join(part for part in (user.get("FirstName"), user["LastName"]) if part)


def _nickname(user: Body) -> str:
    return str(user["Username"]).partition("@")[0]
