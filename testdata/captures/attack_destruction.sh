# attack: DELETE and UPDATE without WHERE, TRUNCATE, DROP TABLE, DROP DATABASE, a ransom note
prepare() {
    session shop_owner <<'SQL'
create table app.victims as select * from app.customers;
create table app.victims_too as select * from app.orders;
grant select, insert, update, delete, truncate on app.victims, app.victims_too to checkout;
SQL
    session bo -c 'create database doomed'
}
play() {
    PGAPPNAME=checkout-api remote checkout <<'SQL'
update app.victims set card = null;
delete from app.victims;
delete from app.victims where 1 = 1;
truncate app.victims_too;
SQL
    PGAPPNAME=psql remote shop_owner <<'SQL'
drop table app.victims, app.victims_too;
create table public."READ_ME_TO_RECOVER" (note text);
insert into public."READ_ME_TO_RECOVER" values ('pay 0.1 BTC, or else "gone"');
drop table public."READ_ME_TO_RECOVER";
SQL
    PGAPPNAME=psql remote bo -c 'drop database doomed with (force)'
}
