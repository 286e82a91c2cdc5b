# without pgaudit: log_statement=all, log_duration=on, simple and extended protocol
settings=(pgaudit.log=none log_statement=all log_duration=on)
play() {
    session ana <<'SQL'
select name
  from app.customers
 where id = 1;
select 'it''s', "nope";
prepare find (int) as select id from app.orders where id = $1;
execute find (1);
copy (select 1) to stdout;
SQL
    bind checkout 'select $1::int, $2::text, $3::text' 41 "o'clock, \$2 = 'x'" '\N'
    bind checkout $'update app.orders\n   set note = $1\n where id = 6' $'two\nlines'
    bench bench prepared <<'SQL'
\set id random(41, 41)
select name from app.customers where id = :id;
SQL
}
