"""The surface of DocuSign: the part of its API document that the sandbox serves."""

import time

import jwt
import requests

from sandbox.docusign.login import GRANT, SCOPES
from sandbox.server.surface import Caller, Surface


def _log_in(url: str) -> Caller:
    extra = requests.get(f"{url}/_sandbox/connections", timeout=10).json()["docusign"]["extra"]
    claims = {"iss": extra["integration_key"], "sub": extra["user_id"], "aud": extra["auth_host"]}
    claims |= {"exp": int(time.time()) + 600, "scope": " ".join(SCOPES)}
    form = {"grant_type": GRANT, "assertion": jwt.encode(claims, extra["private_key"], algorithm="RS256")}
    token = requests.post(extra["token_url"], data=form, timeout=10).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    root = f"{url}/docusign/restapi/v2.1/accounts/{extra['account_id']}"
    parameters = {"from_date": "2020-01-01T00:00:00Z", "count": "8"}
    listed = requests.get(f"{root}/envelopes", headers=headers, params=parameters, timeout=30).json()["envelopes"]
    config = {"urlToPublishTo": "http://127.0.0.1:9/", "allUsers": "true", "enableLog": "true", "name": "Conformance"}
    created = [requests.post(f"{root}/connect", headers=headers, json=config, timeout=10).json() for _ in range(8)]
    envelope_ids = [envelope["envelopeId"] for envelope in listed]
    dates = ["2020-01-01T00:00:00Z", "2026-09-01", "9/15/2026 12:00:00 AM"]
    return Caller(
        headers,
        {
            "accountId": [extra["account_id"]],
            "envelopeId": envelope_ids,
            "documentId": ["1", "combined", "certificate"],
            "connectId": [each["connectId"] for each in created],
            "from_date": dates,
            "to_date": ["2035-01-01T00:00:00Z"],
            "envelope_ids": [",".join(envelope_ids[:3]), "request_body"],
            "status": ["any", "completed,sent", "created", "voided"],
            "from_to_status": ["changed", "Completed", "sent", "timedout"],
            "include": ["recipients", "custom_fields,documents", "folders, extensions"],
            "exclude": ["folders", "recipients,powerforms"],
            "order": ["asc", "desc"],
            "order_by": ["last_modified", "created"],
            "start_position": ["0", "2"],
            "count": ["1", "5"],
            "custom_field": ["Purpose=account opening"],
            "last_queried_date": ["2035-01-01T00:00:00Z"],
        },
        {
            "connectCustomConfiguration": {
                "connectId": [created[-1]["connectId"]],
                "urlToPublishTo": [config["urlToPublishTo"]],
                "deliveryMode": ["SIM"],
                "events": [["envelope-completed"], []],
                "eventData": [{"version": "restv2.1", "includeData": ["recipients"]}],
            },
            "connectFailureFilter": {"envelopeIds": [envelope_ids[:2], []], "synchronous": ["false"]},
        },
    )


_ACCOUNT = "/v2.1/accounts/{accountId}"
SURFACE = Surface(
    document="docusign-esignature.rest.swagger-v2.1.*.json",
    root="/docusign/restapi",
    routes={
        f"{_ACCOUNT}/envelopes": ("get",),
        f"{_ACCOUNT}/envelopes/status": ("put",),
        f"{_ACCOUNT}/envelopes/{{envelopeId}}": ("get",),
        f"{_ACCOUNT}/envelopes/{{envelopeId}}/recipients": ("get",),
        f"{_ACCOUNT}/envelopes/{{envelopeId}}/documents": ("get",),
        f"{_ACCOUNT}/envelopes/{{envelopeId}}/documents/{{documentId}}": ("get",),
        f"{_ACCOUNT}/envelopes/{{envelopeId}}/audit_events": ("get",),
        f"{_ACCOUNT}/templates": ("get",),
        f"{_ACCOUNT}/connect": ("get", "post", "put"),
        f"{_ACCOUNT}/connect/{{connectId}}": ("get", "delete"),
        f"{_ACCOUNT}/connect/logs": ("get",),
        f"{_ACCOUNT}/connect/failures": ("get",),
        f"{_ACCOUNT}/connect/envelopes/{{envelopeId}}/retry_queue": ("put",),
        f"{_ACCOUNT}/connect/envelopes/retry_queue": ("put",),
    },
    log_in=_log_in,
    missing=("offlineAttributes", "newAccountRequest"),
    refused=frozenset(
        [
            *(
                "ac_status",
                "block",
                "cdse_mode",
                "continuation_token",
                "email",
                "user_name",
                "folder_ids",
                "user_id",
            ),
            *(
                "folder_types",
                "include_purge_information",
                "intersecting_folder_ids",
                "powerformids",
                "query_budget",
            ),
            *("requester_date_format", "transaction_ids", "user_filter", "advanced_update", "documents_by_userid"),
            *(
                "recipient_id",
                "shared_user_id",
                "encrypt",
                "is_deleted_template_only",
                "is_download",
                "search_fields",
            ),
            *("shared_by_me", "template_ids"),
        ]
    ),
)
