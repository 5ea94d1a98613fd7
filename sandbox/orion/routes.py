"""Orion's lists and the parameters that it documents for each. The sandbox rejects all other parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Route:
    """One of Orion's lists. All parameter names are in lower case.

    Attributes:
        table: The table that the list serves.
        filters: Field that must equal the parameter's value, by parameter.
        repeated: Parameters in `filters` that a call may repeat, which selects rows with any of the values.
        through_accounts: Filters that look up accounts first: parameter -> two fields of an account. The first field must equal the
            parameter's value; the second field has the id of the row to return.
        special: Parameters with their own code in `Query`.
        unmodelled: Documented parameters that this sandbox rejects because it does not support them.
        paging: Parameters for paging, sorting and selecting fields.
        is_edited: Whether the list accepts editedStartDate and editedEndDate.
        is_dated: Whether the list accepts asOfDate.
    """

    table: str
    filters: Mapping[str, str] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    through_accounts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    special: frozenset[str] = frozenset()
    unmodelled: frozenset[str] = frozenset()
    paging: frozenset[str] = frozenset()
    is_edited: bool = False
    is_dated: bool = False

    @property
    def documented(self) -> frozenset[str]:
        """Return all documented parameters that the sandbox supports."""
        edited = {"editedstartdate", "editedenddate"} if self.is_edited else set()
        dated = {"asofdate"} if self.is_dated else set()
        return frozenset({*self.filters, *self.through_accounts, *self.special, *self.paging, *edited, *dated})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.lower().split())


def _fields(text: str) -> dict[str, str]:
    return {name.lower(): name for name in text.split()}


_ODATA = _words("$top $skip $orderby $select")

ROUTES: dict[str, Route] = {
    "portfolio/representatives": Route(
        table="representatives",
        special=_words("isUsed"),
        unmodelled=_words("brokerDealerId riaId"),
    ),
    "portfolio/clients": Route(
        table="clients",
        filters=_fields("isActive categoryId representativeId"),
        through_accounts={"accountid": ("id", "clientId")},
        special=_words("hasValue returnStyle"),
        unmodelled=_words(
            "householdFilter registrationSSN sleeveStrategyId sleeveStrategyAggId pageQueryId entitySessionId"
        ),
        paging=_ODATA,
    ),
    "portfolio/registrations": Route(
        table="registrations",
        filters=_fields("isActive"),
        through_accounts={
            "accountid": ("id", "registrationId"),
            "representativeid": ("representativeId", "registrationId"),
        },
        unmodelled=_words("registrationFilter entitySessionId"),
        paging=_ODATA,
    ),
    "portfolio/accounts": Route(
        table="accounts",
        filters=_fields("isActive isDiscretionary isManaged clientId registrationId fundFamilyId representativeId")
        | {"accountid": "id"},
        repeated=_words("clientId registrationId accountId fundFamilyId representativeId"),
        special=_words("hasValue createdDateStart includeAdditionalAccounts returnStyle"),
        unmodelled=_words("newAccountFilter accountFilter pageQueryId portfolioGroupId sleeveId entitySessionId"),
        paging=_ODATA | _words("top skip"),
        is_edited=True,
        is_dated=True,
    ),
    "portfolio/assets": Route(
        table="assets",
        filters=_fields("clientId registrationId accountId productId")
        | {"assetid": "id", "custodianname": "custodian"},
        special=_words("hasValue includeCostBasis returnStyle"),
        unmodelled=_words("alternativeOnly"),
        paging=_ODATA,
        is_edited=True,
        is_dated=True,
    ),
    "portfolio/transactions": Route(
        table="transactions",
        filters=_fields("status transTypeId clientId registrationId accountId assetId") | {"transactionid": "id"},
        repeated=_words("transTypeId"),
        special=_words("startDate endDate returnStyle"),
        unmodelled=_words("hasErrors auditType pageQueryId alternativeOnly orionVisionPending"),
        paging=_ODATA,
        is_edited=True,
    ),
    "portfolio/accounts/value": Route(table="account_values", special=_words("hasValue")),
    "portfolio/accountstatuses": Route(table="account_statuses"),
    "portfolio/registrations/types": Route(table="registration_types"),
    "portfolio/custodians/simple": Route(table="custodians"),
    "portfolio/fundfamilies/simple": Route(table="fund_families"),
    "portfolio/brokerdealers/simple": Route(table="broker_dealers"),
}
