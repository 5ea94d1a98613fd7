-- Each record of an account that is a copy of another vendor's, with the records that count before it: the original, and the copies with a
-- smaller id. A copy counts where none of these is reported.
create function mart.account_copy_known(known_at timestamptz)
returns table (account_id bigint, preferred_id bigint)
language sql stable as $$
    with same as (
        select id, identity_id from warehouse.identity
        where entity = 'account' and recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    )
    select id, identity_id from same
    union all
    select c.id, b.id from same c join same b on b.identity_id = c.identity_id and b.id < c.id
$$;
