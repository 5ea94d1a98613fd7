-- One row per position and owner, with the owner's share: the one definition of AUM. The share that no household owns is a row without
-- household. Not counted: an account that is also reported as its sleeves, and a copy of another vendor's account on the days on which that
-- vendor reports positions of the account. `security_id` is the record that represents the security at all vendors; `own_security_id` is the
-- vendor's.
create function mart.holding_as_known(known_at timestamptz)
returns table (business_date date, vendor text, position_key text, account_id bigint, security_id bigint, household_id bigint,
               quantity numeric, market_value_usd numeric, currency_code char(3), own_security_id bigint)
language sql stable as $$
    select p.business_date, p.vendor, p.position_key, p.account_id, coalesce(s.identity_id, p.security_id), o.household_id,
           p.quantity * o.share_ratio, p.market_value_usd * o.share_ratio, p.currency_code, p.security_id
    from warehouse.position p
    join mart.account_known(known_at) a on a.account_id = p.account_id and mart.is_valid_on(a.covers, p.business_date) and a.is_counted
    join mart.account_share_known(known_at) o on o.account_id = p.account_id and mart.is_valid_on(o.covers, p.business_date)
    left join warehouse.identity s on s.entity = 'security' and s.id = p.security_id
          and s.recorded_from <= known_at and (s.recorded_to is null or s.recorded_to > known_at)
    where p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
      and not exists (select from mart.account_copy_known(known_at) c
                      join warehouse.position q on q.account_id = c.preferred_id
                      where c.account_id = p.account_id and q.business_date = p.business_date
                        and q.recorded_from <= known_at and (q.recorded_to is null or q.recorded_to > known_at))
$$;
