"""What a firm chooses about its Salesforce, from the extra fields of the Airflow connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from include.errors import ConfigurationError


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
        most_collected: Changed rows of one object up to which collections carry them; beyond, a bulk job does.
        most_changed_ratio: Share (0-1) of an object's records that a run may change without asking.
        few: Records that may change without asking, whatever their share.
        most_closed: Accounts that a run may close without asking.
        reserved_ratio: Share (0-1) of the org's daily calls and batches that we leave to others.
    """

    firm: str
    persons: Literal["individuals", "person_accounts"] = "individuals"
    has_transactions: bool = False
    transaction_days: int = 30
    key_field: str = "Tributary_Key__c"
    key_fields: Mapping[str, str] = field(default_factory=dict)
    most_collected: int = 2000
    most_changed_ratio: Decimal = Decimal("0.3")
    few: int = 200
    most_closed: int = 25
    reserved_ratio: Decimal = Decimal("0.2")

    def __post_init__(self) -> None:
        if not self.firm or ":" in self.firm:
            raise ConfigurationError("The firm's short name must not be empty, nor hold a colon", firm=self.firm)
        if self.persons not in ("individuals", "person_accounts"):
            raise ConfigurationError("persons is individuals or person_accounts", persons=self.persons)
        for name in ("most_changed_ratio", "reserved_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError("A ratio lies between 0 and 1", **{name: getattr(self, name)})

    @classmethod
    def of(cls, extra: Mapping[str, Any]) -> Settings:
        """Reads the connection's extra fields; those that are not of these settings are left alone.

        Raises:
            ConfigurationError: A value makes no sense.
        """
        known = {f.name: f.default for f in fields(cls)}
        try:
            given = {name: _typed(known[name], value) for name, value in extra.items() if name in known}
        except (ValueError, InvalidOperation) as error:
            raise ConfigurationError(f"A setting of the connection salesforce makes no sense: {error}") from None
        return cls(**{"firm": ""} | given)

    def key_of(self, sobject: str) -> str:
        """The field of an object that holds our key."""
        return self.key_fields.get(sobject, self.key_field)


def _typed(default: Any, value: Any) -> Any:
    if isinstance(default, bool):
        if str(value).lower() not in ("true", "false"):
            raise ValueError(f"{value} is neither true nor false")
        return str(value).lower() == "true"
    return type(default)(str(value)) if isinstance(default, (int, Decimal)) else value
