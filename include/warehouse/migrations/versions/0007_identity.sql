-- Who is who across vendors. Records keep their own ids; identity points them to the one that stands for all of them.

create table warehouse.identity (
    entity        text        not null check (entity in ('person', 'household', 'account')),
    id            bigint      not null,           -- of a record: a person, a household, an account or an outside account
    identity_id   bigint      not null,           -- of the record that stands for it
    how           text        not null default '',
    recorded_from timestamptz not null,
    recorded_to   timestamptz,
    source_run_id text        not null,
    check (recorded_from <= recorded_to)
);
create unique index identity_open on warehouse.identity (entity, id) where recorded_to is null;
create index identity_members on warehouse.identity (entity, identity_id) where recorded_to is null;

-- Which vendor's word counts first for what; attribute '' stands for all that are not named.
create table control.survivorship (
    vendor    text not null,
    attribute text not null,
    rank      int  not null,
    primary key (vendor, attribute)
);

-- What each run of identity found; one that saw nothing new is not written.
create table control.identity_run (
    run_id      text        primary key,
    fingerprint text        not null,           -- of all that it looked at
    records     bigint      not null,
    people      bigint      not null,
    households  bigint      not null,
    copies      bigint      not null,
    review      bigint      not null,
    changed     bigint      not null,
    seconds     double precision not null,
    ended_at    timestamptz not null default clock_timestamp()
);

-- Why records are one, as the last run saw it. A person may be the second of a record that names two: its id, negated.
create table control.identity_link (
    entity    text   not null check (entity in ('person', 'household', 'account')),
    left_id   bigint not null,
    right_id  bigint not null,
    score     double precision,                   -- null where a rule decided
    agreed    text[] not null,
    differed  text[] not null,
    how       text   not null,
    run_id    text   not null
);
create index identity_link_left on control.identity_link (left_id);
create index identity_link_right on control.identity_link (right_id);

-- Pairs that a person should look at, as the last run saw them.
create table control.identity_review (
    entity    text   not null check (entity in ('person', 'household', 'account')),
    left_id   bigint not null,
    right_id  bigint not null,
    score     double precision,
    agreed    text[] not null,
    differed  text[] not null,
    how       text   not null,
    run_id    text   not null,
    primary key (entity, left_id, right_id)
);

-- What a person said of a pair; the newest word counts, and no machine overrules it. Loaders add to it and change nothing.
create table control.identity_decision (
    decision_id bigint generated always as identity primary key,
    entity      text        not null check (entity in ('person', 'household', 'account')),
    left_id     bigint      not null,
    right_id    bigint      not null,
    is_same     boolean     not null,
    reason      text        not null check (reason <> ''),
    decided_by  text        not null check (decided_by <> ''),
    decided_at  timestamptz not null default clock_timestamp(),
    replaces    bigint      references control.identity_decision,  -- the word that it takes the place of
    check (left_id < right_id)
);
create index identity_decision_pair on control.identity_decision (entity, left_id, right_id, decision_id desc);
create unique index identity_decision_next on control.identity_decision (entity, left_id, right_id, replaces) nulls not distinct;
revoke update, delete on control.identity_decision from tributary_load;

create view control.identity_said as
select distinct on (entity, left_id, right_id) * from control.identity_decision
order by entity, left_id, right_id, decision_id desc;

create function warehouse.rank_of(of_vendor text, of_attribute text) returns int
language sql stable as $$
    select coalesce((select rank from control.survivorship where vendor = of_vendor and attribute = of_attribute),
                    (select rank from control.survivorship where vendor = of_vendor and attribute = ''), 1000)
$$;

