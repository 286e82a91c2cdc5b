# ways to come in or to be refused: socket, TLS, plain, password, role, database, pg_hba, limits
play() {
    session ana -c 'select 1'
    remote ana -c 'select 2'
    PGSSLMODE=disable PGHOST=127.0.0.1 session bench -c 'select 3'
    PGPASSWORD=wrong session ana -c 'select 4'
    PGPASSWORD=wrong remote ana -c 'select 5'
    remote nobody_here -c 'select 6'
    remote ana -d nowhere -c 'select 7'
    PGSSLMODE=disable PGHOST=127.0.0.1 session ana -c 'select 8'
    remote barred -c 'select 9'
    remote retired -c 'select 10'
    remote late -c 'select 11'
    remote single -c 'select 12'
    remote auditor -c 'select 13'
    PGPASSWORD='' session ana -w -c 'select 14'
    remote ana -d 'dbname=shop replication=true' -c 'IDENTIFY_SYSTEM'
    session postgres -d 'dbname=shop replication=database' -c 'IDENTIFY_SYSTEM'
    PGOPTIONS='-c nonsense=1' session ana -c 'select 15'
    PGOPTIONS='-c log_statement=all' session ana -c 'select 16'
    exec 3<>/dev/tcp/127.0.0.1/5432 && exec 3>&- # a port scan: connects and says nothing
    exec 3<>/dev/tcp/127.0.0.1/5432 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && exec 3>&-
    pg_isready -h 127.0.0.1 -U report >/dev/null
    session ana <<'SQL'
\c - checkout 127.0.0.1
select 'another session';
SQL
}
