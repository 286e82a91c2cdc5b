# an ordinary hour of several people and services; also played for every prefix and syslog form
play() {
    PGAPPNAME=psql session ana <<'SQL'
select id, name
  from app.customers
 where name like 'Customer 1%'
   and email is not null
 order by name;
select 'it''s, "quoted"' as "a ""name""", E'tab\there' as t;
SQL
    PGAPPNAME='puma: cluster worker 2: 44125 [shop]' remote checkout <<'SQL'
begin;
insert into app.orders values (9001, 7, E'first line\nsecond, "line"', 12.50);
update app.customers set name = 'Zoë Łukasiewicz – 東京' where id = 7;
commit;
select * from app.nope where id = 1;
select * from hr."Pay, 2024";
SQL
    PGAPPNAME=dashboard remote report -d "Pay Roll" <<'SQL'
select count(*) from pg_class
;
SQL
    PGPASSWORD=wrong remote ana -c 'select 1'
    PGAPPNAME='' session bo <<'SQL'
create table app.scratch (i int);
grant select on app.scratch to report;
drop table app.scratch;
delete from app.orders where id = 9001;
SQL
}
