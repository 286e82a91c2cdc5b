# attack: taking more rights (superuser, roles that read files, password hashes, definer functions)
play() {
    PGAPPNAME=psql remote ana <<'SQL'
select rolname, rolpassword from pg_authid;
select usename, passwd from pg_shadow;
alter role ana superuser;
grant pg_read_server_files to ana;
create role backdoor superuser login password 'x';
select rolname from pg_roles where rolsuper;
SQL
    PGAPPNAME=psql remote bo <<'SQL'
alter role ana superuser;
alter role ana createrole createdb bypassrls;
grant pg_read_server_files, pg_execute_server_program to ana;
grant shop_owner to report with admin option;
create role backdoor superuser login password 'hunter2';
select rolname, rolpassword from pg_authid where rolpassword is not null;
grant all on all tables in schema hr to public;
alter default privileges in schema hr grant select on tables to public;
create function app.become() returns void language sql security definer
    as 'alter role report superuser';
alter table app.customers disable row level security;
alter table hr."Pay, 2024" owner to ana;
alter table hr."Pay, 2024" owner to shop_owner;
drop function app.become();
drop role backdoor;
revoke all on all tables in schema hr from public;
alter default privileges in schema hr revoke select on tables from public;
revoke pg_read_server_files, pg_execute_server_program from ana;
revoke shop_owner from report;
alter role ana nosuperuser nocreaterole nocreatedb nobypassrls;
SQL
}
