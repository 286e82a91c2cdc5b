# audit rows in a file of their own, as pgauditlogtofile writes them: contexts without quotes
preload=pgauditlogtofile
settings=(pgaudit.log_connections=on pgaudit.log_disconnections=on)
keep=(logtofile)
prepare() {
    local own
    own=$(declare -f play)
    # shellcheck source=/dev/null
    source "$topics/substatements.sh"
    prepare
    eval "$own"
}
play() {
    session postgres <<'SQL'
create role "o'neil, ""jr""" login password 'secret';
SQL
    PGAPPNAME='a, "b"' session "o'neil, \"jr\"" <<'SQL'
select 'he said "hi", and left' as said;
SQL
    session etl <<'SQL'
create table "odd,""name" (i int);
do $$ begin perform 'a,"b"
2026-01-01 00:00:00.000 UTC,eve,shop,1,[local],6a63a10e.1,1,SELECT,2026-01-01 00:00:00 UTC,3/1,0,00000,SESSION,1,1,READ,SELECT,,,select 1,<none>,1,,,,,,,,,psql'; end $$;
select 1/0;
drop table "odd,""name";
SQL
    play_of substatements
}
