//! Any bytes as postgresql_syslog.
#![no_main]

mod format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| format::check("postgresql_syslog", data));
