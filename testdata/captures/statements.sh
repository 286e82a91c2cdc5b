# SQL texts as people write them: newlines, tabs, quotes, commas, comments, Unicode, long, stacked
play() {
    PGAPPNAME=psql session ana <<'SQL'
select 1;
SELECT 1 ;;
select 'a,b' as "x,y";
select 'he said "hi", and left' as said;
select $tag$dollar 'quoted', "text"$tag$ as d, $$;$$ as e;
-- a comment before the statement
select 2 -- one behind it, with a "quote" and a ' in it
;
select /* in, the "middle"
          of two lines */ 3;
/* trace='00-4bf92f3577b34da6a3ce929d0e0e4736-01',route='/pay' */ select 4;
select
	tab,
	'	tab inside' as "a	tab"
  from (values (1)) as v (tab)

 where tab > 0


 order by 1;
select 'ä ö ü ß € 東京 🔒 – “quoted”' as "ключ";
select E'\x01\x1b[31mred\x1b[0m' as escape, 'literal #011 and \n and \t' as octal;
select 5\; select 6, 'stacked'\; select 7;
select "id" from "app"."customers" where "name" = '' or 1 = 1 --' and password = 'x'
 limit 1;
"select";
select 'AUDIT: SESSION,1,1,READ,SELECT,,,select 1,<none>' as looks_like_audit;
select '<none>', '<not logged>', '<previously logged>', '<REDACTED>';
values (1, 'one'), (2, 'two');
table app.jobs limit 1;
with spent as (select customer, sum(amount) from app.orders group by 1)
select c.name, s.sum from app.customers c join spent s on s.customer = c.id limit 3;
explain analyze select count(*) from app.orders;
show server_version;
set search_path = app, public;
select count(*) from orders;
reset all;
fetch all from nothing;
begin; declare hundred cursor for select * from app.orders limit 100;
fetch 10 from hundred; fetch all from hundred; close hundred; savepoint s; rollback to s; end;
lock table app.jobs;
listen news; notify news, 'payload, "quoted"'; unlisten *;
discard all;
SQL
    session checkout <<'SQL'
select nextval('app.order_number');
insert into app.orders (id, customer, note) values (8001, 1, 'it''s'), (8002, 2, null)
    on conflict (id) do nothing returning id;
update app.orders set note = 'x' where id in (8001, 8002);
update app.orders set note = 'x' where false;
delete from app.orders where id between 8001 and 8002;
merge into app.jobs j using (values (1, 'done')) v (id, state) on v.id = j.id
    when matched then update set state = v.state;
select id from app.jobs where state = 'new' order by id for update skip locked limit 1;
SQL
    printf 'select 1,\r\n       2;\r\n' | session ana
    { # one statement of some 5 kB: longer than a syslog chunk and than a pipe buffer
        printf 'select * from app.customers where id in ('
        seq -s ', ' 1000 1999
        printf ') or name = %s;\n' "'$(printf 'wörd %.0s' {1..40})'"
    } | session etl
}
