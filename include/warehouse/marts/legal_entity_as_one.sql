-- Each legal entity record with the record that represents it, the name and kind by survivorship, and the household.
create function mart.legal_entity_as_one(known_at timestamptz)
returns table (legal_entity_id bigint, anchor_id bigint, legal_entity_name text, entity_kind text, household_id bigint, household_name text,
               representative_id bigint, representative_name text)
language sql stable rows 10000 set enable_nestloop to off as $$
    with record as (
        select l.legal_entity_id, l.vendor, l.name, l.entity_kind, l.household_id, coalesce(i.identity_id, l.legal_entity_id) as anchor_id,
               l.vendor in (select vendor from mart.unused_vendor_known(known_at)) as is_unused
        from warehouse.legal_entity l
        left join warehouse.identity i on i.entity = 'legal_entity' and i.id = l.legal_entity_id
              and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
        where l.valid_to is null and l.recorded_from <= known_at and (l.recorded_to is null or l.recorded_to > known_at)
    ), named as (
        select legal_entity_id, anchor_id, first_value(name) over names as name, first_value(entity_kind) over names as entity_kind,
               first_value(household_id) over (
                   partition by anchor_id order by household_id is null, is_unused, warehouse.rank_of(vendor, 'household'), legal_entity_id) as household_id
        from record
        window names as (partition by anchor_id order by name is null, is_unused, warehouse.rank_of(vendor, 'name'), legal_entity_id)
    )
    select n.legal_entity_id, n.anchor_id, n.name, n.entity_kind, h.anchor_id, h.household_name, h.representative_id, h.representative_name
    from named n
    left join mart.household_as_one(known_at) h on h.household_id = n.household_id
$$;
