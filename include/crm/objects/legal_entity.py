"""Legal entities in Salesforce: business accounts that own financial accounts, and the persons who act for them."""

from __future__ import annotations

from include.crm.objects.mapping import (
    CrmObject,
    always,
    choice,
    current,
    flag,
    is_no_copy,
    key,
    link,
    once,
    shared,
    text,
)
from include.crm.settings import Settings

ROLE = "FinServ__FinancialAccountRole__c"


def legal_entity(settings: Settings, account: str) -> CrmObject:
    """Return the mapping of trusts, estates, companies and foundations, the owners of their accounts; `account` is their object.

    Their financial accounts show the household.
    """
    return CrmObject(
        entity="legal_entity",
        sobject=account,
        key_field=settings.key_of(account),
        key=key("legal_entity", "l"),
        fields=(
            once(always("RecordType.DeveloperName", "IndustriesBusiness")),
            shared(text("Name", "l.name", 255)),
        ),
        source="warehouse.known_legal_entity l",
        where="l.is_anchor",
        ids={"legal_entity_id": "l.legal_entity_id"},
        separated_from="person",
    )


def is_awaited(account: str) -> str:
    """Return the SQL condition that the person of a membership `s` is a legal entity now, which Salesforce does not have yet.

    The person stays a member until then, because the legal entity may wait for approval.
    """
    return f"""
        exists (select from warehouse.legal_entity l
                where l.vendor = s.vendor and starts_with(s.source_key, l.legal_entity_key || ':') and {current("l")}
                  and not exists (select from control.crm_state c
                                  where c.sobject = '{account}' and c.external_key = {key("legal_entity", "l")}))
    """  # noqa: S608


# The package maintains the roles of the owners itself. An inactive role can't be edited, so a role that ended stays inactive.
def account_role(settings: Settings, account: str, financial_account: str) -> CrmObject:
    """Return the mapping of the trustees, custodians, executors and beneficiaries of accounts, as far as they are known persons."""
    return CrmObject(
        entity="account_role",
        sobject=ROLE,
        key_field=settings.key_of(ROLE),
        key="(:firm || ':' || t.vendor || ':account_role:' || t.registration_party_key || ':' || control.first_key(a.account_key))",
        fields=(
            always("RecordType.DeveloperName", "AccountRole"),
            once(link(settings, "FinServ__FinancialAccount__r", financial_account, key("account", "a"), "account")),
            link(settings, "FinServ__RelatedAccount__r", account, key("person", "p"), "person"),
            choice(
                "FinServ__Role__c",
                "case t.role when 'trustee' then 'Trustee' when 'beneficiary' then 'Beneficiary' else 'Other' end",
                "Trustee",
                "Beneficiary",
                "Other",
            ),
            flag("FinServ__Active__c", "true", when_gone="false"),
        ),
        source=f"""
            warehouse.registration_party t
            join warehouse.account a on a.registration_id = t.registration_id and {current("a")} and {is_no_copy("a.account_id")}
            join warehouse.known_person p on p.person_id = t.person_id
        """,
        where=f"{current('t')} and t.role in ('trustee', 'custodian', 'beneficiary', 'executor')",
        parent=f"FinServ__FinancialAccount__r.{settings.key_of(financial_account)}",
        died_as="registration_party",
        same_if=(
            f"FinServ__FinancialAccount__r.{settings.key_of(financial_account)}",
            f"FinServ__RelatedAccount__r.{settings.key_of(account)}",
            "FinServ__Role__c",
        ),
    )
