-- The versions of sensitive values, by their hashes: which value of `warehouse.sealed_value` a record had, and since when it no longer has it.
create view warehouse.value_version as
select v.entity, v.vendor, v.source_key, v.id, v.name, v.value_hash, v.valid_from, v.valid_to, v.recorded_from, v.recorded_to,
       least(v.recorded_to, v.valid_to::timestamptz, (select a.absent_since::timestamptz from control.absence a
            where (a.entity, a.vendor, a.source_key) = (v.entity, v.vendor, v.source_key))) as ended_at
from (
    select 'person' as entity, vendor, person_key as source_key, person_id as id, 'tax_id' as name, tax_id_hash as value_hash,
           valid_from, valid_to, recorded_from, recorded_to from warehouse.person
    union all
    select 'legal_entity', vendor, legal_entity_key, legal_entity_id, 'tax_id', tax_id_hash, valid_from, valid_to, recorded_from, recorded_to
    from warehouse.legal_entity
    union all
    select 'account', vendor, account_key, account_id, 'account_number', account_number_hash, valid_from, valid_to, recorded_from, recorded_to
    from warehouse.account
) v
where v.value_hash is not null;
