-- Each person record with the record that represents it, the name and birth date by survivorship, and the household.
create function mart.person_as_one(known_at timestamptz)
returns table (person_id bigint, anchor_id bigint, person_name text, birth_date date, household_id bigint, household_name text,
               representative_id bigint, representative_name text)
language sql stable rows 10000 set enable_nestloop to off as $$
    with record as (
        select p.person_id, p.vendor, p.name, p.birth_date, p.household_id, coalesce(i.identity_id, p.person_id) as anchor_id,
               p.vendor in (select vendor from mart.unused_vendor_known(known_at)) as is_unused
        from warehouse.person p
        left join warehouse.identity i on i.entity = 'person' and i.id = p.person_id
              and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
        where p.valid_to is null and p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
    ), named as (
        select person_id, anchor_id,
               first_value(name) over (
                   partition by anchor_id order by name is null, is_unused, warehouse.rank_of(vendor, 'name'), person_id) as name,
               first_value(birth_date) over (
                   partition by anchor_id order by birth_date is null, is_unused, warehouse.rank_of(vendor, 'birth_date'), person_id) as birth_date,
               first_value(household_id) over (
                   partition by anchor_id order by household_id is null, is_unused, warehouse.rank_of(vendor, 'household'), person_id) as household_id
        from record
    )
    select n.person_id, n.anchor_id, n.name, n.birth_date, h.anchor_id, h.household_name, h.representative_id, h.representative_name
    from named n
    left join mart.household_as_one(known_at) h on h.household_id = n.household_id
$$;
