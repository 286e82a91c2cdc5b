# bind values: pgbench in all three modes, libpq, EXECUTE; NULL, empty, quotes, newlines, commas
play() {
    local mode
    for mode in simple extended prepared; do
        bench bench "$mode" -D "note='said \"hi\", left'" <<'SQL'
\set id random(41, 41)
begin;
select name from app.customers where id = :id;
update app.orders set amount = amount + 1 where id = :id and customer > :id - 1;
end;
SQL
    done
    bench bench prepared -D note=$'O\'Hara, "the ""boss"""\nline two\ttabbed' <<'SQL'
select id from app.orders where note = :note limit 1;
SQL
    bind checkout 'select $1::int, $2::text' 41 'said "hi", left'
    bind checkout 'select $1::text' '\N'
    bind checkout 'select $1::text' ''
    bind checkout 'select $1::text, $2::text, $3::text' '\N' '' 'NULL'
    bind checkout 'select $1::text' '<none>'
    bind checkout 'select $1::text' $'two\nlines'
    bind checkout 'select $1::text, $2::text' "it's" "', \$2 = 'forged"
    bind checkout 'select $1::text' 'naïve – 東京 🔒'
    bind checkout $'update app.orders\n   set note = $2\n where id = $1' 12 'a,b'
    bind checkout 'insert into app.orders values ($1, $2, $3, $4)' 8101 3 '"' 1.25
    bind checkout 'delete from app.orders where id = $1' 8101
    bind checkout 'select * from app.customers where email = $1' "x' or '1'='1"
    bind checkout 'select 10 / $1::int' 0
    bind checkout 'select $1::int' 'not a number'
    session etl <<'SQL'
prepare find (int, text) as select id from app.orders where id = $1 or note = $2;
execute find (1, 'note 2');
execute find (null, '');
execute find (3, 'a "b", c');
deallocate find;
SQL
}
