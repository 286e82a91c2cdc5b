//! What is masked and what is not; the cases are data.

use super::*;

fn cases() -> Vec<(String, String, String)> {
    let text = include_str!("../../../../testdata/statements/secrets.json");
    serde_json::from_str(text).expect("secrets.json is a list of [dialect, sql, masked]")
}

#[test]
fn secrets_are_masked_and_nothing_else() {
    for (dialect, sql, expected) in cases() {
        let dialect: Dialect = dialect.parse().expect("a dialect");
        assert_eq!(redact_secrets(&sql, dialect), expected, "{sql}");
    }
}

#[test]
fn what_is_masked_stays_as_it_is() {
    for (dialect, _, expected) in cases() {
        let dialect: Dialect = dialect.parse().expect("a dialect");
        assert_eq!(redact_secrets(&expected, dialect), expected);
    }
}

/// Statements whose secrets are `planted1`, `planted2` …, and what of them must stay.
const PLANTED: &[(&str, &[&str])] = &[
    ("SELECT dblink_connect('c', 'postgresql://ann:planted1@db/shop')", &["ann", "@db/shop"]),
    ("SELECT dblink_connect('c', $$host=db password=planted1 dbname=d$$)", &["=db", "dbname=d"]),
    ("SELECT dblink_connect('c', $x$postgresql://ann:planted1@db/shop$x$)", &["ann", "@db/shop"]),
    (
        "CREATE SUBSCRIPTION s CONNECTION 'postgresql://ann:planted1@db/shop' PUBLICATION p",
        &["@db"],
    ),
    ("SELECT dblink_exec('host=db password=''planted1 x'' user=ann', 'select 1')", &["user=ann"]),
    ("SELECT dblink_exec('host=db password=''it\\''planted1'' user=ann', 'y')", &["user=ann"]),
    ("SELECT dblink_exec('host=db password=planted1&planted2 user=ann', 'x')", &["user=ann"]),
    ("SELECT dblink_exec('host=db password=planted1''planted2 user=ann', 'x')", &["user=ann"]),
    ("SELECT dblink_exec('host=db password=planted1\\ planted2 user=ann', 'x')", &["user=ann"]),
    ("ALTER SYSTEM SET primary_conninfo = 'postgresql://ann:planted1@db/shop'", &["@db/shop"]),
    ("COPY t TO PROGRAM 'curl -u ann:planted1 https://db/x'", &["curl -u ann:", "https://db/x"]),
    ("COPY t TO PROGRAM 'curl -uann:planted1 https://db/x'", &["curl", "https://db/x"]),
    ("COPY t TO PROGRAM 'curl --user ''ann:planted1 planted2'' https://db'", &["https://db"]),
    ("COPY t TO PROGRAM 'curl --user=ann:planted1 https://db'", &["ann:", "https://db"]),
    ("COPY t TO PROGRAM $$curl -u ann:planted1 https://db/x$$", &["curl -u ann:", "https://db/x"]),
    ("COPY t TO PROGRAM 'PGPASSWORD=planted1 psql -h db -c x'", &["psql -h db -c x"]),
    ("COPY t TO PROGRAM 'PGPASSWORD=planted1; psql -h db'", &["; psql -h db"]),
    ("COPY t TO PROGRAM 'mysql -uann -pplanted1 -h db | sh'", &["-uann", "-h db | sh"]),
    ("COPY t TO PROGRAM 'mysqldump --password=planted1 -h db'", &["mysqldump", "-h db"]),
    ("COPY t TO PROGRAM 'sshpass -p planted1 ssh ann@db'", &["sshpass", "ssh ann@db"]),
    ("COPY t TO PROGRAM 'sshpass -p ''planted1'' ssh ann@db'", &["sshpass", "ssh ann@db"]),
    ("COPY t TO PROGRAM 'wget --user ann --password planted1 https://db'", &["ann", "https://db"]),
    ("COPY t TO PROGRAM 'redis-cli -a planted1 -h db'", &["redis-cli", "-h db"]),
    ("COPY t TO PROGRAM 'curl -H \"Authorization: Bearer planted1\" https://db'", &["https://db"]),
    (
        "COPY t TO PROGRAM 'AWS_SECRET_ACCESS_KEY=planted1 aws s3 cp - s3://b'",
        &["aws s3 cp - s3://b"],
    ),
    ("SELECT dblink('postgres://ann:planted1@db/d','select 1')", &["ann", "select 1"]),
    ("SELECT dblink_connect('c', E'postgresql://ann:planted1@db/d')", &["@db/d"]),
    ("SELECT dblink_connect('c', E'host=db password=\\'planted1 x\\' user=ann')", &["user=ann"]),
    ("SELECT f('postgresql://ann:planted1@db, postgresql://bo:planted2@dc')", &["bo", "@dc"]),
    ("SELECT f('postgresql://db/d?user=ann&password=planted1&sslmode=off')", &["&sslmode=off"]),
    ("SELECT http_get('https://db/x?token=planted1&page=2')", &["https://db/x", "&page=2"]),
    ("SELECT http_get('https://db/x?api_key=planted1&page=2')", &["https://db/x", "&page=2"]),
    ("SELECT http_post('https://db', '{\"password\": \"planted1\", \"user\": \"ann\"}')", &["ann"]),
    ("SELECT f('Server=db;User Id=ann;Password=planted1;Database=d')", &["ann", "Database=d"]),
    (
        "SELECT dblink_connect(format('host=%s password=%s user=%s', 'db', 'planted1', 'ann'))",
        &["'db'", "'ann'", "password=%s"],
    ),
    ("SELECT dblink(format('postgresql://%s:%s@db', 'ann', 'planted1'), 'x')", &["'ann'", "'x'"]),
    (
        "DO $$BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', 'ann', 'planted1'); END$$",
        &["'ann'"],
    ),
    (
        "DO $$BEGIN EXECUTE format('ALTER ROLE %2$I PASSWORD %1$L', 'planted1', 'ann'); END$$",
        &["'ann'"],
    ),
    ("DO $$BEGIN EXECUTE 'ALTER ROLE ann PASSWORD ' || quote_literal('planted1'); END$$", &["ann"]),
    ("DO $$BEGIN EXECUTE 'ALTER ROLE ann PASSWORD ''' || 'planted1' || ''''; END$$", &["ann"]),
    ("DO $$BEGIN EXECUTE 'ALTER ROLE ann PASSWORD ''planted1'' LOGIN'; END$$", &["LOGIN"]),
    ("DO $$BEGIN EXECUTE $q$ALTER ROLE ann PASSWORD 'planted1' LOGIN$q$; END$$", &["LOGIN"]),
    ("DO $$DECLARE v_password text := 'planted1'; BEGIN PERFORM f('ann'); END$$", &["'ann'"]),
    ("SELECT dblink_connect('host=db password=' || 'planted1' || ' user=ann')", &["' user=ann'"]),
    ("SELECT dblink_connect(concat('host=db password=', 'planted1', ' user=ann'))", &["user=ann"]),
    ("SELECT dblink_connect('postgresql://ann:' || 'planted1' || '@db')", &["ann", "'@db'"]),
    ("SELECT set_config('app.password', 'planted1', false)", &["app.password"]),
    (
        "SELECT jsonb_build_object('user', 'ann', 'password', 'planted1', 'host', 'db')",
        &["'ann'", "'db'"],
    ),
    (
        "SELECT query_to_xml('select dblink(''host=db password=planted1'', ''x'')', true)",
        &["''x''"],
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS $$\nimport x\n\
         c = x.connect(\"host=db password=planted1 user=ann\")\n$$",
        &["user=ann"],
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS $$\nimport x\n\
         c = x.connect(host='db', password='planted1', user='ann')\n$$",
        &["'ann'"],
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS $$\nimport x\n\
         c = x.connect(host=\"db\", password=\"planted1\", user=\"ann\")\n$$",
        &["\"ann\""],
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plsh AS $$#!/bin/sh\n\
         curl -u ann:planted1 https://db\n$$",
        &["https://db"],
    ),
    ("SELECT 1 -- postgresql://ann:planted1@db/shop\n FROM t", &["@db/shop", "FROM t"]),
    ("SELECT 1 /* password=planted1 */ FROM t", &["FROM t"]),
    (
        "DO $$BEGIN EXECUTE 'CREATE USER ann IDENTIFIED BY ''planted1'' \
         REPLACE ''planted2'' x'; END$$",
        &[" x'"],
    ),
    ("SELECT dblink_connect('host=db user=ann password' '=planted1')", &["host=db user=ann"]),
    ("SELECT dblink_connect('host=db password = planted1 user = ann')", &["user = ann"]),
    (
        "UPDATE u SET password = crypt('planted1', gen_salt('bf')) WHERE n = 'ann'",
        &["'bf'", "'ann'"],
    ),
    ("SELECT f(password := 'planted1', host := 'db')", &["'db'"]),
    ("SELECT f(password => 'planted1', host => 'db')", &["'db'"]),
    ("SELECT $${\"password\":\"planted1\",\"host\":\"db\"}$$::json", &["\"host\":\"db\""]),
    ("SELECT format($$ALTER ROLE %I PASSWORD %L$$, 'ann', 'planted1')", &["'ann'"]),
    (
        "SELECT concat('ALTER USER ann IDENTIFIED BY ''', 'planted1', ''' REQUIRE SSL')",
        &["REQUIRE"],
    ),
    (
        "DO $$BEGIN EXECUTE 'SELECT f(''password=''''planted1 x'''' user=ann'', ''y'')'; END$$",
        &["user=ann", "''y''"],
    ),
    (
        "DO $$BEGIN EXECUTE 'EXECUTE ''ALTER ROLE ann PASSWORD ''''planted1'''''' LOGIN'; END$$",
        &["'''''' LOGIN'"],
    ),
    ("DO $$BEGIN EXECUTE 'ALTER ROLE ann PASSWORD ''planted1", &["ALTER ROLE ann"]),
    ("SELECT dblink('postgresql://ann:planted1/planted2@db/shop', 'x')", &["ann", "@db/shop"]),
    ("SELECT f('https://db:80/a@b postgresql://ann:planted1@db,dc:5433/x')", &["a@b", "dc:5433/x"]),
    ("SELECT f('postgresql://ann:planted1''planted2@db/shop')", &["ann", "@db/shop"]),
    ("DO $$BEGIN EXECUTE 'SELECT f(''ftp://ann:planted1@db'',''a@b'')'; END$$", &["@db'',''a@b''"]),
];

#[test]
fn no_planted_secret_is_left_and_the_rest_is() {
    let mut wrong = String::new();
    for (sql, kept) in PLANTED {
        let masked = redact_secrets(sql, Dialect::PostgreSql);
        if masked.contains("planted") || !kept.iter().all(|kept| masked.contains(kept)) {
            wrong += &format!("{sql}\n  {masked}\n");
        }
        let again = redact_secrets(&masked, Dialect::PostgreSql);
        if again != masked {
            wrong += &format!("twice: {masked}\n  {again}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_no_secret_stays() {
    let mut wrong = String::new();
    for sql in [
        "SELECT query_to_xml('select pg_read_file(''/etc/passwd'')', true, false, '')",
        "SELECT query_to_xml('select pg_read_file(''/etc/passwd'') as x, ''y''', true)",
        "COPY t FROM PROGRAM 'cat /etc/passwd \"/etc/shadow\" | curl -d @- https://db'",
        "COPY t FROM PROGRAM 'docker run -u 1000:1000 -v /etc/passwd:/x image'",
        "COPY t FROM PROGRAM 'sort -u a | curl -u \"$X\" https://db:80/a@b'",
        "COPY t FROM PROGRAM 'mysql -p shop -e x'",
        "SELECT has_column_privilege('users', 'password', 'select')",
        "SELECT format('%s password=%s', a, b)",
        "SELECT query_to_xml('select password from users where id = ''7''', true)",
        "SELECT query_to_xml('set password_encryption = ''md5''', true)",
        "DO $$BEGIN SELECT password, pwd FROM users WHERE password = v AND x = 'y'; END$$",
        "SELECT 'https://db/x?page=2', 'a@b', 'token'",
        "INSERT INTO notes VALUES ('forgot password', 'ann')",
        "SELECT 1 -- asks for the password of ann\n FROM t",
    ] {
        let masked = redact_secrets(sql, Dialect::PostgreSql);
        if masked != sql {
            wrong += &format!("{sql}\n  {masked}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(5_000))]

    /// Pieces of connection strings, programs and quoted code in any order.
    #[test]
    fn masking_twice_is_masking_once(
        pieces in proptest::collection::vec(proptest::sample::select(&[
            "'", "''", "''''", "\"", "\\", "\\'", "$$", "$x$", " ", "=", ":", ",", "(", ")", "||",
            "password", "PASSWORD ", "identified by ", "replace ", "secret", "token=", "://", "@",
            "format(", "%s", "%L", "-u ", "--user", "--password ", "mysql -p", "sshpass -p ",
            "authorization: bearer ", "x", "ü", ";", "&", "name=", "begin ", "-- ", "/*", "*/",
            "a:b", "\n",
        ][..]), 0..24),
        my in proptest::arbitrary::any::<bool>(),
    ) {
        let dialect = if my { Dialect::MySql } else { Dialect::PostgreSql };
        let sql = pieces.concat();
        let masked = redact_secrets(&sql, dialect).into_owned();
        let twice = redact_secrets(&masked, dialect).into_owned();
        proptest::prop_assert_eq!(twice, masked, "{}", sql);
    }
}
