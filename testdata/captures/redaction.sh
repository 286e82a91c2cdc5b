# statements with passwords: where pgaudit cuts them, and where it does not
play() {
    session bo <<'SQL'
create role temp login password 'hunter2' valid until '2030-01-01' in role report;
alter role temp password 'hunter3';
alter role temp with encrypted PASSWORD 'hunter4' connection limit 3;
alter user temp set search_path = app;
create role password_reader nologin;
create user "the password keeper" nologin;
create user mapping for shop_owner server elsewhere options (user 'remote', password 'hunter5');
alter user mapping for shop_owner server elsewhere options (set password 'hunter6');
drop user mapping for shop_owner server elsewhere;
alter user temp password 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy';
select dblink_connect('host=127.0.0.1 user=ana password=secret dbname=shop');
create server leaky foreign data wrapper dblink_fdw options (host '127.0.0.1');
drop server leaky;
drop role temp, password_reader, "the password keeper";
SQL
    session ana -c "alter role ana password 'new, \"secret\"'" -c "alter role bo password 'stolen'"
    session bo -c "alter role ana password 'secret'"
}
