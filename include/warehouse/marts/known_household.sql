-- Each household record with the record that represents it, and each attribute by survivorship. One record of each household is the anchor,
-- by which it is counted; vendor and key are those of the representing record, even if that is missing.
create view warehouse.known_household as
with record as (
    select h.household_id, h.vendor, h.name, h.category, h.street, h.city, h.state_code, h.postal_code, h.country, h.email, h.phone,
           h.representative_id, h.is_active, coalesce(i.identity_id, h.household_id) as identity_id,
           h.vendor in (select vendor from mart.unused_vendor_known('infinity')) as is_unused
    from warehouse.household h
    left join warehouse.identity i on i.entity = 'household' and i.id = h.household_id and i.recorded_to is null
    where h.valid_to is null and h.recorded_to is null
      and not h.is_past_only
)
select r.household_id, r.identity_id,
       row_number() over (partition by r.identity_id order by r.household_id <> r.identity_id, r.household_id) = 1 as is_anchor,
       k.vendor, k.source_key as household_key,
       first_value(r.name) over names as name,
       first_value(r.category) over categories as category,
       first_value(r.street) over addresses as street, first_value(r.city) over addresses as city,
       first_value(r.state_code) over addresses as state_code, first_value(r.postal_code) over addresses as postal_code,
       first_value(r.country) over addresses as country,
       first_value(r.email) over emails as email,
       first_value(r.phone) over phones as phone,
       first_value(r.representative_id) over representatives as representative_id,
       first_value(r.is_active) over activities as is_active
from record r
join warehouse.source_key k on k.id = r.identity_id
window names as (partition by r.identity_id order by r.name is null, r.is_unused, warehouse.rank_of(r.vendor, 'name'), r.household_id),
       categories as (partition by r.identity_id order by r.category is null, r.is_unused, warehouse.rank_of(r.vendor, 'category'), r.household_id),
       addresses as (partition by r.identity_id order by r.street is null, r.is_unused, warehouse.rank_of(r.vendor, 'address'), r.household_id),
       emails as (partition by r.identity_id order by r.email is null, r.is_unused, warehouse.rank_of(r.vendor, 'email'), r.household_id),
       phones as (partition by r.identity_id order by r.phone is null, r.is_unused, warehouse.rank_of(r.vendor, 'phone'), r.household_id),
       representatives as (partition by r.identity_id
                           order by r.representative_id is null, r.is_unused, warehouse.rank_of(r.vendor, 'representative'), r.household_id),
       activities as (partition by r.identity_id order by r.is_active is null, r.is_unused, warehouse.rank_of(r.vendor, ''), r.household_id);
