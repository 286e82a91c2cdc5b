# attack: taking data away (pg_dump, whole tables, COPY to files, injection by a service, pg_sleep)
play() {
    PGAPPNAME=psql remote ana <<'SQL'
select * from app.customers;
select * from app.customers limit 100 offset 100;
copy app.customers to stdout;
copy (select name, card from app.customers) to '/tmp/querywatch-capture/cards.csv';
select table_schema, table_name, column_name from information_schema.columns
 where column_name ~ '(card|pass|salary)';
SQL
    PGAPPNAME=checkout-api remote checkout <<'SQL'
select name from app.customers where id = 1;
select name from app.customers where id = 1 or 1=1;
select name from app.customers where id = -1 union select card from app.customers--';
select name from app.customers where id = -1 union all select version();
select name from app.customers where id = 1; select pg_sleep(0.2);
select name from app.customers where name = 'x' or (select count(*) from pg_shadow) > 0;
select name from app.customers where id = 1 and 1 = cast((select version()) as int);
select case when (select substr(card, 1, 1) from app.customers where id = 1) = '4' then pg_sleep(0.1) end;
select string_agg(card, ',') from app.customers;
SQL
    PGUSER=report PGHOST=127.0.0.1 pg_dump --schema=app --table=app.jobs >/dev/null 2>>"$work/transcript" || true
}
