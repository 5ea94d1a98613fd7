-- Entities with two times: valid (true in the world) and recorded (known to us). An open end is null. `is_past_only`: only a pull of a
-- past date has the record, so it counts in history and in nothing that describes the present.
-- A description is valid over days, and no two known versions of one record may overlap. A fact has one open row per key.

create table warehouse.source_key (
    entity     text   not null,
    vendor     text   not null,
    source_key text   collate "C" not null,
    id         bigint generated always as identity,
    primary key (entity, vendor, source_key)
);
create unique index source_key_id on warehouse.source_key (id);

create table warehouse.representative (
    representative_id  bigint not null,
    vendor             text not null,
    representative_key text collate "C" not null,
    number             text,
    name               text,
    email              text,
    status             text,
    is_active          boolean,
    is_past_only       boolean not null default false,
    valid_from         date not null,
    valid_to           date,
    recorded_from      timestamptz not null,
    recorded_to        timestamptz,
    source_run_id      bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(representative_id, representative_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index representative_key_open on warehouse.representative (vendor, representative_key) where recorded_to is null;

create table warehouse.household (
    household_id      bigint not null,
    vendor            text not null,
    household_key     text collate "C" not null,
    representative_id bigint,
    name              text,
    category          text,
    salutation        text,
    street            text,
    city              text,
    state_code        text,
    postal_code       text,
    country           text,
    email             text,
    phone             text,
    is_active         boolean,
    is_past_only      boolean not null default false,
    valid_from        date not null,
    valid_to          date,
    recorded_from     timestamptz not null,
    recorded_to       timestamptz,
    source_run_id     bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(household_id, household_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index household_key_open on warehouse.household (vendor, household_key) where recorded_to is null;

create table warehouse.person (
    person_id        bigint not null,
    vendor           text not null,
    person_key       text collate "C" not null,
    household_id     bigint,
    name             text,
    first_name       text,
    last_name        text,
    birth_date       date,
    gender           text,
    tax_id_hash      text,
    tax_id_last4     text,
    email            text,
    phone            text,
    street           text,
    city             text,
    state_code       text,
    postal_code      text,
    cross_references text,
    is_past_only     boolean not null default false,
    valid_from       date not null,
    valid_to         date,
    recorded_from    timestamptz not null,
    recorded_to      timestamptz,
    source_run_id    bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(person_id, person_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index person_key_open on warehouse.person (vendor, person_key) where recorded_to is null;

create table warehouse.registration (
    registration_id   bigint not null,
    vendor            text not null,
    registration_key  text collate "C" not null,
    household_id      bigint,
    person_id         bigint,
    name              text,
    registration_type text,
    is_active         boolean,
    is_past_only      boolean not null default false,
    valid_from        date not null,
    valid_to          date,
    recorded_from     timestamptz not null,
    recorded_to       timestamptz,
    source_run_id     bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(registration_id, registration_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index registration_key_open on warehouse.registration (vendor, registration_key) where recorded_to is null;

create table warehouse.account (
    account_id           bigint not null,
    vendor               text not null,
    account_key          text collate "C" not null,
    registration_id      bigint,
    household_id         bigint,
    representative_id    bigint,
    name                 text,
    account_number_hash  text,
    account_number_last4 text,
    account_type         text,
    custodian            text,
    management_style     text,
    status               text,
    open_date            date,
    close_date           date,
    is_active            boolean,
    is_managed           boolean,
    is_discretionary     boolean,
    is_sleeve            boolean,
    is_counted           boolean,
    is_past_only         boolean not null default false,
    valid_from           date not null,
    valid_to             date,
    recorded_from        timestamptz not null,
    recorded_to          timestamptz,
    source_run_id        bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(account_id, account_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index account_key_open on warehouse.account (vendor, account_key) where recorded_to is null;

create table warehouse.account_owner (
    account_owner_id  bigint not null,
    vendor            text not null,
    account_owner_key text collate "C" not null,
    account_id        bigint,
    household_id      bigint,
    person_id         bigint,
    -- `primary`: the share counts. `joint`: owns the whole together with the primary owner, so no sum has a share of it.
    role              text,
    share_ratio       numeric(9, 8),
    is_past_only      boolean not null default false,
    valid_from        date not null,
    valid_to          date,
    recorded_from     timestamptz not null,
    recorded_to       timestamptz,
    source_run_id     bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(account_owner_id, account_owner_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index account_owner_key_open on warehouse.account_owner (vendor, account_owner_key) where recorded_to is null;

create table warehouse.security (
    security_id   bigint not null,
    vendor        text not null,
    security_key  text collate "C" not null,
    name          text,
    ticker        text,
    cusip         text,
    asset_class   text,
    category      text,
    security_type text,
    is_past_only  boolean not null default false,
    valid_from    date not null,
    valid_to      date,
    recorded_from timestamptz not null,
    recorded_to   timestamptz,
    source_run_id bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(security_id, security_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index security_key_open on warehouse.security (vendor, security_key) where recorded_to is null;

create table warehouse.account_value (
    business_date     date not null,
    vendor            text not null,
    account_value_key text collate "C" not null,
    account_id        bigint not null,
    market_value_usd  numeric(20, 2),
    cash_usd          numeric(20, 2),
    currency_code     char(3) not null default 'USD',
    recorded_from     timestamptz not null,
    recorded_to       timestamptz,
    source_run_id     bigint not null,
    check (recorded_from <= recorded_to)
);
create unique index account_value_open on warehouse.account_value (business_date, vendor, account_value_key) where recorded_to is null;

-- One partition a month, created by `warehouse.ensure_month`.
create table warehouse.position (
    business_date    date not null,
    vendor           text not null,
    position_key     text collate "C" not null,
    account_id       bigint not null,
    security_id      bigint not null,
    quantity         numeric(28, 8),
    price_usd        numeric(28, 8),
    market_value_usd numeric(20, 2),
    cost_basis_usd   numeric(20, 2),
    is_cash          boolean,
    currency_code    char(3) not null default 'USD',
    recorded_from    timestamptz not null,
    recorded_to      timestamptz,
    source_run_id    bigint not null,
    check (recorded_from <= recorded_to)
) partition by range (business_date);
create unique index position_open on warehouse.position (business_date, vendor, position_key) where recorded_to is null;

create table warehouse.transaction (
    vendor           text not null,
    transaction_key  text collate "C" not null,
    account_id       bigint not null,
    security_id      bigint not null,
    position_key     text,
    trade_date       date not null,
    settle_date      date,
    transaction_type text,
    type_code        text,
    flow             text,
    status           text,
    quantity         numeric(28, 8),
    price_usd        numeric(28, 8),
    amount_usd       numeric(20, 2),
    description      text,
    edited_at        timestamptz,
    currency_code    char(3) not null default 'USD',
    recorded_from    timestamptz not null,
    recorded_to      timestamptz,
    source_run_id    bigint not null,
    check (recorded_from <= recorded_to)
);
create unique index transaction_open on warehouse.transaction (vendor, transaction_key) where recorded_to is null;
create index transaction_by_day on warehouse.transaction (trade_date, account_id);
create index transaction_by_position on warehouse.transaction (vendor, position_key);
