"""Connect's administration: configurations, logs, failures and republishing.

Documented:

- The paths and fields.
- At most 20 configurations per account.
- `allowEnvelopePublish` is false unless it is set.
- The address of a configuration must be https.
- The logs have only configurations with `enableLog`: the last 100 messages of the last 15 days.

Our choices:

- http is allowed if the address is on the loopback.
- The only delivery mode is SIM.
- A PUT leaves the fields that it omits unchanged.
- A message that waits for a retry counts as a failure.
- Deleting a configuration deletes its messages.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from sqlite3 import Row
from typing import Any
from urllib.parse import urlsplit

import orjson
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from sandbox.docusign import query as docusign_query
from sandbox.docusign.connect import Sender
from sandbox.docusign.limits import refuse
from sandbox.docusign.message import EVENTS, INCLUDED
from sandbox.docusign.office import Office
from sandbox.docusign.rows import ACCOUNT_ID
from sandbox.docusign.stamps import read_ticks, write_stamp
from sandbox.server.response import reply

CONFIGURATIONS, LOGS, LOG_DAYS = 20, 100, 15
_DEFAULTS = {
    "configurationType": "custom",
    "name": "",
    "allowEnvelopePublish": "false",
    "deliveryMode": "SIM",
    "enableLog": "false",
    "allUsers": "false",
    "includeHMAC": "false",
    "requiresAcknowledgement": "false",
    "events": [],
}
_LISTS = ("events", "envelopeEvents", "recipientEvents", "userIds", "senderSelectableItems")
_FAILED = "select * from message where state = 'failed' or (state = 'waiting' and error != '') order by id"
_TRIED = "select * from message where tried_at is not null order by tried_at desc, id desc limit ?"
Config = dict[str, Any]


def add_routes(app: FastAPI, office: Office, root: str) -> None:
    """Add Connect's routes to `app`. `root` is the path of the account."""
    sender = office.sender

    @app.get(root + "/connect")
    def list_configs(request: Request) -> Response:
        docusign_query.read(request, ())
        return reply(_write_configs(sender.list_configs()))

    @app.post(root + "/connect")
    async def add_config(request: Request) -> Response:
        body = await read_body(request)
        return reply(await run_in_threadpool(_save_config, sender, None, body), 201)

    @app.put(root + "/connect")
    async def change_config(request: Request) -> Response:
        body = await read_body(request)
        return reply(await run_in_threadpool(_save_config, sender, str(body.get("connectId", "")), body))

    @app.get(root + "/connect/logs")
    def list_logs(request: Request) -> Response:
        logged = [id_ for id_, config in sender.list_configs() if config["enableLog"] == "true"]
        since = office.clock.now().timestamp() - LOG_DAYS * 86_400
        rows = [
            row for row in sender.store.read(_TRIED, LOGS) if row["config_id"] in logged and row["tried_at"] > since
        ]
        return reply(_write_logs(office, request, "logs", rows))

    @app.get(root + "/connect/failures")
    def list_failures(request: Request) -> Response:
        return reply(_write_logs(office, request, "failures", sender.store.read(_FAILED)))

    @app.put(root + "/connect/envelopes/retry_queue")
    async def republish_several(request: Request) -> Response:
        body = await read_body(request)
        ids = body.get("envelopeIds", [])
        if not isinstance(ids, list) or body.get("synchronous", "false") != "false":
            raise refuse(400, "INVALID_REQUEST_BODY", "envelopeIds must be a list, and synchronous false.")
        return reply(await run_in_threadpool(_republish, office, ids))

    @app.put(root + "/connect/envelopes/{envelope_id}/retry_queue")
    def republish(request: Request, envelope_id: str) -> Response:
        return reply(_republish(office, [envelope_id]))

    @app.get(root + "/connect/{connect_id}")
    def get_config(request: Request, connect_id: str) -> Response:
        docusign_query.read(request, ())
        return reply(_write_configs([_find(sender, connect_id)]))

    @app.delete(root + "/connect/{connect_id}")
    def delete_config(request: Request, connect_id: str) -> Response:
        id_ = _find(sender, connect_id)[0]
        with sender.store.write() as connection:
            connection.execute("delete from config where id = ?", (id_,))
            connection.execute("delete from message where config_id = ?", (id_,))
        return Response(media_type="application/json")


async def read_body(request: Request) -> dict[str, Any]:
    """Parse the JSON object in the body of a request.

    Raises:
        Refused: 400, if the body is not a JSON object.
    """
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise refuse(400, "INVALID_REQUEST_BODY", "The request body is missing or improperly formatted.") from error
    if not isinstance(body, dict):
        raise refuse(400, "INVALID_REQUEST_BODY", "The request body is not an object.")
    return body


