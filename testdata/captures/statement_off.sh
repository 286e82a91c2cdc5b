# pgaudit.log_statement=off: <not logged> instead of text and parameters
settings=(pgaudit.log_statement=off)
play() {
    session ana <<'SQL'
select count(*) from app.orders;
begin;
commit;
SQL
    bind checkout 'update app.orders set note = $1 where id = $2' 'private' 5
    session shop_owner -c 'create table app.unseen (i int)' -c 'drop table app.unseen'
}
