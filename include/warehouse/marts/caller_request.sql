-- Requests of API callers, without their parameters, because these may name clients.
create view control.caller_request as
select requested_at, caller, what, vendor, state, detail, tries, run_id, ended_at from control.request;
grant select on control.caller_request to tributary_web;
