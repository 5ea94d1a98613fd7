-- Webhook deliveries, pushes and withdrawals that wait (`waiting`) or could not be processed (`failed`).
create view control.pending_delivery as
select inbox_id, sender, received_at, copies, case when processed_at is null then 'waiting' else 'failed' end as state, error
from control.inbox where processed_at is null or error is not null;
grant select on control.pending_delivery to tributary_web;
