# object auditing by pgaudit.role (tables, one column, a view) beside session auditing
settings=(pgaudit.role=auditor 'pgaudit.log=write, ddl')
prepare() {
    session bo <<'SQL'
grant usage on schema app, hr to auditor;
grant select, delete on app.customers to auditor;
grant update (amount) on app.orders to auditor;
grant select, insert on hr."Pay, 2024" to auditor;
grant select on app.open_orders to auditor;
grant select, insert on hr."Pay, 2024" to ana;
SQL
}
play() {
    PGAPPNAME=psql session ana <<'SQL'
select name, card from app.customers where id = 1;
select person, salary
  from hr."Pay, 2024"
 where person = 'mia';
insert into hr."Pay, 2024" values ('new "hire"', 4000);
select c.name from app.customers c join app.orders o on o.customer = c.id limit 1;
select * from app.open_orders limit 2;
select count(*) from app.jobs;
SQL
    session checkout <<'SQL'
update app.orders set amount = 0 where id = 3;
update app.orders set note = 'not audited' where id = 3;
delete from app.customers where id = 199999;
SQL
    bind report 'select card from app.customers where id = $1' 5
    session bo -c "delete from hr.\"Pay, 2024\" where person like 'new%'"
}
