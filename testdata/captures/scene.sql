-- The little company that the captures show: who works there, and what it has.
create role auditor nologin;
create role shop_owner login password 'secret';
create role ana login password 'secret';                  -- an analyst
create role bo login superuser password 'secret';         -- a database administrator
create role checkout login password 'secret';             -- a service
create role bench login password 'secret';                -- a service on plain TCP
create role etl login password 'secret';                  -- the nightly load
create role report login password 'secret';               -- a dashboard tool
create role barred login password 'secret';
create role retired nologin password 'secret';
create role late login password 'secret' valid until '2020-01-01';
create role single login password 'secret' connection limit 0;
create role "Mia O'Hara" login password 'secret';
create role "smith, j" login password 'secret';
create role "odd ""quoted"" name" login password 'secret';
create role "señor ñandú 東京" login password 'secret';
grant pg_monitor to report;

create database shop owner shop_owner;
create database "Pay Roll" owner shop_owner;              -- has no pgaudit extension
\c shop
create extension pgaudit;
set role shop_owner;
create schema app;
create schema hr;
create table app.customers (
    id int primary key, name text not null, email text unique, card text);
create table app.orders (
    id int primary key, customer int references app.customers, note text, amount numeric(10, 2));
create table app.jobs (id int primary key, state text);
create table hr."Pay, 2024" (person text primary key, salary int check (salary > 0));
create view app.open_orders as
    select o.id, c.name, o.amount from app.orders o join app.customers c on c.id = o.customer;
create sequence app.order_number;
insert into app.customers
    select i, 'Customer ' || i, 'c' || i || '@example.com', '4111-0000-0000-' || 1000 + i
    from generate_series(1, 200) i;
insert into app.orders
    select i, 1 + i % 200, 'note ' || i, i * 1.5 from generate_series(1, 500) i;
insert into app.jobs select i, 'new' from generate_series(1, 50) i;
insert into hr."Pay, 2024" values ('ana', 5200), ('bo', 6100), ('mia', 4800);
grant usage on schema app to ana, checkout, bench, etl, report, "Mia O'Hara", "smith, j",
    "odd ""quoted"" name", "señor ñandú 東京";
grant usage on schema hr to ana;
grant select on all tables in schema app to ana, report, etl, "Mia O'Hara", "smith, j",
    "odd ""quoted"" name", "señor ñandú 東京";
grant select, insert, update, delete on all tables in schema app to checkout, bench, etl;
grant usage on sequence app.order_number to checkout, bench;
reset role;
create extension dblink;
create extension file_fdw;
create foreign data wrapper nothing;
create server elsewhere foreign data wrapper nothing;
grant usage on foreign server elsewhere to shop_owner;
