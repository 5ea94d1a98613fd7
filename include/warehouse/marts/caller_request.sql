-- Requests of programs, without their parameters, which may name clients.
create view control.caller_request as
select requested_at, caller, what, vendor, state, detail, tries, run_id, ended_at from control.request;
grant select on control.caller_request to tributary_web;
