//! The flags of a normal form, from its tokens: they hold whether or not a parser understands it.

mod clause;
mod function;
mod privilege;
mod server;
mod setting;

use crate::flag::{Flag, FlagSet};
use crate::names::Names;
use crate::outline::{Outline, Phrase};

/// All flags that the normal form tells.
pub(crate) fn flags(outline: &Outline<'_>, phrases: &[Phrase<'_>], names: &Names) -> FlagSet {
    let mut flags = FlagSet::default();
    if outline.is_stacked() {
        flags.insert(Flag::Stacked);
    }
    for phrase in phrases {
        clause::flags(phrase, &mut flags);
        server::flags(phrase, &mut flags);
        setting::flags(phrase, &mut flags);
        privilege::flags(phrase, &mut flags);
    }
    let in_code = outline.has_code();
    if in_code && phrases.iter().any(|phrase| phrase.has_any(&["execute"])) {
        flags.insert(Flag::DynamicSql);
    }
    for name in names.functions.iter() {
        function::flags(name, &mut flags);
    }
    for name in names.read.iter().chain(names.written.iter()) {
        table(name, &mut flags);
    }
    flags
}

fn table(name: &str, flags: &mut FlagSet) {
    let last = name.rsplit('.').next().unwrap_or(name);
    let schemas = ["information_schema.", "pg_catalog.", "mysql.", "performance_schema.", "sys."];
    if last.starts_with("pg_") || schemas.iter().any(|schema| name.starts_with(schema)) {
        flags.insert(Flag::Catalog);
    }
    if matches!(last, "pg_authid" | "pg_shadow" | "pg_user_mapping" | "pg_user_mappings")
        || matches!(name, "mysql.user" | "mysql.global_priv")
    {
        flags.insert(Flag::PasswordHash);
    }
}
