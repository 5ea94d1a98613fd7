"""Mistakes in a firm's folder: each is named with its file, its line and the correct form, and all at once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from include.firm import content
from include.firm.folder import InvalidFolder, in_force, read_all


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
        name: What it is.
        file: Its file.
        text: The lines of the file; the mistake is in the line with `<`, which is removed.
        reason: Words of the message that say what is wrong.
        correct: Words that say what is right.
    """

    name: str
    file: str
    text: str
    reason: str
    correct: str


M, V, T, A, R = "mapping.yaml", "vendors.yaml", "thresholds.yaml", "alerts.yaml", "rules/firm_rule.py"
RULE = "from include.rules.rule import Rule\n"
MISTAKES = (
    Mistake("syntax", M, "household:\n\tsend: true<\n", "can't be read", "Write YAML"),
    Mistake("unknown object", M, "houshold: {}<", "houshold is not an object", "Did you mean household?"),
    Mistake("unknown setting", M, "household:\n  record_typ: X<", "record_typ is not a setting", "Did you mean record_type"),
    Mistake("name that occurs twice", M, "household:\n  send: true\n  send: true<", "send occurs twice, first in line 2", "Write each name once"),
    Mistake("unknown field", M, "household:\n  fields:\n    Phon: drop<", "Phon is not a field of household", "Did you mean Phone?"),
    Mistake("unknown change", M, "household:\n  fields:\n    Phone: dropped<", "'dropped' is not a change of Phone", "Write `Phone: drop`"),
    Mistake("required field dropped", M, "household:\n  fields:\n    Name: drop<", "Name can't be dropped", "Remove the line"),
    Mistake("parent dropped", M, "position:\n  fields:\n    FinServ__FinancialAccount__r: drop<", "can't be dropped: Salesforce requires it", "Remove the line"),
    Mistake("required field renamed", M, "household:\n  fields:\n    Name: {name: Title__c}<", "Name can't be renamed", "Remove the line"),
    Mistake("invalid API name", M, "household:\n  fields:\n    Phone: {name: Client Phone}<", "'Client Phone' is not valid", "such as `Client_Tier__c`"),
    Mistake("name of another field", M, "household:\n  fields:\n    Phone: {name: BillingCity}<", "has another field BillingCity", "Drop that one"),
    Mistake("lookup renamed as a field", M, "account:\n  fields:\n    FinServ__Household__r: {name: Family__c}<", "is not the kind of field", "with `__r`"),
    Mistake("unknown owner", M, "household:\n  fields:\n    Phone: {owner: us}<", "'us' is not an owner", "Write vendor or shared or firm"),
    Mistake("unknown value", M, "household:\n  fields:\n    FinServ__Status__c:\n      values:\n        Activ: Current<", "Activ is not a value", "Did you mean Active"),
    Mistake("values of a number", M, "account:\n  fields:\n    FinServ__Balance__c: {values: {a: b}}<", "neither a picklist nor text", "Remove `values`"),
    Mistake("unknown relation", M, "household:\n  fields:\n    Plan__c: {column: mart.plan_fresh.probability_ratio}<", "mart.plan_fresh is not in the schema", "mart.plan_freshness"),
    Mistake("unknown column", M, "household:\n  fields:\n    Plan__c: {column: mart.plan_freshness.probability}<", "probability is not in the schema", "probability_ratio"),
    Mistake("SQL in place of a column", M, "household:\n  fields:\n    Plan__c: {column: select 1}<", "'select 1' is not valid", "Write `schema.relation.column`"),
    Mistake("column of several rows", M, "household:\n  fields:\n    Gap__c: {column: mart.risk_alignment.difference}<", "several rows for one household_id", "Add `of_several:"),
    Mistake("column that can't be joined", M, "security:\n  fields:\n    Plan__c: {column: mart.plan_freshness.plan_name}<", "none of the columns by which it could be joined", "security_id"),
    Mistake("hash of a tax id", M, "person:\n  fields:\n    Tax__c: {column: warehouse.person.tax_id_hash}<", "tax_id_hash is not in the schema", ""),
    Mistake("length of a number", M, "household:\n  fields:\n    Worth__c: {column: mart.net_worth.net_worth_usd, length: 5}<", "`length` is for texts", "Remove `length`"),
    Mistake("field that exists added", M, "household:\n  fields:\n    Phone: {column: warehouse.household.email}<", "Phone is in our mapping already", "drop Phone"),
    Mistake("flag that is not a truth value", M, "household:\n  send: maybe<", "'maybe' is not valid", "true or false"),
    Mistake("object that others need", M, "household:\n  send: false<", "household can't be switched off", "send: false"),
    Mistake("owner of a record without representative", M, "security:\n  record_owner: {default: a@b.example}<", "security have no representative", "household"),
    Mistake("user name", M, "household:\n  record_owner:\n    by_code: {REP1: Anna}<", "'Anna' is not valid", "anna@firm.example"),
    Mistake("list in place of a map", M, "household: [Phone]<", "This is a list, not a map", "name: value"),
    Mistake("unknown vendor", V, "orionn: {}<", "orionn is not a vendor", "Did you mean orion?"),
    Mistake("unknown table", V, "orion:\n  columns:\n    account: {}<", "account is not a table of orion", "accounts"),
    Mistake("path to another place", V, "orion:\n  paths:\n    accounts: ../admin<", "not a path below the base URL", "connections.md"),
    Mistake("unknown column of a vendor", V, "orion:\n  columns:\n    accounts:\n      acount_id: Id<", "acount_id is not a column", "account_id"),
    Mistake("unknown code", V, "orion:\n  codes:\n    transactions:\n      type_code: {RIN: DRIP}<", "DRIP is not a declared code", "DRI"),
    Mistake("code that is declared", V, "orion:\n  codes:\n    transactions:\n      type_code: {BUY: SEL}<", "BUY is declared already", "Declared are BUY"),
    Mistake("bound of a column without", V, "orion:\n  bounds:\n    accounts:\n      name: {max: 3}<", "name is not a bounded column", ""),
    Mistake("bound that is not a number", V, "orion:\n  bounds:\n    accounts:\n      cash_usd: {max: lots}<", "'lots' is not valid", "is a number"),
    Mistake("bound that is not a date", V, "orion:\n  bounds:\n    accounts:\n      start_date: {min: 1/2/1990}<", "'1/2/1990' is not valid", "business_date+31d"),
    Mistake("bounds exchanged", V, "orion:\n  bounds:\n    accounts:\n      cash_usd: {min: 9, max: 1}<", "is larger than the largest, 1", "Exchange"),
    Mistake("unknown threshold", T, "excess_cash: 7<", "excess_cash is not a threshold", "excess_cash_percent"),
    Mistake("threshold out of range", T, "plan_days: 0<", "must be between 1 and 3650, and is '0'", "The default is 365"),
    Mistake("threshold that is not a number", T, "plan_days: a year<", "must be a number", "The default is 365"),
    Mistake("unknown kind of alert", A, "fail: tributary_alerts_crm<", "fail is not a kind of alert", "Did you mean failed?"),
    Mistake("address in place of a connection", A, "failed: slack://secret@x<", "not the id of a connection", "never an address"),
    Mistake("rule with a syntax error", R, "def find(:<\n", "not valid Python", "Correct the syntax"),
    Mistake("rule that can't be loaded", R, "import sys\nimport no_such_module<\n", "No module named 'no_such_module'", "Correct this line"),
    Mistake("file without rules", R, "x = 1<\n", "neither RULES nor HOUSEHOLD_RULES", "RULES = (Rule("),
    Mistake("rule that is none", R, "\nRULES = (1,)<\n", "RULES is not a tuple of Rule", "RULES = (Rule("),
    Mistake("name of one of our rules", R, RULE + 'RULES = (Rule("excess_cash", len, "info", None, 0),)<\n', "Another rule is called excess_cash", "name of its own"),
    Mistake("unknown severity", R, RULE + 'RULES = (Rule("ours", len, "bad", None, 0),)<\n', "'bad' is not a valid severity", "info or warning or critical"),
    Mistake("file that nothing reads", "maping.yaml", "household: {}<", "Nothing reads this file", "mapping.yaml"),
)  # fmt: skip


