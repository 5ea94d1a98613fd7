-- One row per legal entity of a household (a trust, an LLC, a foundation), with the parties that the titles of its registrations name, and the
-- number of accounts that it owns now. `parties` is a JSON list of name, role and person: our id of the person, or null if only the name is known.
create function mart.legal_entity_as_known(known_at timestamptz)
returns table (legal_entity_id bigint, vendor text, legal_entity_key text, name text, entity_kind text, tax_id_last4 text, household_id bigint,
               household_name text, parties jsonb, accounts bigint)
language sql stable set enable_nestloop to off as $$
    with one as (
        select * from mart.legal_entity_as_one(known_at)
    ), party as (
        select o.anchor_id, jsonb_agg(distinct jsonb_build_object('name', p.name, 'role', p.role, 'person_id', h.anchor_id)) as parties
        from one o
        join warehouse.registration_party e on e.legal_entity_id = o.legal_entity_id and e.valid_to is null
             and e.recorded_from <= known_at and (e.recorded_to is null or e.recorded_to > known_at)
        join warehouse.registration_party p on p.registration_id = e.registration_id and p.legal_entity_id is null and p.valid_to is null
             and p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
        left join mart.person_as_one(known_at) h on h.person_id = p.person_id
        group by 1
    ), owned as (
        select o.anchor_id, count(distinct a.account_id) as accounts
        from one o
        join mart.account_owner_known(known_at) a on a.legal_entity_id = o.legal_entity_id and upper_inf(a.covers)
        where not exists (select from warehouse.identity i where i.entity = 'account' and i.id = a.account_id
                          and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at))
        group by 1
    )
    select o.legal_entity_id, l.vendor, l.legal_entity_key, o.legal_entity_name, o.entity_kind, l.tax_id_last4, o.household_id,
           o.household_name, coalesce(p.parties, '[]'), coalesce(n.accounts, 0)
    from one o
    join warehouse.legal_entity l on l.legal_entity_id = o.legal_entity_id and l.valid_to is null
         and l.recorded_from <= known_at and (l.recorded_to is null or l.recorded_to > known_at)
    left join party p on p.anchor_id = o.anchor_id
    left join owned n on n.anchor_id = o.anchor_id
    where o.legal_entity_id = o.anchor_id
$$;
create view mart.legal_entity as select * from mart.legal_entity_as_known('infinity');
