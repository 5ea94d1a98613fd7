-- The stages of each deal over time. `since` is null where the stage began before the subscription. A reread record repeats its stage:
-- it is left out where the change itself was received, which may be committed minutes after the record's own time.
create view mart.deal_stage as
with reported as (
    select c.salesforce_id, c.fields ->> 'StageName' as stage, c.committed_at, c.change_type,
           row_number() over (partition by c.salesforce_id order by c.committed_at, c.commit_number, c.sequence_number, c.change_id) as nth
    from warehouse.crm_change c
    where c.object = 'Opportunity' and c.fields ? 'StageName'
      and (c.change_type <> 'REREAD'
           or not exists (select from warehouse.crm_change u
                          where u.object = 'Opportunity' and u.salesforce_id = c.salesforce_id and u.change_type <> 'REREAD'
                            and u.fields ->> 'StageName' = c.fields ->> 'StageName'
                            and u.committed_at > c.committed_at - interval '1 second'
                            and u.committed_at < c.committed_at + interval '15 minutes'))
), moved as (
    select *, stage is distinct from lag(stage) over (partition by salesforce_id order by nth) or nth = 1 as is_move from reported
)
select salesforce_id, stage, case when nth > 1 or change_type <> 'REREAD' then committed_at end as since,
       lead(committed_at) over (partition by salesforce_id order by nth) as until
from moved where is_move;
