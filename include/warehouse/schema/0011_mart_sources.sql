-- The canonical entities of which each mart is made, and whether their money is in it. `mart.completeness` reads it.
create table mart.source (mart text not null, entity text not null, has_money boolean not null, primary key (mart, entity));
insert into mart.source (mart, entity, has_money)
select mart, entity, entity in ('position', 'account_value', 'transaction', 'outside_value') from (values
    ('aum_by_household', array['position', 'account', 'account_owner', 'household']),
    ('aum_by_representative', array['position', 'account', 'account_owner', 'household', 'representative']),
    ('aum_by_asset_class', array['position', 'account', 'account_owner', 'security']),
    ('net_flows', array['transaction', 'account', 'account_owner', 'household']),
    ('net_worth', array['account_value', 'account', 'account_owner', 'household', 'outside_account', 'outside_value']),
    ('openings_and_closings', array['account']),
    ('plan_freshness', array['plan', 'plan_result', 'household']),
    ('plan_assets', array['plan', 'outside_account', 'outside_value', 'account_value', 'account', 'account_owner', 'household']),
    ('goal_health', array['goal', 'goal_result', 'plan', 'household']),
    ('risk_alignment', array['client_risk', 'portfolio', 'portfolio_risk', 'person']),
    ('questionnaire', array['questionnaire', 'person']),
    ('questionnaire_age', array['questionnaire', 'person']),
    ('out_of_line', array['goal_result', 'plan_result', 'client_risk', 'portfolio_risk', 'questionnaire', 'household']),
    ('envelope', array['envelope', 'envelope_recipient', 'envelope_event'])
) as mart(mart, entities) cross join unnest(entities) as entity;
