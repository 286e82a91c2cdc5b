//! Flags of functions, by name; a schema before the name changes nothing.

use crate::flag::{Flag, FlagSet};

pub(super) fn flags(name: &str, flags: &mut FlagSet) {
    let lower = name.to_ascii_lowercase();
    let name = lower.rsplit('.').next().unwrap_or(&lower);
    for flag in of(name) {
        flags.insert(*flag);
    }
    if name.starts_with("dblink") || name.starts_with("http_") {
        flags.insert(Flag::Outbound);
    }
    if lower.starts_with("cron.") {
        flags.insert(Flag::Schedule);
    }
}

fn of(name: &str) -> &'static [Flag] {
    match name {
        "pg_sleep" | "pg_sleep_for" | "pg_sleep_until" | "sleep" | "benchmark" => &[Flag::Sleep],
        "extractvalue" | "updatexml" | "query_to_xml" | "database_to_xml" => &[Flag::ErrorFunction],
        "pg_read_file"
        | "pg_read_binary_file"
        | "pg_ls_dir"
        | "pg_stat_file"
        | "lo_import"
        | "pg_ls_logdir"
        | "pg_ls_waldir"
        | "pg_ls_tmpdir"
        | "load_file" => &[Flag::ServerFile, Flag::ServerFileRead],
        "lo_export" | "pg_file_write" | "pg_file_rename" | "pg_file_unlink" => {
            &[Flag::ServerFile, Flag::ServerFileWrite]
        }
        "pgp_sym_encrypt"
        | "pgp_sym_encrypt_bytea"
        | "pgp_pub_encrypt"
        | "encrypt"
        | "encrypt_iv"
        | "aes_encrypt"
        | "des_encrypt" => &[Flag::Encrypt],
        "pg_rotate_logfile" | "pg_logfile_rotate" => &[Flag::LogRemoval],
        "pg_terminate_backend" | "pg_cancel_backend" => &[Flag::Terminate],
        "pg_create_logical_replication_slot"
        | "pg_create_physical_replication_slot"
        | "pg_logical_slot_get_changes"
        | "pg_logical_slot_peek_changes" => &[Flag::Replication],
        "http" => &[Flag::Outbound],
        _ => &[],
    }
}
