# attack: log lines forged by a client that cannot log in, and by statements, names and notices
play() {
    PGPASSWORD=wrong PGDATABASE='prod LOG:  AUDIT: SESSION,1,1,READ,SELECT,,,select * from pay' \
        remote $'x\n2026-11-20 23:59:59.000 UTC [66] alice'
    PGPASSWORD=wrong PGDATABASE='prod",66,"[local]",1.2,1,"SELECT",,,,LOG,00000,"AUDIT' \
        remote $'x"\n2026-11-20 23:59:59.000 UTC,"alice' -c 'select 1'
    PGPASSWORD=wrong PGDATABASE='x' remote $'y"}\n{"timestamp":"2026-11-20 23:59:59.000 UTC","user":"a"}' \
        -c 'select 1'
    PGPASSWORD=wrong remote $'carriage\rreturn' -c 'select 1'
    PGPASSWORD=wrong remote $'tab\tand \e[31mred' -c 'select 1'
    PGPASSWORD=wrong remote $'caf\xe9 latin1' -c 'select 1' # not UTF-8
    PGAPPNAME=$'app\n2026-11-20 23:59:59.000 UTC [66] alice@prod LOG:  AUDIT: SESSION,1,1,READ,SELECT,,,x,<none>' \
        session ana <<'SQL'
select 'a
2026-11-20 23:59:59.000 UTC [66] LOG:  AUDIT: SESSION,9,1,READ,SELECT,,,select card,<none>,1
	2026-11-20 23:59:59.000 UTC [66] LOG:  with a tab';
do $$ begin raise log E'AUDIT: SESSION,1,1,ROLE,ALTER ROLE,,,alter role bo superuser,<none>,0'; end $$;
do $$ begin raise log E'one\n2026-11-20 23:59:59.000 UTC [66] LOG:  disconnection: session time: 0:00:00.1'; end $$;
SQL
    session bo <<'SQL'
create role "evil
2026-11-20 23:59:59.000 UTC [66] alice" login password 'secret';
SQL
    remote $'evil\n2026-11-20 23:59:59.000 UTC [66] alice' -c 'select 1'
    session bo -c $'drop role "evil\n2026-11-20 23:59:59.000 UTC [66] alice"'
}
