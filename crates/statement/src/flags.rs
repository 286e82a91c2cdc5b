//! The flags of a normal form, from its tokens: they hold whether or not a parser understands it.

mod clause;
mod condition;
mod function;
mod privilege;
mod server;
mod setting;
mod table;

use crate::flag::{Flag, FlagSet};
use crate::names::Names;
use crate::token_tree::{Phrase, TokenTree};

pub(crate) use table::writes_only_temporary;

/// All flags that the tokens tell.
pub(crate) fn of_tokens(tree: &TokenTree<'_>, phrases: &[Phrase<'_>]) -> FlagSet {
    let mut flags = FlagSet::default();
    if tree.is_stacked() {
        flags.insert(Flag::Stacked);
    }
    for phrase in phrases {
        clause::flags(phrase, &mut flags);
        server::flags(phrase, &mut flags);
        setting::flags(phrase, &mut flags);
        privilege::flags(phrase, &mut flags);
    }
    let in_code = tree.has_code();
    if in_code && phrases.iter().any(|phrase| phrase.has_any(&["execute"])) {
        flags.insert(Flag::DynamicSql);
    }
    flags
}

/// Adds the flags of what is named.
pub(crate) fn of_names(names: &Names, phrases: &[Phrase<'_>], flags: &mut FlagSet) {
    // Rights to a table of the catalogue neither show nor change its rows.
    let touches_rows = phrases.iter().any(|p| !matches!(p.word(0), "grant" | "revoke"));
    for name in names.functions.iter() {
        function::flags(name, flags);
    }
    table::flags(names, touches_rows, flags);
}
