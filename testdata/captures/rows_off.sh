# pgaudit.log_rows=off with parameters on, the classes read, write and ddl only, log_catalog=off
settings=(pgaudit.log_rows=off pgaudit.log_catalog=off pgaudit.log=read,write,ddl)
play() {
    session ana <<'SQL'
select count(*) from app.orders;
select relname from pg_class limit 1;
set work_mem = '8MB';
begin; commit;
SQL
    bind checkout 'update app.jobs set state = $1 where id = $2' $'don\te' 2
    session shop_owner -c 'create table app.brief (i int)' -c 'drop table app.brief'
}
