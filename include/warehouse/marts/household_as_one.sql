-- Each household record with the record that represents it, and the name and representative by survivorship. It runs once per query and is
-- materialized (as most functions with `enable_nestloop to off`): the planner knows nothing of tables just loaded, and would run it per row.
create function mart.household_as_one(known_at timestamptz)
returns table (household_id bigint, anchor_id bigint, household_name text, representative_id bigint, representative_name text)
language sql stable rows 10000 set enable_nestloop to off as $$
    with record as (
        select h.household_id, h.vendor, h.name, h.representative_id, coalesce(i.identity_id, h.household_id) as anchor_id,
               h.vendor in (select vendor from mart.unused_vendor_known(known_at)) as is_unused
        from warehouse.household h
        left join warehouse.identity i on i.entity = 'household' and i.id = h.household_id
              and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
        where h.valid_to is null and h.recorded_from <= known_at and (h.recorded_to is null or h.recorded_to > known_at)
    ), named as (
        select household_id, anchor_id,
               first_value(name) over (
                   partition by anchor_id order by name is null, is_unused, warehouse.rank_of(vendor, 'name'), household_id) as name,
               first_value(representative_id) over (
                   partition by anchor_id order by representative_id is null, is_unused, warehouse.rank_of(vendor, 'representative'), household_id)
                   as representative_id
        from record
    )
    select n.household_id, n.anchor_id, n.name, n.representative_id, a.representative_name
    from named n
    left join mart.representative_known(known_at) a on a.representative_id = n.representative_id and upper_inf(a.covers)
$$;
