"""Adobe Acrobat Sign's `/webhooks`: create, read, update, deactivate, activate and delete webhooks.

Documented:

- The fields and the error codes.
- The verification of intent before a webhook is created or activated: the receiver must confirm it.
- Every change needs `If-Match`.
- Two active webhooks must not be identical.

Our choices:

- BAD_REQUEST if the verification fails.
- Only the administrator may create webhooks for the account, and sees the webhooks of all users.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from sandbox.adobe_sign.endpoint import Authorizer, Call, answer, read_etag, write_etag
from sandbox.adobe_sign.ids import write_id
from sandbox.adobe_sign.login import CLIENT_ID, write_error
from sandbox.adobe_sign.webhook_body import RESOURCES, SCOPES, read_object, read_webhook, refuse
from sandbox.adobe_sign.webhooks import Webhooks, verify_intent
from sandbox.server.response import Refused, reply, write_moment
from sandbox.server.rows import dump

Row = dict[str, Any]

_HIDDEN = ("creator", "clientId")
_LISTED = [
    "id",
    "name",
    "scope",
    "status",
    "lastModified",
    "resourceId",
    "resourceType",
    "webhookSubscriptionEvents",
    "webhookUrlInfo",
]
_ALIKE = ("webhookUrlInfo", "scope", "resourceType", "resourceId", "clientId")


def add_webhook_routes(
    app: FastAPI,
    api: str,
    authorizer: Authorizer,
    webhooks: Webhooks,
    users: Callable[[], list[Row]],
    has: Callable[[str], bool],
) -> None:
    """Add the routes of webhooks to `app`.

    Args:
        app: The application.
        api: Path with which the routes begin.
        authorizer: Authorizes requests.
        webhooks: The account's webhooks.
        users: Returns the account's users.
        has: Whether an agreement with this id exists.
    """
    desk = _Desk(authorizer, webhooks, has)

    @app.get(api + "/webhooks")
    def list_webhooks(request: Request) -> Response:
        call = authorizer.open(
            request, users(), showInActiveWebhooks="", scope="", resourceType="", cursor="", pageSize=""
        )
        return desk.list(call)

    @app.post(api + "/webhooks")
    async def create(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(lambda: desk.create(authorizer.open(request, users()), body))

    @app.get(api + "/webhooks/{webhook_id}")
    def read(request: Request, webhook_id: str) -> Response:
        call = authorizer.open(request, users(), has_etag=True)
        return answer(call, _show(desk.find(call, webhook_id)))

    @app.put(api + "/webhooks/{webhook_id}")
    async def change(request: Request, webhook_id: str) -> Response:
        body = await request.body()
        return await run_in_threadpool(lambda: desk.change(authorizer.open(request, users()), webhook_id, body))

    @app.put(api + "/webhooks/{webhook_id}/state")
    async def turn(request: Request, webhook_id: str) -> Response:
        body = await request.body()
        return await run_in_threadpool(lambda: desk.turn(authorizer.open(request, users()), webhook_id, body))

    @app.delete(api + "/webhooks/{webhook_id}")
    def delete(request: Request, webhook_id: str) -> Response:
        call = authorizer.open(request, users())
        webhooks.delete(desk.find_matched(call, webhook_id)["id"])
        return Response()


class _Desk:
    def __init__(self, authorizer: Authorizer, webhooks: Webhooks, has: Callable[[str], bool]) -> None:
        self.authorizer, self.webhooks, self.has = authorizer, webhooks, has

    def list(self, call: Call) -> Response:
        query = call.query
        for name, allowed in (("scope", SCOPES), ("resourceType", RESOURCES)):
            if query[name] not in ("", *allowed):
                raise refuse("BAD_REQUEST", f"{name} must be one of {', '.join(allowed)}")
        with_inactive = call.is_true("showInActiveWebhooks")
        rows = [
            {name: row[name] for name in _LISTED if name in row}
            for row in self.webhooks.list()
            if _is_seen(call, row)
            and (with_inactive or row["status"] == "ACTIVE")
            and query["scope"] in ("", row["scope"])
            and query["resourceType"] in ("", row.get("resourceType"))
        ]
        return self.authorizer.list_page(call, "userWebhookList", rows)

    def create(self, call: Call, body: bytes) -> Response:
        values = read_webhook(body, self.has)
        if values["scope"] == "ACCOUNT" and not call.user["isAccountAdmin"]:
            raise Refused(
                403, write_error("PERMISSION_DENIED", "Only an administrator can create webhooks for the account.")
            )
        now = write_moment(self.authorizer.clock.now())
        webhook = values | {"status": "ACTIVE", "created": now, "lastModified": now, "creator": call.user["email"]}
        webhook |= {"applicationName": "Tributary", "applicationDisplayName": "Tributary", "clientId": CLIENT_ID}
        self._check_unlike(webhook)
        self._verify(webhook)
        webhook["id"] = write_id("webhook", now, len(self.webhooks.list()), dump(values))
        self.webhooks.save(webhook)
        response = reply({"id": webhook["id"]}, 201)
        response.headers["Location"] = f"{call.request.url.replace(query='')}/{webhook['id']}"
        return response

    def change(self, call: Call, id_: str, body: bytes) -> Response:
        webhook = self.find_matched(call, id_)
        values = read_webhook(body, self.has)
        fixed = ("webhookUrlInfo", "scope", "resourceType", "resourceId")
        if any(values.get(name) != webhook.get(name) for name in fixed):
            raise refuse("UPDATE_NOT_ALLOWED", "The address, scope and resource of a webhook cannot be changed.")
        changed = webhook | values | {"lastModified": write_moment(self.authorizer.clock.now())}
        self._check_unlike(changed)
        self.webhooks.save(changed)
        return Response()

    def turn(self, call: Call, id_: str, body: bytes) -> Response:
        webhook = self.find_matched(call, id_)
        state = read_object(body).get("state")
        if state is None:
            raise refuse("MISSING_REQUIRED_PARAM", "Required parameters are missing.")
        if state not in ("ACTIVE", "INACTIVE"):
            raise refuse("INVALID_ARGUMENTS", "state must be ACTIVE or INACTIVE")
        changed = webhook | {"status": state, "lastModified": write_moment(self.authorizer.clock.now())}
        if state == "ACTIVE" and webhook["status"] != "ACTIVE":
            self._check_unlike(changed)
            self._verify(changed)
        self.webhooks.save(changed)
        return Response()

    def find(self, call: Call, id_: str) -> Row:
        webhook = self.webhooks.find(id_)
        if webhook is None:
            raise Refused(404, write_error("INVALID_WEBHOOK_ID", "The webhook id specified is invalid."))
        if not _is_seen(call, webhook):
            raise Refused(403, write_error("PERMISSION_DENIED", "The webhook belongs to another user."))
        return webhook

    def find_matched(self, call: Call, id_: str) -> Row:
        """Return a webhook for a change; raise `Refused`: 400 without `If-Match`, 412 if its ETag is not current."""
        webhook, etag = self.find(call, id_), read_etag(call.request, "if-match")
        if not etag:
            raise refuse("MISSING_IF_MATCH_HEADER", "If-Match header missing.")
        if etag not in ("*", write_etag(dump(_show(webhook)))):
            raise Refused(412, write_error("RESOURCE_MODIFIED", "Resource is already modified with newer version"))
        return webhook

    def _check_unlike(self, webhook: Row) -> None:
        names = (*_ALIKE, "creator") if webhook["scope"] in ("USER", "RESOURCE") else _ALIKE
        events = set(webhook["webhookSubscriptionEvents"])
        for other in self.webhooks.list():
            is_same = all(other.get(name) == webhook.get(name) for name in names)
            is_other = other["status"] == "ACTIVE" and other["id"] != webhook.get("id")
            if is_same and is_other and events == set(other["webhookSubscriptionEvents"]):
                message = "There is already a webhook registered with same configuration."
                raise refuse("DUPLICATE_WEBHOOK_CONFIGURATION", message)

    def _verify(self, webhook: Row) -> None:
        if not verify_intent(webhook["webhookUrlInfo"]["url"], webhook["clientId"]):
            raise refuse("BAD_REQUEST", "The webhook url did not confirm that it wants notifications.")


def _is_seen(call: Call, webhook: Row) -> bool:
    return bool(call.user["isAccountAdmin"] or webhook["creator"] == call.user["email"])


def _show(webhook: Row) -> Row:
    return {name: value for name, value in webhook.items() if name not in _HIDDEN}
