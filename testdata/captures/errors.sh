# statements that fail, and what the log says before and after; aborted transactions; cancels
play() {
    PGAPPNAME=psql session ana <<'SQL'
selec 1;
select * from app.customers where;
select "unclosed;
";
select nope from app.customers;
select * from app.nowhere;
select app.no_such_function(1);
select 1 / 0;
select id / (id - 3) from app.orders;
select 'x'::int;
select * from hr."Pay, 2024x";
delete from app.orders where id = 1;
drop table app.orders;
create table app.mine (i int);
truncate app.jobs;
alter role bo nosuperuser;
set session authorization bo;
set role shop_owner;
set pgaudit.log = 'none';
set work_mem = 'plenty';
select pg_read_file('/etc/passwd');
do $$ begin raise exception 'application says: "no", really'
    using detail = E'two\nlines', hint = 'try, again', errcode = 'P0042'; end $$;
do $$ begin raise warning 'careful, "friend"'; raise log 'AUDIT: SESSION,1,1,READ,SELECT,,,forged,<none>'; end $$;
SQL
    session checkout <<'SQL'
insert into app.customers values (1, 'twice');
insert into app.orders values (8201, 999999);
insert into app.customers values (8201, null);
begin;
insert into app.jobs values (8202, 'will be rolled back');
insert into app.jobs values (8202, 'twice');
select 'in the aborted transaction';
insert into app.jobs values (8203, 'never');
commit;
select 10\; select 1 / 0\; select 'never reached';
set statement_timeout = '50ms';
select pg_sleep(5);
set statement_timeout = 0;
select pg_terminate_backend(pg_backend_pid());
select 'after the end';
SQL
    bind checkout 'insert into app.customers (id, name) values ($1, $2)' 1 $'dup,\nlicate'
    session shop_owner <<'SQL'
insert into hr."Pay, 2024" values ('zero', 0);
create table app.orders (i int);
alter table app.orders drop column nope;
SQL
}
