# pgaudit.log_parameter=off and log_rows=off: nine fields, values hidden
settings=(pgaudit.log_parameter=off pgaudit.log_rows=off)
play() {
    bind checkout 'select id from app.orders where id = $1' 41
    bind checkout 'select 1'
    session etl <<'SQL'
prepare find (int) as select id from app.orders where id = $1;
execute find (1);
insert into app.jobs values (1001, 'secret, "quoted"');
delete from app.jobs where id = 1001;
SQL
}
