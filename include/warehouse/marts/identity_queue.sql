-- Pairs that wait for a decision, with the band of the score, and the vendors and households of both records. A negative id is the second
-- person of a record.
create view control.identity_queue as
select r.entity, r.left_id, r.right_id, r.score, r.agreed, r.differed, r.how, r.rule, r.rank,
       case when r.score is null then 'by a rule' when r.score >= 3 then '3 or more' when r.score >= 2 then '2 to 3'
            when r.score >= 1 then '1 to 2' else 'under 1' end as band,
       array[l.vendor, o.vendor] as vendors, array[l.household_id, o.household_id] as household_ids,
       lower(concat_ws(' ', l.name, l.household, o.name, o.household)) as names
from control.identity_review r
left join lateral (select * from control.identity_record where entity = r.entity and id = abs(r.left_id) limit 1) l on true
left join lateral (select * from control.identity_record where entity = r.entity and id = abs(r.right_id) limit 1) o on true
where not exists (select from control.identity_decision_in_force d
                  where d.entity = r.entity and d.left_id = least(r.left_id, r.right_id) and d.right_id = greatest(r.left_id, r.right_id));
grant select on control.identity_queue to tributary_web;