def write(folder: Path, file: str, text: str) -> int:
    """Write a file; return the line of the mistake."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("<", "", 1))
    return 1 if file == "maping.yaml" else next(n for n, line in enumerate(text.splitlines(), 1) if "<" in line)


@pytest.mark.parametrize("mistake", [pytest.param(each, id=each.name) for each in MISTAKES])
def test_a_mistake_is_named_with_its_line_and_the_correct_form(mistake: Mistake, tmp_path: Path) -> None:
    line = write(tmp_path, mistake.file, mistake.text)
    [fault] = read_all(tmp_path)[1]
    assert (fault.place.path, fault.place.line) == (mistake.file, line)
    assert mistake.reason in fault.reason
    assert mistake.correct in fault.correct
    assert "secret" not in str(fault)


# Twenty mistakes in one folder: each file has several, and each file's lines follow each other.
TOGETHER = {
    M: """
houshold: {}
household:
  record_typ: X
  send: maybe
  fields:
    Phon: drop
    Name: drop
    BillingCity: {owner: us}
    FinServ__Status__c: {values: {Activ: Current}}
    Plan__c: {column: mart.plan_freshness.probability}
    Gap__c: {column: mart.risk_alignment.difference}
security:
  record_owner: {default: a@b.example}
person: {fields: {Tax__c: {column: warehouse.person.tax_id_hash}}}
""",
    V: """
orionn: {}
orion:
  paths: {accounts: ../admin}
  codes: {transactions: {type_code: {RIN: DRIP}}}
  bounds: {accounts: {cash_usd: {min: 9, max: 1}}}
""",
    T: "excess_cash: 7\nplan_days: 0\n",
    A: "fail: tributary_alerts_crm\n",
    R: "import no_such_module\n",
    "maping.yaml": "household: {}\n",
}
LINES = {
    M: [2, 4, 5, 7, 8, 9, 10, 11, 12, 14, 15], V: [2, 4, 5, 6], T: [1, 2], A: [1], R: [1], "maping.yaml": [1],
}  # fmt: skip


def test_all_mistakes_are_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(content.VARIABLE, str(tmp_path))
    for file, text in TOGETHER.items():
        write(tmp_path, file, text + "<")
    faults = read_all(tmp_path)[1]
    assert {file: [each.place.line for each in faults if each.place.path == file] for file in LINES} == LINES
    assert len(faults) == sum(map(len, LINES.values())) == 20

    with pytest.raises(InvalidFolder) as refused:
        content.require_valid()
    assert all(str(fault) in str(refused.value) for fault in faults)
    with pytest.raises(InvalidFolder, match="19 mistakes"):
        in_force()  # without the rules
