"""Findings of the business rules in Salesforce, as alerts on accounts and financial accounts."""

from __future__ import annotations

from include.crm.objects.mapping import CrmObject, choice, current, flag, key, link, text
from include.crm.settings import Settings

ALERT = "FinServ__Alert__c"


# A finding of the business rules, as an alert on the record. A closed finding becomes inactive; one that was closed before it
# was sent is not sent.
def alert(settings: Settings, account: str, financial_account: str) -> CrmObject:
    """Return the mapping of findings; the other arguments are the Salesforce objects to which an alert can belong."""
    return CrmObject(
        entity="finding",
        sobject=ALERT,
        key_field=settings.key_of(ALERT),
        key="(:firm || ':' || f.vendor || ':finding:' || f.finding_id)",
        fields=(
            text("FinServ__Message__c", "replace(f.rule, '_', ' ')", 255),
            text("FinServ__MessageDescription__c", "f.details", 255),
            choice(
                "FinServ__Severity__c",
                "case f.severity when 'critical' then 'Error' when 'warning' then 'Warning' else 'Info' end",
                "Error",
                "Warning",
                "Info",
            ),
            flag("FinServ__Active__c", "f.closed_at is null"),
            link(
                settings,
                "FinServ__Account__r",
                account,
                f"coalesce({key('person', 'p')}, {key('household', 'h')})",
                "person",
                "household",
            ),
            link(settings, "FinServ__FinancialAccount__r", financial_account, key("account", "a"), "account"),
        ),
        source=f"""
            control.finding f
            left join warehouse.known_household h on h.household_id = f.household_id
            left join warehouse.known_person p on f.subject_entity = 'person' and p.person_id = f.subject_id
            left join warehouse.account a on f.subject_entity = 'account' and a.account_id = f.subject_id and {current("a")}
        """,
        where=f"""
            f.closed_at is null
            or exists (select from control.crm_state s where s.sobject = '{ALERT}'
                       and s.external_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id)
        """,
        ids={"household_id": "f.household_id"},
        parent=f"FinServ__Account__r.{settings.key_of(account)}",
    )
