"""What identity takes and gives: Arrow schemas, a column a line.

Ids are ours (surrogates) and stay what they are; no result depends on their order of arrival. A record that names two
people ("John & Mary Smith") is two records: the second person's id is the record's, negated.
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
        "name": pa.string(),  # the whole, as the vendor writes it; read where first or last name is missing
        "birth_date": pa.date32(),
        "email": pa.string(),
        "household_email": pa.string(),  # what the vendor writes with the household: anybody's in it
        "phone": pa.string(),
        "street": pa.string(),
        "city": pa.string(),
        "state_code": pa.string(),
        "postal_code": pa.string(),
        "tax_id": pa.string(),  # in clear: in benchmarks only, and then in all records
        "tax_id_hash": pa.string(),  # keyed: equal or not
        "tax_id_last4": pa.string(),
        # `<system>:household:<key>` and `<system>:account:<key>` are shared by a household; any other key is one person's.
        "strong_keys": TEXTS,
    }
)
"""Records of persons, one a person and vendor; columns that are left out are null."""

DECISIONS = pa.schema({"left": pa.int64(), "right": pa.int64(), "is_same": pa.bool_()})
"""A person's word on a pair. It is never overruled; of two that contradict each other, `different` wins."""

KNOWN = pa.schema({"record_id": pa.int64(), "person_id": pa.int64()})
"""Who a record was when last linked, so that a person keeps the id."""

LINKS = pa.schema(
    {
        "left": pa.int64(),
        "right": pa.int64(),
        "score": pa.float64(),  # log2 of the odds that both are one person: 10 is a thousand to one
        "agreed": TEXTS,
        "differed": TEXTS,
        "how": pa.string(),  # key, model or person
    }
)
"""Pairs of records and why; `left` comes before `right` by `rank`."""

CLUSTERS = pa.schema({"record_id": pa.int64(), "person_id": pa.int64()})


HOUSEHOLDS = pa.schema({"vendor": pa.string(), "household": pa.string(), "household_id": pa.int64()})

ACCOUNTS = pa.schema(
    {
        "account_id": pa.int64(),
        "vendor": pa.string(),
        "priority": pa.int64(),  # whose word counts: of the same account, the smallest is the original
        "number_hash": pa.string(),  # keyed
        "number_last4": pa.string(),
        "institution": pa.string(),  # who holds it
        "owners": pa.list_(pa.int64()),  # person ids
        "value_usd": pa.decimal128(20, 2),
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
    """Returns the table with exactly the schema's columns, nulls for those left out."""
    return pa.table(
        [
            table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
            for field in schema
        ],
        schema=schema,
    )
