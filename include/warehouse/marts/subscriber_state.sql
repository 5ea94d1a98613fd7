-- Subscribers of our events, with their deliveries that wait or were given up.
create view control.subscriber_state as
select s.subscriber, s.state, s.reason, s.failures, s.failing_since, s.paused_until,
       (select count(*) from control.outbound_delivery d where d.subscriber = s.subscriber and d.status = 'waiting') as waiting,
       (select count(*) from control.outbound_delivery d where d.subscriber = s.subscriber and d.status = 'dead') as dead
from control.outbound_subscriber s;
grant select on control.subscriber_state to tributary_web;
