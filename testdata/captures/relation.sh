# pgaudit.log_relation=on: one row for each relation of a statement, with object auditing on top
settings=(pgaudit.log_relation=on pgaudit.role=auditor)
prepare() { session bo -c 'grant select on app.customers to auditor'; }
play() {
    session ana <<'SQL'
select c.name, o.amount
  from app.customers c
  join app.orders o on o.customer = c.id
 where o.id < 3;
select * from app.open_orders limit 1;
select 1;
select relname from pg_class c, pg_namespace n where n.oid = c.relnamespace limit 1;
SQL
    session checkout <<'SQL'
insert into app.jobs select id + 2000, 'copy of ' || id from app.orders where id < 3;
update app.orders o set note = c.name from app.customers c where c.id = o.customer and o.id = 1;
delete from app.jobs where id > 2000;
SQL
    bind checkout 'select o.note from app.orders o, app.jobs j where o.id = $1 and j.id = o.id' 4
}
