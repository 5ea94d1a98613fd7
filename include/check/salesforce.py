"""Check a Salesforce org against the mapping in force: login, objects, fields, picklists, record types, rights and limits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from include.check.certificate import check_certificate
from include.check.picklists import read_sent_values
from include.check.report import Finding, Findings
from include.check.rules import list_rules
from include.check.watcher import compare_own_clocks
from include.control.calls import CallLog
from include.control.clocks import Clocks
from include.crm.database import open_session
from include.crm.objects.changed import RECORD_OWNER
from include.crm.objects.mapping import CrmObject, Field
from include.crm.own_org import require_own_org
from include.crm.run import Org
from include.crm.salesforce import VENDOR, SalesforceSession
from include.errors import AuthenticationError, ConfigurationError, TributaryError

PATIENCE_S = 20.0
_DEPLOY = "Deploy what `python -m include.cli org plan` writes: see docs/how-to/setting_up_salesforce.md."
_RIGHTS = "Assign the permission set Tributary_Load to the integration user, and give it the right."
_TEXTS = ("string", "textarea", "picklist", "multipicklist", "phone", "email", "url", "combobox", "encryptedstring")
_TYPES = {"number": ("double", "currency", "percent", "int"), "flag": ("boolean",), "time": ("datetime",)}
_MOST_SHOWN = 8
_CURRENCY = "CurrencyIsoCode"

Describe = Mapping[str, Any]


def check_salesforce(
    org: Org, mappings: Sequence[CrmObject], run_id: str, describes: dict[str, Describe] | None = None
) -> list[Finding]:
    """Check an org; write nothing but the log of calls.

    Args:
        org: The connection, the settings and the database.
        mappings: The mapping in force.
        run_id: Id of the run, for the log of calls.
        describes: Receives the descriptions of the objects that the org has, by name; None if they are not needed.
    """
    findings = Findings()
    _check_session(org, findings)
    if not check_certificate(org.connection.url, findings):
        return findings.list()
    with SalesforceSession(org.connection, CallLog(org.engine, VENDOR, "", run_id), patience_s=PATIENCE_S) as session:
        try:
            ticket = session.find_ticket()
        except TributaryError as error:
            findings.add_error("login", error, "Correct the connection salesforce: see docs/reference/connections.md.")
            return findings.list()
        findings.add("login", "green", "The login works.")
        try:
            require_own_org(org.engine, ticket.org_id)
        except TributaryError as error:
            findings.add_error("org", error, "See docs/how-to/going_live.md: one installation for one org.")
        _check_limits(session, org, findings)
        find = functools.cache(lambda name: _describe(session, name, findings))
        usable = [(each, found) for each in mappings if (found := find(each.sobject)) is not None]
        if describes is not None:
            describes |= {each.sobject: found for each, found in usable}
        restricted = _list_restricted(usable)
        sent = read_sent_values(org, mappings, restricted)
        for mapping, describe in usable:
            _compare(mapping, describe, sent, findings)
            _check_links(mapping, describe, {each.sobject for each in mappings}, find, findings)
        for name in dict.fromkeys(mapping.sobject for mapping, _ in usable):
            same = [(mapping, describe) for mapping, describe in usable if mapping.sobject == name]
            _check_required(name, [mapping for mapping, _ in same], same[0][1], findings)
        _check_users(
            session, {name for m in mappings for f in m.fields if f.name == RECORD_OWNER for name in f.values}, findings
        )
        list_rules(session, {each.sobject for each in mappings}, findings)
    compare_own_clocks(Clocks(org.engine), findings)
    return findings.list()


def _check_session(org: Org, findings: Findings) -> None:
    try:
        with open_session(org.engine):
            findings.add("database session", "green", "A sync has a database session of its own.")
    except ConfigurationError as error:
        findings.add_error("database session", error, "See docs/how-to/pooling_connections.md.")


def _check_limits(session: SalesforceSession, org: Org, findings: Findings) -> None:
    try:
        answer = session.call("GET", "/limits")
    except AuthenticationError:
        findings.add(
            "limits", "amber", "The integration user may not read the org's limits, so a sync can't keep the reserve of batches.",
            "Give the user the right View Setup and Configuration; the permission set Tributary_Load has it.",
        )  # fmt: skip
        return
    except TributaryError as error:
        findings.add_error("limits", error, "Try again later.")
        return
    limits = answer.body if isinstance(answer.body, dict) else {}
    for name in ("DailyApiRequests", "DailyBulkApiBatches"):
        if not (limit := limits.get(name)):
            findings.add(name, "grey", "Not checked: the org does not state this limit.")
            continue
        text = f"{limit['Remaining']:,} of {limit['Max']:,} are left today; {org.settings.reserved_ratio:.0%} are reserved for other programs."
        if limit["Remaining"] < limit["Max"] * org.settings.reserved_ratio:
            findings.add(
                name, "red", f"{text} A sync stops at the reserve.", "Find out which program uses the allowance, or wait until it renews."
            )  # fmt: skip
        else:
            findings.add(name, "green", text)


def _describe(session: SalesforceSession, sobject: str, findings: Findings) -> Describe | None:
    """Return the description of an object as our user sees it; None, with a finding, if there is none."""
    try:
        answer = session.call("GET", f"/sobjects/{sobject}/describe")
    except TributaryError as error:
        findings.add_error(sobject, error, _RIGHTS)
        return None
    if not answer.is_ok or not isinstance(answer.body, dict):
        findings.add(
            sobject, "red", f"The org has no such object, or the integration user may not see it (HTTP {answer.status} {answer.code}).",
            f"Install the package of the object, or deploy it, and assign the permission set. {_DEPLOY}",
        )  # fmt: skip
        return None
    describe: Describe = answer.body
    lacking = [right for right in ("queryable", "createable", "updateable") if not describe.get(right, True)]
    if lacking:
        findings.add(sobject, "red", f"For the integration user, the object is not {', not '.join(lacking)}.", _RIGHTS)
    else:
        findings.add(
            sobject,
            "green",
            f"The object is there, with {len(describe['fields'])} fields that the integration user sees.",
        )
    return describe


def _compare(
    mapping: CrmObject, describe: Describe, sent: Mapping[tuple[str, str], set[str]], findings: Findings
) -> None:
    fields = {field["name"]: field for field in describe["fields"]}
    _check_key(mapping, fields.get(mapping.key_field), findings)
    _check_currency(mapping, fields, findings)
    for field in mapping.fields:
        if field.name.startswith("RecordType."):
            _check_record_types(mapping, field, describe, findings)
        elif field.name == RECORD_OWNER:
            owner = fields.get("OwnerId")
            if owner is not None:
                _check_writable(f"{mapping.sobject}.OwnerId", field, owner, findings)
        elif not field.links_to:
            subject = f"{mapping.sobject}.{field.name}"
            _check_field(subject, mapping, field, fields.get(field.name), sent, findings)


def _check_key(mapping: CrmObject, found: Describe | None, findings: Findings) -> None:
    subject = f"{mapping.sobject}.{mapping.key_field}"
    if found is None:
        findings.add(
            subject, "red", "The field that stores our key is missing, or the integration user may not see it.", _DEPLOY
        )
    elif not found["externalId"]:
        findings.add(
            subject,
            "red",
            "The field that stores our key is not an external id, so no record can be found by it.",
            _DEPLOY,
        )
    elif not found["createable"]:
        findings.add(subject, "red", "The integration user may not write the field that stores our key.", _RIGHTS)
    elif not found["unique"]:
        findings.add(
            subject,
            "amber",
            "The field that stores our key is not unique: a user could give two records the same key.",
            _DEPLOY,
        )
    elif not found.get("caseSensitive", True):
        findings.add(
            subject,
            "amber",
            "The field that stores our key ignores case: two records of a vendor whose keys differ only in case would become one.",
            _DEPLOY,
        )
    else:
        findings.add(subject, "green", "The external id that stores our key.")


def _check_currency(mapping: CrmObject, fields: Mapping[str, Describe], findings: Findings) -> None:
    """Add a finding if the org has several currencies, and the mapping sends dollars without their currency."""
    is_mapped = any(field.name == _CURRENCY for field in mapping.fields)
    if _CURRENCY in fields and not is_mapped and any(field.type == "Currency" for field in mapping.fields):
        findings.add(
            f"{mapping.sobject}.{_CURRENCY}", "amber", "The org has several currencies. The mapping sends US dollars without a currency, and Salesforce gives"
            " a new record the currency of the integration user.",
            "Set the currency of the integration user to USD before the first load, and that of records that you adopt.",
        )  # fmt: skip


def _check_links(
    mapping: CrmObject, describe: Describe, mapped: set[str], find: Callable[[str], Describe | None], findings: Findings
) -> None:
    """Check the lookups: each must refer to an object whose external id is the key that the mapping sends."""
    lookups = {field["relationshipName"]: field for field in describe["fields"] if field.get("relationshipName")}
    for field in mapping.fields:
        if not field.links_to:
            continue
        relationship, _, key_field = field.name.partition(".")
        subject, found = f"{mapping.sobject}.{relationship}", lookups.get(relationship)
        if found is None:
            findings.add(
                subject,
                "red",
                "The lookup is missing, or the integration user may not see it.",
                _DEPLOY if field.label else f"Create the lookup. {_RIGHTS}",
            )
        elif field.links_to in found["referenceTo"] or _has_key(found, key_field, mapped, find):
            _check_writable(subject, field, found, findings)
        else:
            findings.add(
                subject, "red", f"The lookup refers to {', '.join(found['referenceTo']) or 'no object'}, and the mapping sends keys of {field.links_to}.",
                "Correct the lookup in the org, or the mapping.",
            )  # fmt: skip


def _has_key(lookup: Describe, key_field: str, mapped: set[str], find: Callable[[str], Describe | None]) -> bool:
    """Return whether a lookup refers to an object that no mapping loads and that has the key: the contact half of a person account."""
    others = [parent for name in lookup["referenceTo"] if name not in mapped and (parent := find(name)) is not None]
    return any(field["name"] == key_field and field["externalId"] for parent in others for field in parent["fields"])


def _check_field(
    subject: str,
    mapping: CrmObject,
    field: Field,
    found: Describe | None,
    sent: Mapping[tuple[str, str], set[str]],
    findings: Findings,
) -> None:
    if found is None:
        action = (
            _DEPLOY
            if field.label
            else "Create the field, or give the integration user the right to see it (field-level security)."
        )
        findings.add(subject, "red", "The field is missing, or the integration user may not see it.", action)
        return
    values = {*field.values, *sent.get((mapping.sobject, field.name), ())}
    if (
        _check_type(subject, field, found, findings)
        and _check_values(subject, values, found, findings)
        and _check_writable(subject, field, found, findings)
    ):
        _check_size(subject, field, found, findings)


def _check_type(subject: str, field: Field, found: Describe, findings: Findings) -> bool:
    """Return whether a field has a type that takes what the mapping sends; otherwise add a finding."""
    expected = ("date",) if field.type == "Date" else _TYPES.get(field.kind, _TEXTS)
    if found["type"] in expected:
        return True
    findings.add(
        subject, "red", f"The field is of the type {found['type']}, and the mapping sends {' or '.join(expected[:4])}.",
        "Change the type in the org, or map another field.",
    )  # fmt: skip
    return False


def _check_values(subject: str, values: set[str], found: Describe, findings: Findings) -> bool:
    """Return whether a field accepts these values; otherwise add a finding. Only a restricted picklist accepts some values only."""
    if not found.get("restrictedPicklist"):
        return True
    refused = sorted(values - {each["value"] for each in found["picklistValues"] if each["active"]})
    if refused:
        shown = ", ".join(refused[:_MOST_SHOWN])
        findings.add(
            subject, "red", f"The restricted picklist does not accept values that are sent: {shown}. Their records are rejected.",
            "Add the values to the picklist in the org, or make it unrestricted.",
        )  # fmt: skip
    return not refused


def _check_writable(subject: str, field: Field, found: Describe, findings: Findings) -> bool:
    """Return whether our user may write a field; add a finding in any case. The parent of a detail record never changes."""
    is_fixed = field.owner == "firm" or found.get("cascadeDelete")
    lacking = [
        right for right in ("createable", "updateable") if not found[right] and not (right == "updateable" and is_fixed)
    ]
    if lacking:
        reason = "It is a formula." if found.get("calculated") else ""
        findings.add(
            subject, "red", f"The field is not {' and not '.join(lacking)} for the integration user. {reason}".strip(),
            "Give the integration user the right to edit the field (field-level security), or remove it from the mapping.",
        )  # fmt: skip
        return False
    findings.add(subject, "green", f"{found['type']}, writable.")
    return True


def _check_size(subject: str, field: Field, found: Describe, findings: Findings) -> None:
    """Add a finding if a field is shorter than the texts, or has fewer decimals than the numbers, that are sent."""
    if (
        found["type"] in ("string", "textarea")
        and field.kind == "text"
        and 0 < found["length"] < field.length
        and not field.values
    ):
        findings.add(
            subject, "amber", f"The field has {found['length']} characters, and the mapping sends up to {field.length}: records with longer texts are rejected.",
            "Make the field longer in the org.",
        )  # fmt: skip
    elif field.kind == "number" and found["type"] != "int" and found["scale"] < field.decimals:
        findings.add(
            subject, "amber", f"The field has {found['scale']} decimals, and the mapping sends {field.decimals}: the read-back reports the difference.",
            "Give the field more decimals in the org.",
        )  # fmt: skip


def _check_record_types(mapping: CrmObject, field: Field, describe: Describe, findings: Findings) -> None:
    known = {each["developerName"]: each for each in describe.get("recordTypeInfos", ())}
    for name in field.values:
        subject = f"{mapping.sobject} record type {name}"
        if name not in known:
            findings.add(
                subject,
                "red",
                "The org has no such record type.",
                "Create the record type, or enable the feature that brings it.",
            )
        elif not (known[name]["available"] and known[name]["active"]):
            findings.add(
                subject, "red", "The record type is not active or not available to the integration user.", _RIGHTS
            )
        else:
            findings.add(subject, "green", "The record type is available.")


def _check_required(sobject: str, mappings: Sequence[CrmObject], describe: Describe, findings: Findings) -> None:
    """Add a finding for each field that new records need and that a mapping does not fill."""
    for field in describe["fields"]:
        is_required = not field["nillable"] and not field["defaultedOnCreate"] and field["createable"]
        if not is_required or field["type"] == "boolean":
            continue
        filled = [_fills(mapping, field) for mapping in mappings]
        if not all(filled):
            entities = ", ".join(each.entity for each, is_filled in zip(mappings, filled, strict=True) if not is_filled)
            findings.add(
                f"{sobject}.{field['name']}", "red", f"The org requires a value, and the mapping sends none for a new {entities}.",
                "Give the field a default value, make it optional, or map it.",
            )  # fmt: skip


def _fills(mapping: CrmObject, field: Describe) -> bool:
    columns = {name.partition(".")[0] for name in mapping.columns}
    is_person_name = field.get("nameField") and "LastName" in columns
    return bool({field["name"], field.get("relationshipName")} & columns or is_person_name)


def _list_restricted(usable: Sequence[tuple[CrmObject, Describe]]) -> set[tuple[str, str]]:
    return {
        (mapping.sobject, field["name"])
        for mapping, describe in usable
        for field in describe["fields"]
        if field.get("restrictedPicklist")
    }


def _check_users(session: SalesforceSession, names: set[str], findings: Findings) -> None:
    """Check that each owner of records is an existing, active user; Salesforce assigns records only to active users."""
    if not names:
        return
    quoted = ", ".join("'" + name.replace("'", "\\'") + "'" for name in sorted(names))
    try:
        query = f"SELECT Username, IsActive FROM User WHERE Username IN ({quoted})"  # noqa: S608
        answer = session.call("GET", f"/query?q={quote(query)}")
    except TributaryError as error:
        findings.add_error("user names", error, _RIGHTS)
        return
    records = answer.body["records"] if answer.is_ok and isinstance(answer.body, dict) else []
    active = {record["Username"].lower() for record in records if record["IsActive"]}
    for name in sorted(names):
        if name.lower() in active:
            findings.add(f"user {name}", "green", "The user can own records.")
        else:
            findings.add(
                f"user {name}", "red", "The org has no active user of this name, so records that the user is to own are rejected.",
                "Correct the user name in the firm's folder.",
            )  # fmt: skip
