# without pgaudit: log_min_duration_statement=0, log_parameter_max_length and _on_error
settings=(pgaudit.log=none log_min_duration_statement=0 log_parameter_max_length=12
    log_parameter_max_length_on_error=12)
play() {
    session ana <<'SQL'
select name
  from app.customers
 where id = 1;
select pg_sleep(0.05);
select 1 / 0;
SQL
    bind checkout 'select $1::int, $2::text, $3::text' 41 'longer than twelve characters' '\N'
    bind checkout 'select 10 / $1::int' 0
    bench bench prepared <<'SQL'
\set id random(41, 41)
select name from app.customers where id = :id;
SQL
}
