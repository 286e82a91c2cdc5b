//! The names of `WITH` queries and where they hide tables of the same name.

use crate::lexer::Kind;
use crate::token_tree::Phrase;

/// Looked up for each table, hence few.
const QUERIES_MAX: usize = 256;

pub(super) struct WithQueries<'o> {
    queries: Vec<WithQuery<'o>>,
    /// Where they are named.
    places: Vec<usize>,
}

struct WithQuery<'o> {
    name: &'o str,
    /// After its own body, unless it is recursive: `WITH t AS (SELECT … FROM t)` reads a table.
    visible_from: usize,
    visible_to: usize,
}

impl<'o> WithQueries<'o> {
    pub(super) fn find(phrase: &'o Phrase<'o>) -> Self {
        let mut found = Self { queries: Vec::new(), places: Vec::new() };
        let mut open = Vec::new();
        for at in 0..phrase.len() {
            match phrase.kind(at) {
                Kind::Open => open.push(at),
                Kind::Close => {
                    open.pop();
                }
                Kind::Word if phrase.word(at) == "with" => {
                    let end = open.last().map_or(phrase.len(), |&open| phrase.closing(open));
                    found.clause(phrase, at, end);
                }
                _ => {}
            }
        }
        found
    }

    fn clause(&mut self, phrase: &'o Phrase<'o>, with: usize, visible_to: usize) {
        let recursive = phrase.word(with + 1) == "recursive";
        let mut at = with + 1 + usize::from(recursive);
        while let Some(name) = phrase.name(at) {
            let named_at = at;
            at += 1;
            if phrase.kind(at) == Kind::Open {
                at = phrase.closing(at) + 1;
            }
            if phrase.word(at) != "as" {
                return;
            }
            at += 1;
            while matches!(phrase.word(at), "not" | "materialized") {
                at += 1;
            }
            if phrase.kind(at) != Kind::Open {
                return;
            }
            let end = phrase.closing(at);
            self.places.push(named_at);
            let visible_from = if recursive { with } else { end };
            if self.queries.len() < QUERIES_MAX {
                self.queries.push(WithQuery { name, visible_from, visible_to });
            }
            at = end + 1;
            if phrase.kind(at) != Kind::Comma {
                return;
            }
            at += 1;
        }
    }

    /// Marks their names, which are neither functions nor columns.
    pub(super) fn take(&self, taken: &mut [bool]) {
        for &place in &self.places {
            taken.get_mut(place).into_iter().for_each(|taken| *taken = true);
        }
    }

    pub(super) fn hides(&self, name: &str, at: usize) -> bool {
        let visible = |q: &WithQuery<'_>| q.visible_from <= at && at < q.visible_to;
        self.queries.iter().any(|query| query.name == name && visible(query))
    }
}
