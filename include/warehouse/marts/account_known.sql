-- Versions of each account, and the days that each covers. The first version also covers the days before it.
create function mart.account_known(known_at timestamptz)
returns table (account_id bigint, account_name text, account_type text, custodian text, status text, representative_id bigint,
               open_date date, close_date date, is_active boolean, is_counted boolean, covers daterange)
language sql stable as $$
    select account_id, name, account_type, custodian, status, representative_id, open_date, close_date, is_active, is_counted,
           daterange(case when valid_from > min(valid_from) over (partition by account_id) then valid_from end, valid_to)
    from warehouse.account
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;
