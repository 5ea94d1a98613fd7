-- Each person record with the record that represents it, and each attribute by survivorship. See `known_household`.
create view warehouse.known_person as
with record as (
    select p.person_id, p.vendor, p.name, p.first_name, p.last_name, p.birth_date, p.email, p.phone, p.household_id,
           coalesce(i.identity_id, p.person_id) as identity_id,
           p.vendor in (select vendor from mart.unused_vendor_known('infinity')) as is_unused
    from warehouse.person p
    left join warehouse.identity i on i.entity = 'person' and i.id = p.person_id and i.recorded_to is null
    where p.valid_to is null and p.recorded_to is null
      and not p.is_past_only
)
select r.person_id, r.identity_id,
       row_number() over (partition by r.identity_id order by r.person_id <> r.identity_id, r.person_id) = 1 as is_anchor,
       k.vendor, k.source_key as person_key,
       first_value(r.name) over names as name, first_value(r.first_name) over names as first_name,
       first_value(r.last_name) over names as last_name,
       first_value(r.birth_date) over births as birth_date,
       first_value(r.email) over emails as email,
       first_value(r.phone) over phones as phone,
       first_value(r.household_id) over homes as household_id
from record r
join warehouse.source_key k on k.id = r.identity_id
window names as (partition by r.identity_id
                 order by coalesce(r.last_name, r.name) is null, r.is_unused, warehouse.rank_of(r.vendor, 'name'), r.person_id),
       births as (partition by r.identity_id order by r.birth_date is null, r.is_unused, warehouse.rank_of(r.vendor, 'birth_date'), r.person_id),
       emails as (partition by r.identity_id order by r.email is null, r.is_unused, warehouse.rank_of(r.vendor, 'email'), r.person_id),
       phones as (partition by r.identity_id order by r.phone is null, r.is_unused, warehouse.rank_of(r.vendor, 'phone'), r.person_id),
       homes as (partition by r.identity_id order by r.household_id is null, r.is_unused, warehouse.rank_of(r.vendor, 'household'), r.person_id);
