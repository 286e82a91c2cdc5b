# functions, triggers, DO, dynamic SQL, CTAS, SELECT INTO, views, procedures: several rows each
prepare() {
    session shop_owner <<'SQL'
create function app.total(of int) returns numeric language plpgsql as $$
begin
  return (select sum(amount) from app.orders where customer = of);
end $$;
create function app.note_change() returns trigger language plpgsql as $$
begin
  insert into app.jobs values (3000 + new.id, 'changed, "by" trigger');
  return new;
end $$;
create trigger changed after update on app.orders
    for each row when (new.note = 'fire') execute function app.note_change();
create procedure app.tidy(above int) language sql as $$
  delete from app.jobs where id > above;
$$;
grant create on schema app to etl;
SQL
}
play() {
    session ana <<'SQL'
select app.total(7);
select id, app.total(id) from app.customers where id in (1, 2);
SQL
    session checkout <<'SQL'
update app.orders set note = 'fire' where id in (10, 11);
call app.tidy(2999);
SQL
    session etl <<'SQL'
do $$
declare
  name text := 'part_' || 1;
begin
  execute format('create table app.%I (i int, note text)', name);
  execute format('insert into app.%I values ($1, $2)', name) using 1, 'it''s, "one"';
  execute 'select count(*) from app.' || quote_ident(name);
  perform pg_sleep(0);
end
$$;
create table app.copied as
  select * from app.orders where id < 5;
select * into app.copied_too from app.copied;
create materialized view app.spent as select customer, sum(amount) from app.orders group by 1;
refresh materialized view app.spent;
create table app.kept (id serial primary key, name text unique, ref int references app.keptno (id));
create table app.kept (id serial primary key, name text unique);
alter table app.kept add column more text default 'x', add check (id > 0);
create index on app.kept (more);
drop table app.part_1, app.copied, app.copied_too, app.kept;
drop materialized view app.spent;
SQL
    session shop_owner <<'SQL'
create schema "load, 2" create table t (i int) create view v as select i from t;
drop schema "load, 2" cascade;
drop trigger changed on app.orders;
drop function app.total(int), app.note_change();
drop procedure app.tidy;
comment on table app.orders is 'what "was" bought, by whom';
create type app.mood as enum ('sad', 'ok');
drop type app.mood;
SQL
}
