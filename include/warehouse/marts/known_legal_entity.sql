-- Each legal entity record with the record that represents it, and each attribute by survivorship. See `known_household`.
create view warehouse.known_legal_entity as
with record as (
    select l.legal_entity_id, l.vendor, l.name, l.entity_kind, l.household_id, coalesce(i.identity_id, l.legal_entity_id) as identity_id,
           l.vendor in (select vendor from mart.unused_vendor_known('infinity')) as is_unused
    from warehouse.legal_entity l
    left join warehouse.identity i on i.entity = 'legal_entity' and i.id = l.legal_entity_id and i.recorded_to is null
    where l.valid_to is null and l.recorded_to is null
      and not l.is_past_only
)
select r.legal_entity_id, r.identity_id,
       row_number() over (partition by r.identity_id order by r.legal_entity_id <> r.identity_id, r.legal_entity_id) = 1 as is_anchor,
       k.vendor, k.source_key as legal_entity_key,
       first_value(r.name) over names as name, first_value(r.entity_kind) over names as entity_kind,
       first_value(r.household_id) over homes as household_id
from record r
join warehouse.source_key k on k.id = r.identity_id
window names as (partition by r.identity_id order by r.name is null, r.is_unused, warehouse.rank_of(r.vendor, 'name'), r.legal_entity_id),
       homes as (partition by r.identity_id order by r.household_id is null, r.is_unused, warehouse.rank_of(r.vendor, 'household'), r.legal_entity_id);
