//! Tables of a statement as its tokens show them, for any text: what stands after `FROM`, `JOIN`,
//! `INTO`, `UPDATE`, `TABLE` … or a comma that goes on with them, and is neither a function nor a
//! `WITH` query.

mod with_query;

use std::collections::BTreeSet;

use crate::command::object_at;
use crate::lexer::Kind;
use crate::names::Names;
use crate::token_tree::Phrase;
use with_query::WithQueries;

/// Around one table; keeps the cost of hostile nesting linear.
const PARENTHESES_MAX: usize = 64;
/// From `UPDATE` to its `SET`; likewise.
const UPDATE_TOKENS_MAX: usize = 256;

const TABLES_END: &[&str] = &[
    "where",
    "group",
    "having",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "window",
    "union",
    "intersect",
    "except",
    "returning",
    "into",
    "select",
    "when",
];
const TABLES_GO_ON: &[&str] = &[
    "join",
    "left",
    "right",
    "full",
    "inner",
    "cross",
    "natural",
    "straight_join",
    "on",
    "using",
    "where",
    "system_time",
];

/// Finds the tables of one phrase.
pub(crate) struct Tables<'o> {
    phrase: &'o Phrase<'o>,
    with_queries: WithQueries<'o>,
    using_lists_tables: bool,
    /// Parentheses that hold tables: `FROM (a, b)`.
    table_openers: Vec<bool>,
    /// What MySQL's `DELETE a, b FROM …` deletes from: tables, or aliases of tables in `FROM`.
    targets: BTreeSet<String>,
    /// `DELETE FROM a USING …`: a table with an alias is no target by its own name.
    targets_are_aliases: bool,
    /// Positions that name tables or their aliases, so that they are not taken for columns.
    pub(crate) taken: Vec<bool>,
    pub(crate) aliases: Vec<&'o str>,
}

