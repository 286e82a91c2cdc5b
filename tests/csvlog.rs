//! Lines as a PostgreSQL with pgaudit writes them, numbered so that each can be found again.

use std::fmt::Write;

/// 2026-11-16 00:00:00 UTC.
const START: i64 = 1_794_787_200;

/// One audited statement; the number is in it, in the session and in the time.
pub fn audited(number: usize) -> String {
    let sql = format!("select * from shop.orders where id = {number}");
    line(number, "app", &format!("AUDIT: SESSION,{number},1,READ,SELECT,,,{sql},<not logged>"))
}

/// One line with this message.
pub fn line(number: usize, user: &str, message: &str) -> String {
    let seconds = START + (number / 1_000) as i64;
    let time = chrono::DateTime::from_timestamp(seconds, 0).expect("a time");
    let (stamp, milliseconds) = (time.format("%Y-%m-%d %H:%M:%S"), number % 1_000);
    let quoted = message.replace('"', "\"\"");
    let session = number % 7 + 4_000;
    let mut line = String::new();
    let _ = writeln!(
        line,
        "{stamp}.{milliseconds:03} UTC,\"{user}\",\"shop\",{session},\"10.1.2.3:51022\",\
         67c42e10.{session:x},{number},\"SELECT\",2026-11-16 00:00:00 UTC,3/17,0,LOG,00000,\
         \"{quoted}\",,,,,,,,,\"app\",\"client backend\",,0"
    );
    line
}

/// A statement that a rule is for, by an account of its own.
pub fn attack(number: usize) -> String {
    let sql = format!("ALTER ROLE u{number} SUPERUSER");
    let message = format!("AUDIT: SESSION,{number},1,ROLE,ALTER ROLE,,,{sql},<not logged>");
    line(number, &format!("intruder{number}"), &message)
}
