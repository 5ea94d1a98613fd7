-- Versions of each account's owners whose share counts (not joint owners), and the days that each covers. The first version also covers
-- the days before it.
create function mart.account_owner_known(known_at timestamptz)
returns table (account_id bigint, household_id bigint, person_id bigint, legal_entity_id bigint, share_ratio numeric, covers daterange)
language sql stable as $$
    select account_id, household_id, person_id, legal_entity_id, share_ratio,
           daterange(case when valid_from > min(valid_from) over (partition by account_id) then valid_from end, valid_to)
    from warehouse.account_owner
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at) and role is distinct from 'joint'
$$;