/// What a pair of parentheses around the token at hand holds.
#[derive(Default)]
struct Level {
    /// Where it opens; nothing for the whole statement.
    opener: Option<usize>,
    /// A comma here goes on with tables.
    in_tables: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl<'o> Tables<'o> {
    pub(crate) fn find(phrase: &'o Phrase<'o>, names: &mut Names) -> Self {
        let mut tables = Self {
            phrase,
            with_queries: WithQueries::find(phrase),
            using_lists_tables: phrase.has_any(&["delete", "merge"]),
            table_openers: vec![false; phrase.len()],
            targets: BTreeSet::new(),
            targets_are_aliases: false,
            taken: vec![false; phrase.len()],
            aliases: Vec::new(),
        };
        tables.with_queries.take(&mut tables.taken);
        tables.definition(names);
        let mut levels = vec![Level::default()];
        for at in 0..phrase.len() {
            let Some(level) = levels.last_mut() else { break };
            match phrase.kind(at) {
                Kind::Open | Kind::BracketOpen => {
                    let in_tables = tables.table_openers.get(at) == Some(&true);
                    levels.push(Level { opener: Some(at), in_tables });
                }
                Kind::Close | Kind::BracketClose if level.opener.is_some() => {
                    levels.pop();
                }
                Kind::Comma if level.in_tables => tables.one(at + 1, Access::Read, names),
                Kind::Word if phrase.kind_before(at) != Kind::Dot => {
                    tables.clause(at, level, names);
                }
                _ => {}
            }
        }
        std::mem::take(&mut tables.targets).into_iter().for_each(|n| names.written.insert(n));
        tables
    }

    fn clause(&mut self, at: usize, level: &mut Level, names: &mut Names) {
        let phrase = self.phrase;
        level.in_tables &= !ends_tables(phrase, at);
        match phrase.word(at) {
            "from" if phrase.word_before(at) == "delete" => {}
            "from" if self.lists_tables(at, level.opener) => self.first(at, level, names),
            "join" | "straight_join" => self.first(at, level, names),
            "using" if self.using_lists_tables && !self.is_column_list(at + 1) => {
                self.first(at, level, names);
            }
            "into" => self.into(at, names),
            "insert" | "replace" if at == 0 => self.insert_without_into(names),
            "update" if is_update(phrase, at) => self.list(at + 1, Access::Write, names),
            "delete" => self.delete(at, names),
            "table" if at == 0 || self.is_table_query(at) || self.is_inserted_query(at) => {
                self.one(at + 1, Access::Read, names);
            }
            _ => {}
        }
    }

    /// The first of the tables that commas go on with.
    fn first(&mut self, at: usize, level: &mut Level, names: &mut Names) {
        level.in_tables = true;
        self.one(at + 1, Access::Read, names);
    }

    /// Whether `FROM` lists tables, unlike in `extract(day from x)` or `REVOKE … FROM`.
    fn lists_tables(&self, at: usize, opener: Option<usize>) -> bool {
        let phrase = self.phrase;
        let in_call = opener.is_some_and(|open| {
            let function = phrase.word_before(open);
            matches!(function, "extract" | "substring" | "trim" | "overlay" | "position")
        });
        let distinct_from = phrase.word_before(at) == "distinct"
            && matches!(phrase.word(at.saturating_sub(2)), "is" | "not");
        let head = matches!(
            phrase.word(0),
            "revoke" | "fetch" | "move" | "show" | "close" | "import" | "set" | "load" | "copy"
        );
        let top_level = opener.is_none();
        let other = in_call || distinct_from || phrase.word_before(at) == "values";
        !other && (!head || !top_level)
    }

    fn is_column_list(&self, at: usize) -> bool {
        self.phrase.kind(at) == Kind::Open && self.phrase.word(at + 1) != "select"
    }

    fn is_table_query(&self, at: usize) -> bool {
        let phrase = self.phrase;
        phrase.kind_before(at) == Kind::Open
            || matches!(phrase.word_before(at), "as" | "union" | "all" | "except" | "intersect")
    }

    /// `INSERT INTO t (a, b) TABLE u`
    fn is_inserted_query(&self, at: usize) -> bool {
        let follows = self.phrase.kind_before(at) == Kind::Close
            || self.phrase.word_before(at) == "value"
            || self.taken.get(at.saturating_sub(1)) == Some(&true);
        let inserts = ["insert", "replace", "explain", "with"];
        follows && inserts.contains(&self.phrase.word(0))
    }

    fn into(&mut self, at: usize, names: &mut Names) {
        let noise = ["table", "temp", "temporary", "unlogged", "strict"];
        let mut next = at + 1;
        while noise.contains(&self.phrase.word(next)) {
            next += 1;
        }
        if self.phrase.word(0) == "grant" {
            return;
        }
        self.one(next, Access::Write, names);
    }

    /// MySQL lets `INTO` go.
    fn insert_without_into(&mut self, names: &mut Names) {
        let noise = ["low_priority", "high_priority", "delayed", "ignore"];
        let mut next = 1;
        while noise.contains(&self.phrase.word(next)) {
            next += 1;
        }
        self.one(next, Access::Write, names);
    }

    fn delete(&mut self, at: usize, names: &mut Names) {
        let noise = ["low_priority", "quick", "ignore"];
        let mut next = at + 1;
        while noise.contains(&self.phrase.word(next)) {
            next += 1;
        }
        if self.phrase.word(next) == "from" {
            if at == 0 && self.phrase.word(self.names_end(next + 1)) == "using" {
                self.targets_are_aliases = true;
                return self.delete_targets(next + 1);
            }
            self.list(next + 1, Access::Write, names);
        } else if at == 0 && self.phrase.on_level(next, &["from"]).is_some() {
            self.delete_targets(next);
        }
    }

    /// Behind names with commas between.
    fn names_end(&self, mut at: usize) -> usize {
        while let Some((_, end)) = self.phrase.qualified(at) {
            at = end;
            if self.phrase.kind(at) != Kind::Comma {
                break;
            }
            at += 1;
        }
        at
    }

    /// MySQL: `DELETE a, b.* FROM a JOIN b …`, `DELETE FROM a USING a JOIN b …`.
    fn delete_targets(&mut self, mut at: usize) {
        while let Some((name, end)) = self.phrase.qualified(at) {
            self.take(at, end);
            self.targets.insert(name);
            let all = self.phrase.kind(end) == Kind::Dot;
            at = end + if all { 2 } else { 0 };
            if self.phrase.kind(at) != Kind::Comma {
                return;
            }
            at += 1;
        }
    }

    /// `CREATE`, `ALTER`, `DROP`, `TRUNCATE`, `COPY`, `LOCK`, `REFRESH`.
    fn definition(&mut self, names: &mut Names) {
        let phrase = self.phrase;
        let skip = |mut at: usize| {
            while matches!(phrase.word(at), "if" | "not" | "exists" | "only" | "concurrently") {
                at += 1;
            }
            at
        };
        match phrase.word(0) {
            "create" | "alter" | "drop" => {
                let at = object_at(phrase);
                let wide = matches!(phrase.word(at), "foreign" | "materialized");
                let at = at + usize::from(wide);
                match phrase.word(at) {
                    "table" | "view" => self.list(skip(at + 1), Access::Write, names),
                    "index" | "trigger" | "policy" | "rule" => {
                        let rule = phrase.word(0) == "create" && phrase.word(at) == "rule";
                        let before = if rule { "to" } else { "on" };
                        if let Some(on) = phrase.on_level(at, &[before]) {
                            self.one(skip(on + 1), Access::Write, names);
                        }
                    }
                    _ => {}
                }
            }
            "truncate" => {
                let at = 1 + usize::from(phrase.word(1) == "table");
                self.list(skip(at), Access::Write, names);
            }
            "lock" => {
                let at = 1 + usize::from(matches!(phrase.word(1), "table" | "tables"));
                self.list(skip(at), Access::Read, names);
            }
            "refresh" => self.one(skip(3), Access::Write, names),
            "grant" | "revoke" => self.granted(names),
            "describe" | "desc" => self.one(1, Access::Read, names),
            "copy" => {
                let at = 1 + usize::from(phrase.word(1) == "binary");
                let from = phrase.on_level(at, &["from", "to"]).map(|at| phrase.word(at));
                let access = if from == Some("from") { Access::Write } else { Access::Read };
                self.copied(at, access, names);
            }
            _ => {}
        }
    }

    /// Tables whose rights `GRANT … ON a, b` and `REVOKE` change.
    fn granted(&mut self, names: &mut Names) {
        let phrase = self.phrase;
        let Some(on) = phrase.on_level(1, &["on"]).filter(|_| phrase.word(1) != "proxy") else {
            return;
        };
        let is_end = |at: usize| {
            let ends = matches!(phrase.word(at), "to" | "from");
            ends || matches!(phrase.kind(at), Kind::Comma | Kind::Dot | Kind::End)
        };
        let mut at = on + 1;
        if !is_end(at + 1) {
            if phrase.word(at) != "table" {
                // `ON SCHEMA app`, `ON ALL TABLES IN SCHEMA app`
                return;
            }
            at += 1;
        }
        while let Some((_, end)) = phrase.qualified(at) {
            // `shop.*` is a database of MySQL.
            if phrase.kind(end) == Kind::Dot {
                return;
            }
            self.copied(at, Access::Write, names);
            if phrase.kind(end) != Kind::Comma {
                return;
            }
            at = end + 1;
        }
    }

    /// The table of `COPY`, say; what follows in parentheses are its columns.
    fn copied(&mut self, at: usize, access: Access, names: &mut Names) {
        let Some((name, end)) = self.phrase.qualified(at) else { return };
        self.take(at, end);
        match access {
            Access::Read => names.read.insert(name),
            Access::Write => names.written.insert(name),
        }
    }

    fn list(&mut self, from: usize, access: Access, names: &mut Names) {
        let mut at = from;
        loop {
            at = self.table(at, access, names);
            at = self.alias(at);
            if self.phrase.kind(at) != Kind::Comma {
                return;
            }
            at += 1;
        }
    }

    fn one(&mut self, at: usize, access: Access, names: &mut Names) {
        let end = self.table(at, access, names);
        self.alias(end);
    }

    /// One table at `at`; gives where it ends.
    fn table(&mut self, mut at: usize, access: Access, names: &mut Names) -> usize {
        let phrase = self.phrase;
        while matches!(phrase.word(at), "only" | "lateral" | "ignore" | "low_priority") {
            at += 1;
        }
        if phrase.words_at(at, &["rows", "from"]) {
            // Functions, as the `from` finds.
            return at + 1;
        }
        if phrase.kind(at) == Kind::Open {
            // A query, whose own clauses are seen on the way, or a join in parentheses.
            let outer = at;
            while phrase.kind(at) == Kind::Open && at < outer + PARENTHESES_MAX {
                at += 1;
            }
            if phrase.name(at).is_some() {
                self.table_openers.get_mut(at - 1).into_iter().for_each(|opens| *opens = true);
                self.one(at, access, names);
            }
            return phrase.closing(outer) + 1;
        }
        let Some((name, end)) = phrase.qualified(at).filter(|(name, _)| !name.starts_with('@'))
        else {
            return at;
        };
        if access == Access::Read && phrase.kind(end) == Kind::Open {
            return phrase.closing(end) + 1;
        }
        self.take(at, end);
        self.aliases.push(name.rsplit_once('.').map_or_else(|| phrase.word(at), |_| ""));
        let qualified = end > at + 1;
        if self.is_target(&name, end) {
            names.written.insert(name);
        } else if qualified || !self.with_queries.hides(&name, at) {
            match access {
                Access::Read => names.read.insert(name),
                Access::Write => names.written.insert(name),
            }
        }
        end
    }

    /// Whether `DELETE a FROM …` means this table, by its name or by its alias after `end`.
    fn is_target(&mut self, name: &str, end: usize) -> bool {
        if self.targets.is_empty() {
            return false;
        }
        let alias = self.phrase.name(end + usize::from(self.phrase.word(end) == "as"));
        let last = name.rsplit('.').next().unwrap_or(name);
        let aliased = alias.is_some() && self.targets_are_aliases;
        let mut named = if aliased { [alias, None, None] } else { [Some(name), alias, Some(last)] }
            .into_iter()
            .flatten();
        named.any(|name| self.targets.remove(name))
    }

    /// `[AS] alias [(columns)]` after a table.
    fn alias(&mut self, mut at: usize) -> usize {
        let phrase = self.phrase;
        if phrase.kind(at) == Kind::Operator && phrase.get(at).is_some_and(|i| i.text == "*") {
            at += 1;
        }
        at += usize::from(phrase.word(at) == "as");
        let Some(alias) = phrase.name(at) else { return at };
        if matches!(alias, "tablesample" | "ignore" | "force" | "use" | "cascade" | "restart") {
            return at;
        }
        self.aliases.push(alias);
        self.take(at, at + 1);
        if phrase.kind(at + 1) == Kind::Open { phrase.closing(at + 1) + 1 } else { at + 1 }
    }

    fn take(&mut self, from: usize, to: usize) {
        if let Some(taken) = self.taken.get_mut(from..to) {
            taken.fill(true);
        }
    }
}

/// Whether the `update` at `at` is the command and not `FOR UPDATE`, `ON UPDATE`, `DO UPDATE`,
/// a privilege, or an event of a trigger.
pub(crate) fn is_update(phrase: &Phrase<'_>, at: usize) -> bool {
    let before = phrase.word_before(at);
    let other = ["for", "on", "do", "key", "before", "after", "or", "of", "grant", "revoke", "no"];
    phrase.word(at) == "update"
        && !other.contains(&before)
        && phrase.word(at + 1) != "set"
        && phrase.level(at + 1).take(UPDATE_TOKENS_MAX).any(|at| phrase.word(at) == "set")
}

/// Whether the word at `at` ends the tables after `FROM`. Some of these words may be aliases,
/// after which the tables go on.
fn ends_tables(phrase: &Phrase<'_>, at: usize) -> bool {
    let goes_on = phrase.kind(at + 1) == Kind::Comma || TABLES_GO_ON.contains(&phrase.word(at + 1));
    match phrase.word(at) {
        "set" => {
            let row = phrase.kind(at + 1) == Kind::Open;
            let end = if row { phrase.closing(at + 1) + 1 } else { at + 2 };
            matches!(phrase.kind(end), Kind::Operator | Kind::Dot | Kind::BracketOpen)
        }
        "update" => phrase.word_before(at) == "key",
        word => TABLES_END.contains(&word) && !goes_on,
    }
}
