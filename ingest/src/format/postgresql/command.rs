//! The command of a statement, and what kind of thing it does, in the words of events.

use event::vocabulary::Action;
use statement::{Command, CommandClass, Dialect};

/// The command tag that the server would give a statement, and its action; none for no SQL.
pub(crate) fn of_statement(statement: &str) -> Option<(&'static str, Action)> {
    known(Command::of(statement, Dialect::PostgreSql))
}

/// What an `EXECUTE` does: DETAIL says `prepare: PREPARE name (types) AS statement`.
pub(crate) fn prepared(detail: &str) -> Option<(&'static str, Action)> {
    let prepare = detail.strip_prefix("prepare: ")?;
    Command::prepared(prepare, Dialect::PostgreSql).and_then(known)
}

/// The action of a command tag, such as `CREATE TABLE`.
pub(crate) fn action_of(tag: &str) -> Action {
    crate::format::action(CommandClass::of_tag(tag))
}

fn known(command: Command) -> Option<(&'static str, Action)> {
    command.is_known().then(|| (command.tag, crate::format::action(command.class)))
}