def _find(sender: Sender, connect_id: str) -> tuple[int, Config]:
    for id_, config in sender.list_configs():
        if str(id_) == connect_id:
            return id_, config
    raise refuse(404, "CONNECT_CONFIGURATION_NOT_FOUND", "There is no such Connect configuration.")


def _write_configs(configs: Iterable[tuple[int, Config]]) -> Config:
    rows = [{"connectId": str(id_)} | config for id_, config in configs]
    return {"configurations": rows, "totalRecords": str(len(rows))}


def _save_config(sender: Sender, connect_id: str | None, values: Config) -> Config:
    values = {name: value for name, value in values.items() if name != "connectId" and value is not None}
    with sender.store.write() as connection:
        current: tuple[int | None, Config] = (None, _DEFAULTS) if connect_id is None else _find(sender, connect_id)
        config = current[1] | values
        _check(config)
        if current[0] is None and len(sender.list_configs()) >= CONFIGURATIONS:
            raise _create_bad_request(f"An account has at most {CONFIGURATIONS} configurations.")
        sql = "insert or replace into config (id, body) values (?, ?) returning id"
        id_ = connection.execute(sql, (current[0], orjson.dumps(config).decode())).fetchone()[0]
    return {"connectId": str(id_)} | config


def _check(config: Config) -> None:
    for name, value in config.items():
        if name in _LISTS and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
            raise _create_bad_request(f"{name} must be a list of strings.")
        if name not in (*_LISTS, "eventData", "sfObjects") and not isinstance(value, str):
            raise _create_bad_request(f"{name} must be a string.")
    if config.get("sfObjects", []) != []:
        raise _create_bad_request("This account does not send to Salesforce.")
    data = config.get("eventData", {})
    if not isinstance(data, dict) or data.get("format", "json") != "json":
        raise _create_bad_request("eventData must be an object with format json.")
    included = data.get("includeData", [])
    if not isinstance(included, list) or not set(map(str, included)) <= {*INCLUDED, "payment_tabs", "prefill_tabs"}:
        raise _create_bad_request("eventData.includeData has an unknown value.")
    if config["deliveryMode"] != "SIM" or data.get("version", "restv2.1") != "restv2.1":
        raise _create_bad_request("This account supports only deliveryMode SIM and restv2.1.")
    if unknown := sorted(set(config["events"]) - EVENTS):
        raise _create_bad_request(f"Unknown event {unknown[0]!r}.")
    if not _is_address(config.get("urlToPublishTo", "")):
        raise _create_bad_request("urlToPublishTo must begin with https://.")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in ("127.0.0.1", "localhost", "::1"))
    )


def _create_bad_request(message: str) -> Exception:
    return refuse(400, "INVALID_CONNECT_CONFIGURATION", message)


def _write_logs(office: Office, request: Request, name: str, rows: Iterable[Row]) -> Config:
    query = docusign_query.read(request, ("from_date", "to_date"))
    urls = {id_: config["urlToPublishTo"] for id_, config in office.sender.list_configs()}
    logs = [_write_log(row, urls.get(row["config_id"], "")) for row in rows]
    for parameter, is_start in (("from_date", True), ("to_date", False)):
        if parameter in query:
            limit = docusign_query.read_date(query, parameter)
            logs = [log for log in logs if (read_ticks(log["created"]) >= limit) is is_start]
    return {name: logs, "totalRecords": str(len(logs))}


def _write_log(row: Row, url: str) -> Config:
    envelope = orjson.loads(row["envelope"])
    log = {
        "accountId": ACCOUNT_ID,
        "configUrl": url,
        "connectId": str(row["config_id"]),
        "created": row["generated_at"],
        "email": envelope["sender"]["email"],
        "userName": envelope["sender"]["userName"],
        "envelopeId": row["envelope_id"],
        "subject": envelope["emailSubject"],
        "status": envelope["status"].capitalize(),
        "retryCount": str(row["retry_count"]),
        "retryUri": f"/connect/envelopes/{row['envelope_id']}/retry_queue",
        "failureId" if row["error"] else "logId": str(row["id"]),
    }
    if row["tried_at"] is not None:
        log["lastTry"] = write_stamp(datetime.fromtimestamp(row["tried_at"], UTC))
    return log | ({"error": row["error"]} if row["error"] else {})


def _republish(office: Office, envelope_ids: Iterable[Any]) -> Config:
    queue = []
    for envelope in [office.find_envelope(str(envelope_id)) for envelope_id in envelope_ids]:
        for id_, config in office.sender.republish(envelope):
            queue.append(
                {
                    "configId": str(id_),
                    "configUrl": config["urlToPublishTo"],
                    "envelopeId": envelope["envelopeId"],
                    "status": "queued",
                }
            )
    return {"retryQueue": queue}
