# pgaudit.log_statement_once=on: <previously logged> on the later rows of a statement
settings=(pgaudit.log_statement_once=on pgaudit.log_relation=on pgaudit.role=auditor)
prepare() { session bo -c 'grant select on app.customers to auditor'; }
play() {
    session ana <<'SQL'
select c.name, o.amount
  from app.customers c join app.orders o on o.customer = c.id
 where o.id < 3;
do $$ begin
  perform count(*) from app.customers;
  perform count(*) from app.orders;
end $$;
SQL
    bind checkout 'select c.name from app.customers c, app.orders o where o.customer = c.id and o.id = $1' 4
    session shop_owner <<'SQL'
create table app.big_spenders as select customer from app.orders where amount > 700;
create table app.keyed (id int primary key, name text unique);
drop table app.big_spenders, app.keyed;
SQL
}
