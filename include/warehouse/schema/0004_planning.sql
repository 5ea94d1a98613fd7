-- Planning and risk vendors, in the same forms: descriptions with two times, events with one open row per key.

create table warehouse.plan (
    plan_id           bigint not null,
    vendor            text not null,
    plan_key          text collate "C" not null,
    household_id      bigint,
    name              text,
    is_base           boolean,
    target_low_ratio  numeric(9, 8),
    target_high_ratio numeric(9, 8),
    created_on        date,
    updated_on        date,
    is_past_only      boolean not null default false,
    valid_from        date not null,
    valid_to          date,
    recorded_from     timestamptz not null,
    recorded_to       timestamptz,
    source_run_id     bigint not null,
    check (target_low_ratio between 0 and 1),
    check (target_high_ratio between 0 and 1),
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(plan_id, plan_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index plan_key_open on warehouse.plan (vendor, plan_key) where recorded_to is null;

create table warehouse.goal (
    goal_id       bigint not null,
    vendor        text not null,
    goal_key      text collate "C" not null,
    household_id  bigint,
    plan_id       bigint,
    name          text,
    goal_type     text,
    amount_usd    numeric(20, 2),
    start_year    bigint,
    end_year      bigint,
    priority      bigint,
    wording       text,
    is_past_only  boolean not null default false,
    valid_from    date not null,
    valid_to      date,
    recorded_from timestamptz not null,
    recorded_to   timestamptz,
    source_run_id bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(goal_id, goal_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index goal_key_open on warehouse.goal (vendor, goal_key) where recorded_to is null;

create table warehouse.plan_result (
    vendor            text not null,
    plan_result_key   text collate "C" not null,
    household_id      bigint not null,
    plan_id           bigint not null,
    scenario          text,
    probability_ratio numeric(9, 8),
    probability_text  text,
    is_stale          boolean,
    computed_on       date not null,
    computed_at       timestamptz,
    recorded_from     timestamptz not null,
    recorded_to       timestamptz,
    source_run_id     bigint not null,
    check (probability_ratio between 0 and 1),
    check (recorded_from <= recorded_to)
);
create unique index plan_result_open on warehouse.plan_result (vendor, plan_result_key) where recorded_to is null;
create index plan_result_by_plan on warehouse.plan_result (plan_id, computed_on);

create table warehouse.goal_result (
    vendor            text not null,
    goal_result_key   text collate "C" not null,
    goal_id           bigint not null,
    scenario          text,
    probability_ratio numeric(9, 8),
    funded_ratio      numeric(12, 8),
    shortfall_year    bigint,
    shortfall_usd     numeric(20, 2),
    computed_on       date not null,
    computed_at       timestamptz,
    currency_code     char(3) not null default 'USD',
    recorded_from     timestamptz not null,
    recorded_to       timestamptz,
    source_run_id     bigint not null,
    check (probability_ratio between 0 and 1),
    check (recorded_from <= recorded_to)
);
create unique index goal_result_open on warehouse.goal_result (vendor, goal_result_key) where recorded_to is null;
create index goal_result_by_goal on warehouse.goal_result (goal_id, computed_on);

create table warehouse.outside_account (
    outside_account_id   bigint not null,
    vendor               text not null,
    outside_account_key  text collate "C" not null,
    household_id         bigint,
    name                 text,
    account_number_hash  text,
    account_number_last4 text,
    institution          text,
    account_type         text,
    is_linked            boolean,
    is_past_only         boolean not null default false,
    valid_from           date not null,
    valid_to             date,
    recorded_from        timestamptz not null,
    recorded_to          timestamptz,
    source_run_id        bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(outside_account_id, outside_account_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index outside_account_key_open on warehouse.outside_account (vendor, outside_account_key) where recorded_to is null;

create table warehouse.outside_value (
    vendor             text not null,
    outside_value_key  text collate "C" not null,
    outside_account_id bigint not null,
    market_value_usd   numeric(20, 2),
    stated_on          date,
    requested_on       date not null,
    requested_at       timestamptz,
    currency_code      char(3) not null default 'USD',
    recorded_from      timestamptz not null,
    recorded_to        timestamptz,
    source_run_id      bigint not null,
    check (recorded_from <= recorded_to)
);
create unique index outside_value_open on warehouse.outside_value (vendor, outside_value_key) where recorded_to is null;
create index outside_value_by_outside_account on warehouse.outside_value (outside_account_id, requested_on);

create table warehouse.insurance_policy (
    insurance_policy_id  bigint not null,
    vendor               text not null,
    insurance_policy_key text collate "C" not null,
    household_id         bigint,
    name                 text,
    policy_type          text,
    owner_name           text,
    insured_name         text,
    annual_premium_usd   numeric(20, 2),
    cash_value_usd       numeric(20, 2),
    death_benefit_usd    numeric(20, 2),
    beneficiaries        bigint,
    is_past_only         boolean not null default false,
    valid_from           date not null,
    valid_to             date,
    recorded_from        timestamptz not null,
    recorded_to          timestamptz,
    source_run_id        bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(insurance_policy_id, insurance_policy_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index insurance_policy_key_open on warehouse.insurance_policy (vendor, insurance_policy_key) where recorded_to is null;

create table warehouse.portfolio (
    portfolio_id   bigint not null,
    vendor         text not null,
    portfolio_key  text collate "C" not null,
    person_id      bigint,
    name           text,
    portfolio_type text,
    risk_model     text,
    is_deleted     boolean,
    is_past_only   boolean not null default false,
    valid_from     date not null,
    valid_to       date,
    recorded_from  timestamptz not null,
    recorded_to    timestamptz,
    source_run_id  bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(portfolio_id, portfolio_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index portfolio_key_open on warehouse.portfolio (vendor, portfolio_key) where recorded_to is null;

create table warehouse.questionnaire (
    questionnaire_id  bigint not null,
    vendor            text not null,
    questionnaire_key text collate "C" not null,
    person_id         bigint,
    version           text,
    risk_number       bigint,
    sent_at           timestamptz,
    completed_at      timestamptz,
    is_completed      boolean,
    is_archived       boolean,
    is_deleted        boolean,
    is_past_only      boolean not null default false,
    valid_from        date not null,
    valid_to          date,
    recorded_from     timestamptz not null,
    recorded_to       timestamptz,
    source_run_id     bigint not null,
    check (risk_number between 1 and 99),
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(questionnaire_id, questionnaire_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index questionnaire_key_open on warehouse.questionnaire (vendor, questionnaire_key) where recorded_to is null;

create table warehouse.client_risk (
    vendor          text not null,
    client_risk_key text collate "C" not null,
    person_id       bigint not null,
    risk_number     bigint,
    measured_on     date not null,
    measured_at     timestamptz,
    recorded_from   timestamptz not null,
    recorded_to     timestamptz,
    source_run_id   bigint not null,
    check (risk_number between 1 and 99),
    check (recorded_from <= recorded_to)
);
create unique index client_risk_open on warehouse.client_risk (vendor, client_risk_key) where recorded_to is null;
create index client_risk_by_person on warehouse.client_risk (person_id, measured_on);

create table warehouse.portfolio_risk (
    vendor             text not null,
    portfolio_risk_key text collate "C" not null,
    portfolio_id       bigint not null,
    risk_number        bigint,
    market_value_usd   numeric(20, 2),
    is_stale           boolean,
    analyzed_at        timestamptz,
    measured_on        date not null,
    measured_at        timestamptz,
    currency_code      char(3) not null default 'USD',
    recorded_from      timestamptz not null,
    recorded_to        timestamptz,
    source_run_id      bigint not null,
    check (risk_number between 1 and 99),
    check (recorded_from <= recorded_to)
);
create unique index portfolio_risk_open on warehouse.portfolio_risk (vendor, portfolio_risk_key) where recorded_to is null;
create index portfolio_risk_by_portfolio on warehouse.portfolio_risk (portfolio_id, measured_on);
