-- The safeguards, in one row: entries of the audit trail without a seal, the newest published head of its chain, the newest backup, the
-- newest restore drill, and the number of subscribers that get no events. A column is null if there is nothing yet.
-- unsealed: counts at most 100,000 entries, among those that are newer than the 10,000 entries before the newest sealed one.
create view control.safeguard_state as
select a.unsealed, a.unsealed_since, (select published_at from control.audit_head) as head_published_at,
       (select max(known_at) from control.backup) as backed_up_at, d.recorded_at as drilled_at, cardinality(d.problems) as drill_problems,
       d.rpo_seconds, d.rto_seconds,
       (select count(*) from control.outbound_subscriber where state in ('disabled', 'unreadable')) as stopped_subscribers
from (
    select count(*) as unsealed, min(happened_at) as unsealed_since
    from (
        select happened_at from control.audit a
        where entry_id > (select coalesce(max(entry_id), 0) from control.audit_seal) - 10000
          -- `offset 0` looks each of these few entries up by the index, instead of hashing all seals.
          and not exists (select from control.audit_seal s where s.entry_id = a.entry_id offset 0)
        limit 100000
    ) entry
) a
left join (select * from control.recovery_drill order by recorded_at desc limit 1) d on true;
grant select on control.safeguard_state to tributary_web, tributary_api;
