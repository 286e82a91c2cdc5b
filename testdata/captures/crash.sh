# a backend is killed: all sessions end, the server recovers by itself
play() {
    session ana -c 'select pg_sleep(5)' &
    sleep 0.3
    # The program's parent is the backend; it waits until all logs have the audit row.
    session bo -c "copy (select 1) to program 'sleep 0.3; kill -9 \$PPID'"
    wait $!
    until pg_isready -q -h "$socket" -U report; do sleep 0.1; done
    session ana -c "select 'back again'"
}
