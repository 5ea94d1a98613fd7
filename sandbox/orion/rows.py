"""The firm's books as Orion's objects, one function per object. SSN and CUSIP are unmasked; the API masks them."""

import uuid
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.firm.holdings import Asset, Trade
from sandbox.firm.households import Account, Household, Registration, Representative, find_value
from sandbox.firm.market import Market, round_money
from sandbox.orion.fields import ACCOUNT, ASSET, CLIENT, REGISTRATION, REPRESENTATIVE, TRANSACTION

CENTRAL = ZoneInfo("America/Chicago")
NO_DATE = "0001-01-01T00:00:00-06:00"
NO_TIME = "1900-01-01T00:00:00-06:00"
FIRM_NAME, BROKER_DEALER = "Sample Wealth Partners", (1, "Sample Securities LLC")
STATUSES = ((1, "Active", "Open and managed"), (2, "Closed", "Closed by the household"))
_ZERO = Decimal("0.00")


@lru_cache(maxsize=16384)
def write_moment(moment: datetime | None) -> str:
    """Write a moment in US Central time, with its offset. Write None as Orion's placeholder date (NO_DATE)."""
    if moment is None:
        return NO_DATE
    return moment.astimezone(CENTRAL).isoformat(timespec="milliseconds")


@lru_cache(maxsize=4096)
def write_day(day: date) -> str:
    """Write a day as its midnight in US Central time, with the offset."""
    return datetime(day.year, day.month, day.day, tzinfo=CENTRAL).isoformat()


def _created(moment: datetime | None) -> dict[str, Any]:
    return {"createdDate": write_moment(moment), "createdBy": "import"}


def _edited(moment: datetime | None) -> dict[str, Any]:
    return {"editedDate": write_moment(moment), "editedBy": "import"}


def write_representative(rep: Representative, households: int, value: Decimal) -> tuple[Any, ...]:
    """Return a representative as RepresentativeDto. All its dates are Orion's placeholder date (NO_DATE)."""
    return REPRESENTATIVE.fill(
        {
            "id": rep.id,
            "repNo": rep.number,
            "number": rep.number,
            "fullName": rep.person.name,
            "firstName": rep.person.first_name,
            "lastName": rep.person.last_name,
            "email": f"{rep.person.first_name}.{rep.person.last_name}@example.com".lower(),
            "brokerDealer": BROKER_DEALER[1],
            "firmName": FIRM_NAME,
            "households": households,
            "value": value,
            "isActive": True,
            "status": "ActiveNoIssues",
            "startDate": NO_DATE,
            "createdDate": NO_DATE,
            "editedDate": NO_DATE,
        }
    )


def write_client(house: Household, rep: Representative, aum: Decimal) -> tuple[Any, ...]:
    """Return a household. `aum` must not include custodial parents, which would count their sleeves twice."""
    head = house.people[0]
    mail = f"{head.first_name}.{head.last_name}.{house.id}".lower().replace("'", "")
    return CLIENT.fill(
        {
            "id": house.id,
            "name": house.name,
            "firstName": head.first_name,
            "lastName": head.last_name,
            "isActive": any(account.closed_on is None for account in house.accounts),
            "aum": aum,
            "representativeId": rep.id,
            "representativeName": rep.person.name,
            "representativeNumber": rep.number,
            "categoryId": 1 if aum >= 1_000_000 else 2,
            "category": "Private Wealth" if aum >= 1_000_000 else "Core",
            **_created(house.created_at),
            **_edited(house.edited_at),
            "startDate": None if house.created_at is None else f"{house.created_at:%m/%d/%Y}",
            "additionalAccounts": len(house.additional),
            "salutation": " and ".join(person.first_name for person in house.people),
            "address1": house.home.street,
            "address2": house.home.unit,
            "city": house.home.city,
            "state": house.home.state,
            "zip": house.home.zip_code,
            "country": "US",
            "homePhone": house.home.phone,
            "email": f"{mail}@example.org",
            "ssN_TaxID": head.tax_id,
            "dob": write_day(head.born),
            "gender": {"F": "Female", "M": "Male"}[head.gender],
            "jobTitle": head.job,
            "reportName": house.name,
        }
    )


def write_registration(reg: Registration, rep: Representative, value: Decimal) -> tuple[Any, ...]:
    """Return a registration. Its personal fields (name, SSN, birth date, ...) are those of the first owner; an organization has none."""
    owner = reg.owner
    return REGISTRATION.fill(
        {
            "id": reg.id,
            "name": reg.name,
            "firstName": owner and owner.first_name,
            "lastName": owner and owner.last_name,
            "isActive": True,
            "accountType": reg.kind.name,
            "typeId": reg.kind.id,
            "typeCode": reg.kind.code,
            "currentValue": value,
            "ssN_TaxID": owner.tax_id if owner else reg.employer_id,
            "dob": owner and write_day(owner.born),
            "clientId": reg.household.id,
            "gender": {"F": "Female", "M": "Male"}[owner.gender] if owner else None,
            "jobTitle": owner and owner.job,
            "representativeName": rep.person.name,
            "representativeNumber": rep.number,
            "investmentObjective": "Growth and Income",
            "timeHorizon": "10+ years",
            "stockPercent": "60",
            "bondPercent": "40",
            **_created(reg.household.created_at),
            **_edited(reg.edited_at),
        }
    )


