-- Events whose delivery to a subscriber was given up.
create view control.given_up_event as
select d.subscriber, e.event_id, e.type, e.vendor, e.subject, e.occurred_at, d.tries, d.tried_at, d.last_status, d.last_error
from control.outbound_delivery d join control.outbox e using (event_number) where d.status = 'dead';
grant select on control.given_up_event to tributary_web;