-- Each household record with the one that stands for it, and of every attribute the first vendor's that knows it. One record of
-- each is the anchor, by which it is counted; vendor and key stay those of the record that stands for it, also if that is gone.
create view warehouse.known_household as
with record as (
    select h.*, coalesce(i.identity_id, h.household_id) as identity_id
    from warehouse.household h
    left join warehouse.identity i on i.entity = 'household' and i.id = h.household_id and i.recorded_to is null
    where h.valid_to is null and h.recorded_to is null
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
window names as (partition by r.identity_id order by r.name is null, warehouse.rank_of(r.vendor, 'name'), r.household_id),
       categories as (partition by r.identity_id order by r.category is null, warehouse.rank_of(r.vendor, 'category'), r.household_id),
       addresses as (partition by r.identity_id order by r.street is null, warehouse.rank_of(r.vendor, 'address'), r.household_id),
       emails as (partition by r.identity_id order by r.email is null, warehouse.rank_of(r.vendor, 'email'), r.household_id),
       phones as (partition by r.identity_id order by r.phone is null, warehouse.rank_of(r.vendor, 'phone'), r.household_id),
       representatives as (partition by r.identity_id
                           order by r.representative_id is null, warehouse.rank_of(r.vendor, 'representative'), r.household_id),
       activities as (partition by r.identity_id order by r.is_active is null, warehouse.rank_of(r.vendor, ''), r.household_id);

-- The same of persons.
create view warehouse.known_person as
with record as (
    select p.*, coalesce(i.identity_id, p.person_id) as identity_id
    from warehouse.person p
    left join warehouse.identity i on i.entity = 'person' and i.id = p.person_id and i.recorded_to is null
    where p.valid_to is null and p.recorded_to is null
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
                 order by coalesce(r.last_name, r.name) is null, warehouse.rank_of(r.vendor, 'name'), r.person_id),
       births as (partition by r.identity_id order by r.birth_date is null, warehouse.rank_of(r.vendor, 'birth_date'), r.person_id),
       emails as (partition by r.identity_id order by r.email is null, warehouse.rank_of(r.vendor, 'email'), r.person_id),
       phones as (partition by r.identity_id order by r.phone is null, warehouse.rank_of(r.vendor, 'phone'), r.person_id),
       homes as (partition by r.identity_id order by r.household_id is null, warehouse.rank_of(r.vendor, 'household'), r.person_id);

-- What a household has, as far as vendors tell: its share of what the firm manages, and what is held elsewhere. An account that
-- is another one's copy counts once, as the original; of each account the newest value that was known.
create function mart.net_worth_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, managed_usd numeric, held_away_usd numeric, net_worth_usd numeric,
               accounts bigint, copies bigint)
language sql stable as $$
    with same as (
        select entity, id, identity_id from warehouse.identity
        where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    ), held as (
        select o.household_id, a.account_id, true as is_managed, o.share_ratio * v.market_value_usd as value_usd
        from mart.account_known(known_at) a
        join mart.account_owner_known(known_at) o on o.account_id = a.account_id and upper_inf(o.covers)
        join lateral (
            select market_value_usd from warehouse.account_value w
            where w.account_id = a.account_id and w.recorded_from <= known_at and (w.recorded_to is null or w.recorded_to > known_at)
            order by business_date desc limit 1
        ) v on true
        where upper_inf(a.covers) and a.is_counted
        union all
        select a.household_id, a.outside_account_id, false, v.market_value_usd
        from warehouse.outside_account a
        join lateral (
            select market_value_usd from warehouse.outside_value w
            where w.outside_account_id = a.outside_account_id
              and w.recorded_from <= known_at and (w.recorded_to is null or w.recorded_to > known_at)
            order by asked_on desc, asked_at desc limit 1
        ) v on true
        where a.valid_to is null and a.recorded_from <= known_at and (a.recorded_to is null or a.recorded_to > known_at)
    ), counted as (
        select coalesce(h.identity_id, held.household_id) as household_id, held.account_id, held.is_managed, held.value_usd,
               c.id is not null as is_copy
        from held
        left join same h on h.entity = 'household' and h.id = held.household_id
        left join same c on c.entity = 'account' and c.id = held.account_id
    )
    select c.household_id, h.household_name,
           coalesce(round(sum(value_usd) filter (where is_managed and not is_copy), 2), 0),
           coalesce(round(sum(value_usd) filter (where not is_managed and not is_copy), 2), 0),
           coalesce(round(sum(value_usd) filter (where not is_copy), 2), 0),
           count(distinct account_id) filter (where not is_copy), count(distinct account_id) filter (where is_copy)
    from counted c
    left join mart.household_known(known_at) h on h.household_id = c.household_id and upper_inf(h.covers)
    group by 1, 2
$$;
create view mart.net_worth as select * from mart.net_worth_as_known('infinity');
grant select on mart.net_worth to tributary_load, tributary_read;
grant execute on function mart.net_worth_as_known(timestamptz) to tributary_load, tributary_read;

-- An account of one portfolio system that is another's copy counts once, in every sum of what the firm manages.
create or replace function mart.holding_as_known(known_at timestamptz)
returns table (business_date date, vendor text, position_key text, account_id bigint, security_id bigint, household_id bigint,
               quantity numeric, market_value_usd numeric, currency_code char(3))
language sql stable as $$
    select p.business_date, p.vendor, p.position_key, p.account_id, p.security_id, o.household_id,
           p.quantity * o.share_ratio, p.market_value_usd * o.share_ratio, p.currency_code
    from warehouse.position p
    join mart.account_known(known_at) a on a.account_id = p.account_id and a.covers @> p.business_date and a.is_counted
    join mart.account_owner_known(known_at) o on o.account_id = p.account_id and o.covers @> p.business_date
    where p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
      and not exists (select from warehouse.identity i
                      where i.entity = 'account' and i.id = p.account_id
                        and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at))
$$;