def write_account(
    account: Account, rep: Representative, market: Market, day: date, closed_through: date
) -> tuple[Any, ...]:
    """Return an account as AccountDto. Values are as of the end of `day`; all other fields are current."""
    value, cash = find_value(account, market, day)
    house, reg, is_open = account.registration.household, account.registration, account.closed_on is None
    status = STATUSES[0] if is_open else STATUSES[1]
    return ACCOUNT.fill(
        {
            "id": account.id,
            "name": reg.name,
            "number": account.number,
            "accountType": reg.kind.name,
            "isActive": is_open,
            "custodian": account.custodian[1],
            "custodianCode": account.custodian[2],
            "custodianId": account.custodian[0],
            "managementStyle": account.style[1],
            "managementStyleId": account.style[0],
            "currentValue": value,
            "cashBalance": cash,
            "accountStartDate": write_day(account.started_on),
            "cancelDate": None if account.closed_on is None else write_day(account.closed_on),
            **_created(account.created_at),
            **_edited(account.edited_at),
            "registrationId": reg.id,
            "clientId": house.id,
            "clientGlobalId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"client:{house.id}")),
            "registrationGlobalId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"registration:{reg.id}")),
            "representativeId": rep.id,
            "representative": rep.person.name,
            "representativeNumber": rep.number,
            "household": house.name,
            "accountStatusId": status[0],
            "accountStatus": status[1],
            "accountStatusDescription": status[2],
            "secondaryAccountNumber": account.parent.number if account.parent else None,
            "brokerDealer": BROKER_DEALER[1],
            "downloadSource": account.custodian[1],
            "isManaged": True,
            "isDiscretionary": True,
            "isSweepAccount": False,
            "isSleeveAccount": account.parent is not None,
            "sleeveType": "CustodialAccount" if account.is_parent else "Sleeve" if account.parent else "None",
            "sleeveStrategy": account.sleeve if account.parent else None,
            "isQualified": reg.kind.is_qualified,
            "isTradingBlocked": False,
            "isUnfunded": False,
            "isExcludedFromFirmAssets": False,
            "isAdvReportable": True,
            "isDataSharingEntity": False,
            "billFrequency": "Quarterly",
            "lastPositionDate": write_day(closed_through),
            "inBalance": True,
            "lastReconciledEffectiveDate": write_day(closed_through),
            "additionalColumns": [],
            "lastName": reg.owner and reg.owner.last_name,
        }
    )


def write_asset(asset: Asset, account: Account, market: Market, day: date) -> tuple[Any, ...] | None:
    """Return an asset as AssetDto as of the end of `day`, or None if it had no `Complete` trade by then."""
    opened = asset.opened_on
    if opened is None or opened > day:
        return None
    security, reg = asset.security, account.registration
    shares, price = asset.find_quantity(day), market.find_price(security.id, day)
    return ASSET.fill(
        {
            "id": asset.id,
            "name": security.name,
            "accountNumber": account.number,
            "secondaryAccountNumber": account.parent.number if account.parent else None,
            "ticker": security.ticker,
            "cusip": None if security.is_cash else security.cusip,
            "currentShares": shares,
            "currentValue": round_money(shares * price),
            "currentPrice": price,
            "costBasis": asset.find_cost(day),
            "isManaged": True,
            "assetClass": security.asset_class,
            "productCategory": security.category,
            "productCategoryAbbreviation": security.category_code,
            "isCustodialCash": security.is_cash,
            "productId": security.id,
            "productType": security.product_type,
            "productSubType": security.sub_type,
            "status": 1,
            "accountId": account.id,
            "registrationId": reg.id,
            "clientId": reg.household.id,
            "registrationName": reg.name,
            "accountType": reg.kind.name,
            "fundFamily": security.fund_family,
            "custodian": account.custodian[1],
            "managementStyle": account.style[1],
            "sleeveType": "CustodialAccount" if account.is_parent else "Sleeve" if account.parent else "None",
            "asOfDate": write_day(day),
            "isActive": shares != 0,
            "downloadSymbol": security.ticker,
            **_created(asset.trades[0].entered_at),
            **_edited(asset.edited_at),
            "isFeeExcluded": False,
        }
    )


def write_transaction(trade: Trade, account: Account) -> tuple[Any, ...]:
    """Return a trade as TransactionDto. Units and amount are unsigned; `typeCode` gives the direction."""
    security, reg, kind = trade.asset.security, account.registration, trade.kind
    return TRANSACTION.fill(
        {
            "id": trade.id,
            "transDate": write_day(trade.trade_date),
            "transTime": NO_TIME,
            "settleDate": write_day(trade.trade_date),
            "transactionDescription": trade.note or f"{kind.name} {security.name}",
            "productId": security.id,
            "productName": security.name,
            "ticker": security.ticker,
            "cusip": None if security.is_cash else security.cusip,
            "transAmount": trade.amount,
            "noUnits": trade.quantity,
            "navPrice": trade.price,
            "accountId": account.id,
            "accountNumber": account.number,
            "accountStatusId": 1 if account.closed_on is None else 2,
            "accountType": reg.kind.name,
            "assetId": trade.asset.id,
            "assetStatusId": 1,
            "registrationId": reg.id,
            "registrationName": reg.name,
            "clientId": reg.household.id,
            "status": trade.status,
            "type": kind.name,
            "typeCode": kind.code,
            "transTypeId": kind.id,
            "financialType": kind.financial_type,
            "custodian": account.custodian[1],
            "fundFamily": security.fund_family,
            "managementStyle": account.style[1],
            "notes": trade.note,
            "transactionLinkCode": trade.link,
            "count": 1,
            **_created(trade.entered_at),
            **_edited(trade.edited_at),
        }
    )
