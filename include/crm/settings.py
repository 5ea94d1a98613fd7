"""What a firm chooses about its Salesforce, from the extra fields of the Airflow connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from include.errors import ConfigurationError

_PERSONS = ("individuals", "person_accounts")


@dataclass(frozen=True, slots=True)
class Settings:
    """The firm's choices; each has the default that fits most.

    Attributes:
        firm: Short name, first part of every key; without a colon.
        persons: Person accounts, or an individual's account with a contact below it.
        has_transactions: Whether transactions are loaded too.
        transaction_days: Trade dates of so many days before the latest business date.
        key_field: Our external id on every object.
        key_fields: Object -> another field for it, where the org has its own.
        documents_url: Where people see signed documents, such as `https://airflow.firm.example/documents`; empty: not linked.
        most_collected: Changed rows of one object up to which collections carry them; beyond, a bulk job does.
        most_changed_ratio: Share (0-1) of an object's records that a run may change without asking.
        few: Records that may change without asking, whatever their share.
        most_moved_ratio: Share (0-1) by which what an object's records are worth together may change without asking.
        most_closed: Accounts that a run may close without asking.
        reserved_ratio: Share (0-1) of the org's daily calls and batches that we leave to others.
    """

    firm: str
    persons: Literal["individuals", "person_accounts"] = "individuals"
    has_transactions: bool = False
    transaction_days: int = 30
    key_field: str = "Tributary_Key__c"
    key_fields: Mapping[str, str] = field(default_factory=dict)
    documents_url: str = ""
    most_collected: int = 2000
    most_changed_ratio: Decimal = Decimal("0.3")
    most_moved_ratio: Decimal = Decimal("0.2")
    few: int = 200
    most_closed: int = 25
    reserved_ratio: Decimal = Decimal("0.2")

    def __post_init__(self) -> None:
        wanted: list[tuple[str, Any, bool, str]] = [
            (
                "firm, the short name,",
                self.firm,
                bool(re.fullmatch(r"[A-Za-z0-9_-]+", self.firm)),
                "letters, digits, - and _",
            ),
            ("persons", self.persons, self.persons in _PERSONS, " or ".join(_PERSONS)),
        ]
        for name in ("most_changed_ratio", "most_moved_ratio", "reserved_ratio"):
            value = getattr(self, name)
            wanted.append((name, value, value.is_finite() and 0 <= value <= 1, "0 to 1"))
        for name in ("transaction_days", "most_collected", "few", "most_closed"):
            wanted.append((name, getattr(self, name), getattr(self, name) >= 0, "0 or more"))
        wanted.append(
            (
                "documents_url",
                self.documents_url,
                not self.documents_url or bool(re.fullmatch(r"https?://[\w.:/\[\]-]+", self.documents_url)),
                "a URL",
            )
        )
        for name in (self.key_field, *self.key_fields.values()):
            wanted.append(("key_field", name, bool(re.fullmatch(r"\w+", name)), "a field's API name"))
        if faults := [
            f"{name} is {value!s}, not {what}" for name, value, is_sensible, what in wanted if not is_sensible
        ]:
            raise ConfigurationError("Settings of the connection salesforce make no sense: " + "; ".join(faults))

    @classmethod
    def of(cls, extra: Mapping[str, Any]) -> Settings:
        """Reads the connection's extra fields; those that are not of these settings are left alone.

        Raises:
            ConfigurationError: A value makes no sense.
        """
        known = {f.name: f.default for f in fields(cls)}
        given = {name: _typed(name, known[name], value) for name, value in extra.items() if name in known}
        return cls(**{"firm": ""} | given)

    def key_of(self, sobject: str) -> str:
        """The field of an object that holds our key."""
        return self.key_fields.get(sobject, self.key_field)


def _typed(name: str, default: Any, value: Any) -> Any:
    text = str(value).strip()
    if name == "key_fields":
        if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
            raise ConfigurationError("key_fields names a field by object, in JSON", key_fields=value)
        return dict(value)
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ConfigurationError(f"{name} is neither true nor false", **{name: value})
        return text.lower() == "true"
    if not isinstance(default, (int, Decimal)):
        if not isinstance(value, str):
            raise ConfigurationError(f"{name} is no text", **{name: value})
        return text
    try:
        return type(default)(text)
    except (ValueError, InvalidOperation):
        raise ConfigurationError(f"{name} is no number", **{name: value}) from None
