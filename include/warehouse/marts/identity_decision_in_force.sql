-- The decisions in force: the newest of each pair, unless withdrawn.
create view control.identity_decision_in_force as
select * from (
    select distinct on (entity, left_id, right_id) * from control.identity_decision
    order by entity, left_id, right_id, decision_id desc
) newest where not is_withdrawn;
grant select on control.identity_decision_in_force to tributary_web;
