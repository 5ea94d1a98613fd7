"""Field names of Orion's objects, as its public documentation lists them.

A generated row always has every field of its object.
"""

from sandbox.server.rows import Shape


def _shape(*lines: str) -> Shape:
    return Shape(tuple(" ".join(lines).split()))


ACCOUNT = _shape(
    "id name number accountType isActive custodian custodianCode custodianId managementStyle managementStyleId",
    "currentValue cashBalance accountStartValue accountStartDate cancelDate billStartDate createdDate createdBy",
    "editedDate editedBy registrationId clientId clientGlobalId registrationGlobalId representativeId representative",
    "representativeNumber household accountStatusId accountStatus accountStatusDescription fundFamily fundFamilyId",
    "shareClass shareClassId subAdvisor subAdvisorId modelName modelAggId plan planName provider importKey outsideId",
    "secondaryAccountNumber custodialRepCode brokerDealer businessLine downloadSource isManaged isDiscretionary",
    "isSweepAccount isSleeveAccount sleeveType sleeveStrategy isQualified isTradingBlocked isUnfunded",
    "isExcludedFromFirmAssets isAdvReportable is13FReportable isAuaReportable isDataSharingEntity feeScheduleId",
    "feeSchedule masterPayoutScheduleId billFrequency billPayMethod riskBudget riskScore currentRiskScore",
    "targetRiskScore riskScoreAsOfDate riskScoreProvider riskTol accountHistoryId lastPositionDate inBalance",
    "lastReconciledEffectiveDate additionalColumns nickname lastName",
)
ASSET = _shape(
    "id name accountNumber secondaryAccountNumber ticker cusip currentShares currentValue currentPrice costBasis",
    "isManaged assetClass productCategory productCategoryAbbreviation isCustodialCash productId productType",
    "productSubType status accountId registrationId clientId registrationName accountType fundFamily custodian",
    "managementStyle sleeveType asOfDate isActive downloadSymbol createdDate createdBy editedDate editedBy",
    "isFeeExcluded excludeAmountType excludeAmount",
)
TRANSACTION = _shape(
    "id transDate transTime settleDate transactionDescription productId productName ticker cusip transAmount noUnits",
    "navPrice unitBalance accountId accountNumber accountStatusId accountType assetId assetStatusId registrationId",
    "registrationName clientId status type typeCode transTypeId transactionSubTypeId transactionSubTypeName",
    "transactionSubTypeDescription contributionCodeId contributionCodeName distributionCodeId distributionCodeName",
    "financialType fileTranCode brokerCode custodian fundFamily managementStyle payee state notes advisorNotes",
    "tradeReferenceNumber transactionLinkCode performanceFeeBreak count createdDate createdBy editedDate editedBy",
)
CLIENT = _shape(
    "id name firstName lastName isActive aum representativeId representativeName representativeNumber categoryId",
    "category statementDeliveryMethodId createdDate createdBy editedDate editedBy startDate importKey",
    "additionalAccounts salutation address1 address2 address3 city state zip country homePhone homePhoneExt",
    "mobilePhone businessPhone email ssN_TaxID dob gender company jobTitle reportName personalId riskScore",
)
REGISTRATION = _shape(
    "id name firstName lastName isActive accountType typeId typeCode currentValue ssN_TaxID dob clientId gender",
    "company jobTitle riskBudget representativeName representativeNumber returnObjective investmentObjective",
    "timeHorizon stockPercent bondPercent createdDate createdBy editedDate editedBy",
)
# The documentation abbreviates the address fields of a representative; we use the names of a household's fields.
REPRESENTATIVE = _shape(
    "id repNo number fullName firstName lastName address1 address2 address3 city state zip country email brokerDealer",
    "firmName riaId riaName households value isActive status startDate createdDate editedDate",
)
ACCOUNT_VALUE = _shape("id name number value cashValue managementStyle isActive clientId custodian")
# Reference data: only the paths are documented, not the fields.
SIMPLE = _shape("id name")
CODED = _shape("id name code")

SHAPES = {
    "representatives": REPRESENTATIVE,
    "clients": CLIENT,
    "registrations": REGISTRATION,
    "accounts": ACCOUNT,
    "assets": ASSET,
    "transactions": TRANSACTION,
    "account_statuses": SIMPLE,
    "registration_types": CODED,
    "custodians": CODED,
    "fund_families": SIMPLE,
    "broker_dealers": SIMPLE,
}
"""The object of a table's rows, by table."""
