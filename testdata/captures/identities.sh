# names with quotes, spaces, commas, Unicode for roles, databases and applications
prepare() { session bo -c 'grant auditor to shop_owner'; }
play() {
    PGAPPNAME="O'Hara's tool, \"v2\" LOG:  x" remote "Mia O'Hara" -c 'select current_user'
    PGAPPNAME=$'two\nlines\tand é' remote "smith, j" -c 'select id from app.jobs limit 1'
    PGAPPNAME='[unknown]' session 'odd "quoted" name' -c 'select 1'
    PGAPPNAME='' session 'señor ñandú 東京' -c 'select 1'
    PGAPPNAME="$(printf 'a%.0s' {1..80})" session ana -d 'Pay Roll' -c 'create temp table t (i int)'
    PGPASSWORD=wrong remote "Mia O'Hara" -c 'select 1'
    PGPASSWORD=wrong remote 'not" a role, "at all' -c 'select 1'
    PGAPPNAME=pool session shop_owner <<'SQL'
set application_name = 'changed, later';
select 1;
set role auditor;
select session_user, current_user;
reset role;
create table "my ""odd"", table" ("a, b" int);
select "a, b" from "my ""odd"", table";
select * from public."my ""odd"", table";
drop table "my ""odd"", table";
SQL
    session bo <<'SQL'
revoke auditor from shop_owner;
create role "new, ""one""";
alter role "new, ""one""" rename to "new
line";
drop role "new
line";
set session authorization ana;
select session_user, current_user;
SQL
}
