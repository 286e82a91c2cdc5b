# pgaudit and log_statement=all and durations at once: the same statement comes several times
settings=(log_statement=all log_min_duration_statement=0 log_statement_stats=off)
play() {
    session ana <<'SQL'
select name from app.customers where id = 1;
select * from app.nope;
drop table app.orders;
SQL
    bind checkout 'update app.orders set note = $1 where id = $2' 'x' 6
    session shop_owner -c 'create table app.m (i int primary key)' -c 'drop table app.m'
}
