-- The clients whose data a run, an actor, or anyone in a period has read or changed, with the kinds of data: one row per person or legal
-- entity, or per household if neither is known, with the name that the firm uses. `client` is null for records that lead to no client, such as an envelope
-- without a known signer. The data of an account counts for everyone who owned the account on the first of the accessed days or later, and
-- for owners that were recorded later. See `mart.access`.
create function mart.exposure(of_run text, of_actor text, since timestamptz, until timestamptz)
returns table (client text, client_id bigint, name text, household_name text, data_kinds text[], how text[], actions text[],
               first_at timestamptz, last_at timestamptz)
language sql stable set enable_nestloop to off as $$
    with touched as materialized (
        select how, action, data_kinds, person_id, legal_entity_id, household_id, account_id, case when envelope_key is not null then vendor end as vendor,
               envelope_key, min(coalesce(lower(valid), '-infinity')) as first_day, min(happened_at) as first_at, max(happened_at) as last_at
        from mart.access(of_run, of_actor, since, until) group by 1, 2, 3, 4, 5, 6, 7, 8, 9
    ), about as (
        select t.*, coalesce(t.person_id, o.person_id) as a_person, coalesce(t.legal_entity_id, o.legal_entity_id) as an_entity,
               coalesce(t.household_id, o.household_id, e.household_id) as a_household
        from touched t
        left join warehouse.account_owner o on o.account_id = t.account_id and (o.valid_to is null or o.valid_to > t.first_day)
             and (o.recorded_to is null or o.recorded_to > t.first_at)
        left join mart.envelope e on e.vendor = t.vendor and e.envelope_key = t.envelope_key
    ), client as (
        select a.*, case when p.person_id is not null then 'person' when l.legal_entity_id is not null then 'legal_entity' when h.household_id is not null then 'household' end as client,
               coalesce(p.anchor_id, l.anchor_id, h.anchor_id) as client_id,
               coalesce(p.person_name, l.legal_entity_name, h.household_name) as name,
               coalesce(p.household_name, l.household_name, h.household_name) as household_name
        from about a
        left join mart.person_as_one('infinity') p on p.person_id = a.a_person
        left join mart.legal_entity_as_one('infinity') l on l.legal_entity_id = a.an_entity
        left join mart.household_as_one('infinity') h on h.household_id = a.a_household
    )
    select c.client, c.client_id, c.name, c.household_name, array_agg(distinct kind order by kind), array_agg(distinct c.how order by c.how),
           array_agg(distinct c.action order by c.action), min(c.first_at), max(c.last_at)
    from client c cross join lateral unnest(c.data_kinds) kind
    group by 1, 2, 3, 4
$$;
