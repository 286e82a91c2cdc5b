# lines of the server itself: checkpoints, autovacuum, locks, temporary files, reload, deadlock
settings=(log_checkpoints=on log_autovacuum_min_duration=0 log_lock_waits=on deadlock_timeout=100ms
    log_temp_files=0 work_mem=64kB autovacuum=on autovacuum_naptime=1s log_replication_commands=on)
play() {
    session bo <<'SQL'
create table app.churn with (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0)
    as select i, repeat('x', 20) x from generate_series(1, 3000) i;
delete from app.churn where i % 2 = 0;
select count(*) from (select x, i from app.churn order by x, i desc offset 1) s;
checkpoint;
select pg_reload_conf();
SQL
    sleep 4 # autovacuum comes by
    session bo -c 'drop table app.churn'
    session checkout -c "begin" -c "update app.jobs set state = 'a' where id = 1" \
        -c "select pg_sleep(0.4)" -c "update app.jobs set state = 'a' where id = 2" -c commit &
    sleep 0.1
    session etl -c "begin" -c "update app.jobs set state = 'b' where id = 2" \
        -c "select pg_sleep(0.4)" -c "update app.jobs set state = 'b' where id = 1" -c commit
    wait $!
}
