-- Current records that a reviewer decides on, with their household as one across vendors, for the filters and the search of the review.
create view control.identity_record as
select r.entity, r.id, r.vendor, r.name, coalesce(i.identity_id, r.household_id) as household_id, h.name as household
from (
    select 'person' as entity, person_id as id, vendor, coalesce(name, concat_ws(' ', first_name, last_name)) as name, household_id
    from warehouse.person where recorded_to is null and valid_to is null
    union all
    select 'legal_entity', legal_entity_id, vendor, name, household_id from warehouse.legal_entity where recorded_to is null and valid_to is null
    union all
    select 'account', account_id, vendor, name, household_id from warehouse.account where recorded_to is null and valid_to is null
    union all
    select 'account', outside_account_id, vendor, name, household_id from warehouse.outside_account where recorded_to is null and valid_to is null
) r
left join warehouse.household h on h.household_id = r.household_id and h.recorded_to is null and h.valid_to is null
left join warehouse.identity i on i.entity = 'household' and i.id = r.household_id and i.recorded_to is null;
grant select on control.identity_record to tributary_web;
