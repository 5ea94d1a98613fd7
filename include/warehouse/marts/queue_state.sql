-- Queues: the items that wait, since when the oldest of them waits (null without one), and the items that failed in the last day.
-- queue: `inbox` (webhooks, pushes and events of Salesforce), `outbox` (events without deliveries yet; without a subscriber, no event
-- waits), `deliveries` (events on their way to
-- active subscribers), `requests` (runs and replays that programs requested).
create view control.queue_state as
select 'inbox' as queue, count(*) as waiting, min(received_at) as waiting_since,
       (select count(*) from control.inbox where error is not null and received_at > now() - interval '1 day') as failed
from control.inbox where processed_at is null
union all
select 'outbox', count(*), min(occurred_at), 0 from control.outbox
where routed_at is null and exists (select from control.outbound_subscriber)
union all
select 'deliveries', count(*), min(o.occurred_at),
       (select count(*) from control.outbound_delivery where status = 'dead' and tried_at > now() - interval '1 day')
from control.outbound_delivery d join control.outbound_subscriber s using (subscriber) join control.outbox o using (event_number)
where d.status = 'waiting' and s.state = 'active'
union all
select 'requests', count(*), min(requested_at),
       (select count(*) from control.request where state = 'failed' and ended_at > now() - interval '1 day')
from control.request where state = 'waiting';
grant select on control.queue_state to tributary_web, tributary_api;
