"""Registrations: their kind, the legal entity, and the parties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.names.registration import ENTITY_KINDS, read_registration


@pytest.mark.parametrize(
    ("title", "type_", "kind", "parties"),
    [
        ("Ada Sample", "", "individual", "owner Ada Sample"),
        ("Ada & Ben Sample", "JTWROS", "joint", "owner Ada Sample; joint owner Ben Sample"),
        ("Ada & Ben Sample", "", "joint", "owner Ada Sample; joint owner Ben Sample"),
        ("Ada Sample & Ben Sample (Decd)", "JTWROS", "joint", "owner Ada Sample; joint owner Ben Sample"),
        ("Ada & Ben Sample, deceased", "", "joint", "owner Ada Sample; joint owner Ben Sample"),
        ("Ada Sample (Deceased) & Ben Sample", "Joint", "joint", "owner Ada Sample; joint owner Ben Sample"),
        ("Ada Sample Dec'd and Ben Sample JT TEN", "", "joint", "owner Ada Sample; joint owner Ben Sample"),
        ("Ada Sample IRA", "", "ira", "owner Ada Sample"),
        ("Ada Sample", "Roth IRA ROTH", "roth_ira", "owner Ada Sample"),
        ("Ada Sample", "SEP IRA", "sep_ira", "owner Ada Sample"),
        ("Ada Sample", "401(K) 401K", "retirement_plan", "owner Ada Sample"),
        ("Ada Sample 401k", "", "retirement_plan", "owner Ada Sample"),
        ("Custody LLC as Custodian FBO Ben Sample Rollover IRA", "", "ira", "owner Ben Sample; custodian Custody LLC"),
        ("Specimen Trust Company Custodian FBO Ada Sample IRA", "", "ira", "owner Ada Sample; custodian Specimen Trust Company"),
        ("Ben Sample (Decd) FBO Ada Sample Bene IRA", "", "inherited_ira", "owner Ada Sample; decedent Ben Sample"),
        ("Ada Sample CUST FOR Amy Sample UTMA/CA", "", "utma", "minor Amy Sample; custodian Ada Sample"),
        ("Amy Sample UTMA Ada Sample CUST", "", "utma", "minor Amy Sample; custodian Ada Sample"),
        ("Ada Sample C/F Amy Sample UTMA CA", "", "utma", "minor Amy Sample; custodian Ada Sample"),
        ("Ada Sample Guardian for Tim Sample", "", "guardianship", "owner Tim Sample; custodian Ada Sample"),
        ("Ira Sample", "", "individual", "owner Ira Sample"),
        ("Amy Church", "", "individual", "owner Amy Church"),
        ("Anna Banks", "Individual", "individual", "owner Anna Banks"),
        ("John Trust", "", "individual", "owner John Trust"),
        ("Linda Co", "Individual", "individual", "owner Linda Co"),
        ("Robert James Parish", "Individual", "individual", "owner Robert James Parish"),
        ("James & Mary Temple", "Joint Tenants WROS", "joint", "owner James Temple; joint owner Mary Temple"),
        ("Ada Sample", "Individual - Charitable", "individual", "owner Ada Sample"),
    ],
)  # fmt: skip
def test_registration_of_natural_persons_is_no_legal_entity(title: str, type_: str, kind: str, parties: str) -> None:
    read = read_registration(title, type_)
    assert (read.kind, read.entity) == (kind, None)
    assert "; ".join(f"{party.role} {party.name}" for party in read.parties) == parties


@pytest.mark.parametrize(
    ("title", "type_", "kind", "entity", "parties"),
    [
        ("The Ada Sample Revocable Trust", "", "trust", "The Ada Sample Revocable Trust", "grantor Ada Sample"),
        ("The Ada & Ben Sample Trust", "Revocable Trust", "trust", "The Ada & Ben Sample Trust", "grantor Ada Sample; grantor Ben Sample"),
        ("Ada Sample TTEE Sample Family Trust DTD 1/2/2003", "", "trust", "Sample Family Trust DTD 1/2/2003", "trustee Ada Sample"),
        ("Ada Sample Rev Trust, Ben Sample TTEE", "", "trust", "Ada Sample Rev Trust", "trustee Ben Sample; grantor Ada Sample"),
        ("Sample Trust dtd 1/2/03 Ben Sample Trustee", "", "trust", "Sample Trust dtd 1/2/03", "trustee Ben Sample"),
        ("Ada Sample and Ben Sample, as Co-Trustees of the Sample Trust", "", "trust", "the Sample Trust", "trustee Ada Sample; trustee Ben Sample"),
        ("Sample Family Trust, Ada Sample as Trustee", "", "trust", "Sample Family Trust", "trustee Ada Sample"),
        ("Ada Sample TTEE U/A DTD 1/2/2003", "", "trust", "Ada Sample TTEE U/A DTD 1/2/2003", "trustee Ada Sample; grantor Ada Sample"),
        ("Sample Irrevocable Trust FBO Amy Sample", "", "trust", "Sample Irrevocable Trust", "beneficiary Amy Sample"),
        ("Ada Sample", "Trust", "trust", "Ada Sample", "grantor Ada Sample"),
        ("Sample Family Trust", "Simple Trust", "trust", "Sample Family Trust", ""),
        ("Sample Education Trust", "Education Trust", "trust", "Sample Education Trust", ""),
        ("Estate of Ada Sample", "", "estate", "Estate of Ada Sample", "decedent Ada Sample"),
        ("Ada Sample Estate, Ben Sample Executor", "", "estate", "Ada Sample Estate", "executor Ben Sample; decedent Ada Sample"),
        ("Ada Sample (Deceased)", "Individual", "estate", "Ada Sample (Deceased)", "decedent Ada Sample"),
        ("Estate of Ada & Ben Sample, deceased", "", "estate", "Estate of Ada & Ben Sample, deceased", "decedent Ada Sample; decedent Ben Sample"),
        ("Ada & Ben Sample (Decd)", "Estate", "estate", "Ada & Ben Sample (Decd)", "decedent Ada Sample; decedent Ben Sample"),
        ("Specimen Widgets LLC", "Individual", "company", "Specimen Widgets LLC", ""),
        ("Sample & Sons, Inc., Ada Sample President", "", "company", "Sample & Sons, Inc.", "officer Ada Sample"),
        ("Sample Community Church", "", "company", "Sample Community Church", ""),
        ("Specimen Trust Company", "", "company", "Specimen Trust Company", ""),
        ("Sample Family Trust LLC", "", "company", "Sample Family Trust LLC", ""),
        ("Sample Family Limited Partnership", "", "partnership", "Sample Family Limited Partnership", ""),
        ("Sample Family Foundation, Inc.", "", "foundation", "Sample Family Foundation, Inc.", ""),
        ("Specimen Inc 401(k) Profit Sharing Plan", "", "retirement_plan", "Specimen Inc 401(k) Profit Sharing Plan", ""),
    ],
)  # fmt: skip
def test_registration_of_a_legal_entity_names_it_and_its_parties(
    title: str, type_: str, kind: str, entity: str, parties: str
) -> None:
    read = read_registration(title, type_)
    assert (read.kind, read.entity) == (kind, entity)
    assert "; ".join(f"{party.role} {party.name}" for party in read.parties) == parties


def test_form_of_the_tax_id_decides_where_words_do_not() -> None:
    assert read_registration("Riverside Sample", None, "ein").entity == "Riverside Sample"
    assert read_registration("Riverside Sample", None, "ssn").entity is None
    assert read_registration("Ada Sample Revocable Trust", None, "ssn").entity is not None


@given(st.text(max_size=60), st.text(max_size=20), st.sampled_from([None, "ein", "ssn"]))
def test_any_title_has_a_kind(title: str, type_: str, form: str | None) -> None:
    read = read_registration(title, type_, form)
    assert read.kind
    assert read.entity is None or read.kind in ENTITY_KINDS
