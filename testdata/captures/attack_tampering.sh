# attack: blinding the audit (pgaudit.log=none, ALTER SYSTEM, ALTER ROLE, log rotation, extension)
play() {
    PGAPPNAME=psql remote ana <<'SQL'
set pgaudit.log = 'none';
set log_statement = 'none';
set log_min_messages = 'panic';
alter system set log_statement = 'none';
select pg_rotate_logfile();
SQL
    PGAPPNAME=psql remote bo <<'SQL'
set pgaudit.log = 'none';
select card from app.customers;
drop table if exists app.seen_by_nobody;
reset pgaudit.log;
select set_config('pgaudit.log', 'none', false);
select name from app.customers limit 1;
select set_config('pgaudit.log', 'all', false);
set log_min_messages = 'panic';
select 'silence';
set log_min_messages = 'warning';
alter system set log_statement = 'none';
alter system set pgaudit.log = 'none';
alter system set log_connections = off;
alter system reset all;
alter role bo set pgaudit.log = 'none';
alter role bo reset pgaudit.log;
alter database shop set pgaudit.log = 'ddl';
alter database shop reset pgaudit.log;
drop extension pgaudit;
create table app.after_the_extension (i int);
drop table app.after_the_extension;
create extension pgaudit;
set session_replication_role = 'replica';
alter table app.orders disable trigger all;
alter table app.orders enable trigger all;
select pg_terminate_backend(pid) from pg_stat_activity where usename = 'nobody_here';
SQL
    PGOPTIONS='-c pgaudit.log=none' remote bo -c "select 'started blind'"
    PGOPTIONS='-c pgaudit.log=none' remote ana -c "select 'may not'"
}
