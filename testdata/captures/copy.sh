# COPY in and out, by server and by psql, of tables and queries, to files and programs
play() {
    session etl <<'SQL'
copy app.jobs to stdout;
copy (select id, note from app.orders where id < 4) to stdout with (format csv, header);
copy app.jobs (id, state) from stdin;
4001	from "copy", one
4002	two
\.
\copy app.jobs from program 'printf "4003,three\n"' with csv
\copy (select * from app.customers) to '/dev/null' csv
copy app.jobs from stdin csv;
not a number,x
\.
copy app.jobs to '/tmp/querywatch-capture/jobs.csv';
copy app.jobs from '/etc/passwd';
copy app.jobs to program 'cat >/dev/null';
delete from app.jobs where id > 4000;
SQL
    session bo <<'SQL'
copy app.customers to '/tmp/querywatch-capture/postgresql/customers.csv' csv header;
copy app.jobs to program 'cat >/dev/null';
copy app.jobs from program 'exit 3';
SQL
}
