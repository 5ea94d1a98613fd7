"""Arrow schemas of the inputs and outputs of identity matching.

Ids are the warehouse's surrogate ids, which never change. A record that names two people ("John & Mary Smith") becomes two records; the
second person's id is the record's id, negated.

Docstrings name a schema in capitals: `PERSONS` means a table with that schema.
"""

from __future__ import annotations

import pyarrow as pa

TEXTS = pa.list_(pa.string())

PERSONS = pa.schema(
    {
        "record_id": pa.int64(),  # positive
        "vendor": pa.string(),
        "household": pa.string(),  # the vendor's own key of the household
        "first_name": pa.string(),
        "last_name": pa.string(),
        "name": pa.string(),  # full name as the vendor writes it; used if first or last name is missing
        # What tells a registration of a legal entity from a person's, if the vendor states it: its type, and `ein` or `ssn`.
        "registration_type": pa.string(),
        "tax_id_form": pa.string(),
        "birth_date": pa.date32(),
        "email": pa.string(),
        "household_email": pa.string(),  # the household's e-mail, which may belong to any member
        "phone": pa.string(),
        "street": pa.string(),
        "city": pa.string(),
        "state_code": pa.string(),
        "postal_code": pa.string(),
        "tax_id": pa.string(),  # unencrypted: only in benchmarks, and then in all records
        "tax_id_hash": pa.string(),  # keyed hash: can only be compared for equality
        "tax_id_last4": pa.string(),
        # Keys in other systems: `<system>:household:<key>` and `<system>:account:<key>` are shared by a household, others are one person's.
        "strong_keys": TEXTS,
    }
)
"""Records of persons, one per person and vendor; missing columns are null."""

DECISIONS = pa.schema({"left": pa.int64(), "right": pa.int64(), "is_same": pa.bool_()})
"""Reviewers' decisions on pairs. The matching never overrules them; if two of them contradict each other, "different" wins."""

KNOWN = pa.schema({"record_id": pa.int64(), "person_id": pa.int64()})
"""The person of each record in the previous run, so that people keep their ids."""

LINKS = pa.schema(
    {
        "left": pa.int64(),
        "right": pa.int64(),
        "score": pa.float64(),  # log2 of the odds that both are one person: 10 is a thousand to one
        "agreed": TEXTS,
        "differed": TEXTS,
        "how": pa.string(),  # key, model or person
        "rule": pa.string(),  # name of the rule that lowered the score; null for none
    }
)
"""Pairs of records with the reasons. `left` is the record of lower rank (see `include.identity.people.sort_by_rank`)."""

REVIEW = LINKS.append(pa.field("rank", pa.float64()))
"""Pairs to review. `rank`: how much an answer matters; the highest come first."""

WEIGHTS = pa.schema({"record_id": pa.int64(), "worth": pa.float64()})
"""How much depends on a record, such as the value of its accounts in USD. Pairs whose answer moves more are reviewed first."""

CLUSTERS = pa.schema({"record_id": pa.int64(), "person_id": pa.int64()})


HOUSEHOLDS = pa.schema({"vendor": pa.string(), "household": pa.string(), "household_id": pa.int64()})

ACCOUNTS = pa.schema(
    {
        "account_id": pa.int64(),
        "vendor": pa.string(),
        "priority": pa.int64(),  # among copies of an account, the smallest is the original
        "number_hash": pa.string(),  # keyed hash
        "number_last4": pa.string(),
        "former_numbers": TEXTS,  # earlier hashes and last four digits of a number that the vendor has changed
        "institution": pa.string(),  # custodian or institution
        "owners": pa.list_(pa.int64()),  # person ids
        "value_usd": pa.decimal128(20, 2),
        "is_absent": pa.bool_(),  # whether the vendor no longer lists it
        "is_unused": pa.bool_(),  # whether the firm no longer uses the vendor
        "known_id": pa.int64(),  # the original of the last run
    }
)

COPIES = pa.schema(
    {
        "account_id": pa.int64(),
        "original_id": pa.int64(),
        "agreed": TEXTS,
        "differed": TEXTS,
        "how": pa.string(),  # key or rule
        "is_sure": pa.bool_(),
    }
)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with exactly the schema's columns; missing columns become null."""
    return pa.table(
        [
            table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
            for field in schema
        ],
        schema=schema,
    )
