"""The fields of Salesforce records whose values are stored. Of every other field, only its name is stored.

These are the fields that Tributary uses, and those that the firm lists in the extra `change_fields` of the connection `salesforce`:

    {"Contact": ["Title", "MailingCity"]}
"""

from __future__ import annotations

import re

import msgspec

from include.connection import Connection
from include.errors import ConfigurationError

USED = {
    "Account": frozenset[str](),
    "Contact": frozenset[str](),
    "Opportunity": frozenset(
        {"Name", "StageName", "IsWon", "IsClosed", "Amount", "CurrencyIsoCode", "CloseDate", "AccountId", "OwnerId"}
    ),
    "Tributary_Refresh__e": frozenset({"Client_Key__c", "Vendor__c"}),
}
"""Object -> the fields that marts, rules, Tasks and refresh events use."""
SECRET = re.compile(r"ssn|social_?security|tax_?(payer_?)?id|passport|driver|account_?number", re.IGNORECASE)
"""Pattern of the names of sensitive fields, which a firm can't list."""


def find_stored(connection: Connection, sobject: str) -> frozenset[str]:
    """Return the names of the fields of an object whose values are stored.

    Raises:
        ConfigurationError: `change_fields` is invalid, or lists a sensitive field.
    """
    return USED[sobject] | frozenset(_read_listed(connection).get(sobject, ()))


def _read_listed(connection: Connection) -> dict[str, list[str]]:
    text = connection.extra.get("change_fields", "{}")
    try:
        listed = msgspec.json.decode(text, type=dict[str, list[str]])
    except msgspec.DecodeError:
        listed = None
    if listed is None or not listed.keys() <= USED.keys():
        raise ConfigurationError(
            "change_fields in the extra of the connection salesforce must be a JSON object that maps an object to a list of field names",
            change_fields=text, objects=",".join(USED),
        )  # fmt: skip
    if secret := sorted(name for names in listed.values() for name in names if SECRET.search(name)):
        raise ConfigurationError(
            "change_fields in the extra of the connection salesforce lists a field whose name looks like a tax id or an account number;"
            " Tributary does not store its values",
            fields=",".join(secret),
        )
    return listed
