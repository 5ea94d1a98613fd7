-- The shares of each account and the days that each covers: those of its owners, and the rest that no household owns (`household_id` is null).
-- Such an account is one without owners, or one of which households own a part. All shares of an account add up to 1.
create function mart.account_share_known(known_at timestamptz)
returns table (account_id bigint, household_id bigint, share_ratio numeric, covers daterange)
language sql stable as $$
    with owner as materialized (
        select account_id, household_id, share_ratio, covers from mart.account_owner_known(known_at)
    ), change as (
        select account_id, day, sum(share_ratio) as share_ratio
        from (
            select account_id, null::date as day, 0 as share_ratio from warehouse.account
            where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
            union all
            select account_id, lower(covers), share_ratio from owner
            union all
            select account_id, upper(covers), -share_ratio from owner where not upper_inf(covers)
        ) c
        group by 1, 2
    ), rest as (
        select account_id, 1 - sum(share_ratio) over days as share_ratio, daterange(day, lead(day) over days) as covers
        from change
        window days as (partition by account_id order by day nulls first)
    )
    select account_id, household_id, share_ratio, covers from owner
    union all
    select account_id, null, share_ratio, covers from rest where share_ratio > 0
$$;
