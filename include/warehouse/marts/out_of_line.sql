-- Findings with their history: since when, and until when. The text is the newest.
create function mart.out_of_line_as_known(known_at timestamptz)
returns table (finding_id bigint, rule text, severity text, household_id bigint, household_name text, person_id bigint,
               person_name text, account_id bigint, account_name text, representative_id bigint, representative_name text,
               out_since date, last_seen date, back_on date, days integer, measure numeric, details text)
language sql stable as $$
    select f.finding_id, f.rule, f.severity, coalesce(h.anchor_id, f.household_id), h.household_name,
           case when f.subject_entity = 'person' then f.subject_id end, p.person_name,
           case when f.subject_entity = 'account' then f.subject_id end, a.account_name, f.representative_id, r.representative_name,
           f.business_date_opened, s.seen, case when f.closed_at <= known_at then f.business_date_closed end,
           case when f.closed_at <= known_at then f.business_date_closed else s.seen end - f.business_date_opened,
           f.measure, f.details
    from control.finding f
    cross join lateral (select least(f.business_date_seen, (known_at at time zone 'UTC')::date) as seen) s
    left join mart.household_as_one(known_at) h on h.household_id = f.household_id
    left join mart.person_as_one(known_at) p on f.subject_entity = 'person' and p.person_id = f.subject_id
    left join mart.account_known(known_at) a on f.subject_entity = 'account' and a.account_id = f.subject_id and upper_inf(a.covers)
    left join mart.representative_known(known_at) r on r.representative_id = f.representative_id and upper_inf(r.covers)
    where f.opened_at <= known_at
$$;
create view mart.out_of_line as select * from mart.out_of_line_as_known('infinity');
