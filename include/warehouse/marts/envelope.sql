-- Envelopes with their household: the one in the sender's reference, else the only one that the signers' e-mail addresses lead to.
-- `recipients` counts the signers, and `signed` those of them who have signed. `waits_for` is the first recipient in order who has to act and has
-- not: the name, else the e-mail address, else the role.
create function mart.envelope_as_known(known_at timestamptz)
returns table (vendor text, envelope_key text, subject text, purpose text, status text, is_final boolean, reason text,
               household_id bigint, sender_name text, sender_email text, created_at timestamptz, sent_at timestamptz,
               delivered_at timestamptz, completed_at timestamptz, ended_at timestamptz, changed_at timestamptz,
               recipients bigint, signed bigint, waits_for text)
language sql stable as $$
    with envelope as (
        select * from warehouse.envelope
        where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    ), recipient as (  -- of the newest state: an envelope's own row may be loaded before those of its recipients
        select * from (
            select r.*, rank() over (partition by r.vendor, r.envelope_key order by r.changed_at desc nulls last) as place
            from warehouse.envelope_recipient r
            where r.recorded_from <= known_at and (r.recorded_to is null or r.recorded_to > known_at)
        ) newest where place = 1
    ), addressed as (
        select lower(email) as email, min(household_id) as household_id
        from (
            select o.household_id, first_value(p.email) over (
                       partition by o.anchor_id order by p.email is null, p.vendor in (select vendor from mart.unused_vendor_known(known_at)),
                                                warehouse.rank_of(p.vendor, 'email'), p.person_id) as email
            from warehouse.person p
            join mart.person_as_one(known_at) o on o.person_id = p.person_id
            where p.valid_to is null and not p.is_past_only
              and p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
        ) person
        where email is not null group by 1 having count(distinct household_id) = 1
    ), led as (
        select r.vendor, r.envelope_key, min(a.household_id) as household_id
        from recipient r join addressed a on a.email = lower(r.email)
        where r.role = any(mart.acting_roles()) group by 1, 2 having count(distinct a.household_id) = 1
    ), acted as (
        select vendor, envelope_key, count(*) filter (where role = any(mart.acting_roles())) as recipients,
               count(*) filter (where role = any(mart.acting_roles()) and (signed_at is not null or status = 'completed')) as signed,
               min(reason) filter (where declined_at is not null) as declined_for,
               (array_agg(coalesce(name, email, replace(role, '_', ' ')) order by routing_order, envelope_recipient_key)
                filter (where signed_at is null and declined_at is null and status <> 'completed'))[1] as waits_for
        from recipient where role not in ('carbon_copy', 'share') group by 1, 2
    )
    select e.vendor, e.envelope_key, e.subject, e.purpose, e.status, e.is_final, coalesce(e.reason, a.declined_for),
           coalesce(h.anchor_id, l.household_id), e.sender_name, e.sender_email, e.created_at, e.sent_at, e.delivered_at,
           e.completed_at, e.ended_at, e.changed_at, coalesce(a.recipients, 0), coalesce(a.signed, 0),
           case when not e.is_final then a.waits_for end
    from envelope e
    left join warehouse.source_key k on k.entity = 'household' and split_part(e.household_reference, ':', 2) = 'household'
         and k.vendor = split_part(e.household_reference, ':', 1) and k.source_key = split_part(e.household_reference, ':', 3)
    left join mart.household_as_one(known_at) h on h.household_id = k.id
    left join led l on l.vendor = e.vendor and l.envelope_key = e.envelope_key
    left join acted a on a.vendor = e.vendor and a.envelope_key = e.envelope_key
$$;
create view mart.envelope as select * from mart.envelope_as_known('infinity');
