//! The words that mean more than a name, and what they mean to the normal form.
//!
//! A quoted identifier that reads like one of them keeps its quotes, so that it never collides.

/// What a word does to what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// A name: nothing special.
    #[default]
    Name,
    /// A keyword that is written like a function.
    Function,
    /// A keyword.
    Keyword,
    /// A keyword that may be a bare name too.
    Unreserved,
    /// A keyword before an operand: a sign after it is part of a literal.
    Clause,
    /// `IN`: a list follows.
    In,
    /// `VALUES`: rows follow.
    Values,
    /// `ARRAY`: a list in brackets follows.
    Array,
    /// `ROW`: a row of a list may follow.
    Row,
    /// `SELECT`, `WITH`, `TABLE`: what looked like a list is a query.
    Query,
    /// `NULL`, `TRUE`, `FALSE`, `DEFAULT`.
    Constant,
    /// `DO`: code in quotes follows.
    Do,
    /// `EXECUTE`: inside code, more code in quotes follows.
    Execute,
    /// `LANGUAGE`, `SONAME`: the literal after it is a name.
    Names,
}

impl Role {
    /// The role of a word in lower case.
    #[inline]
    pub(crate) fn of(word: &[u8]) -> Self {
        if word.len() > WORD_BYTES_MAX {
            return Self::Name;
        }
        let mut slot = slot(word);
        // The table is never full, so an empty slot ends the search.
        loop {
            let Some(&Some((text, role))) = TABLE.get(slot) else { return Self::Name };
            if text == word {
                return role;
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Whether an identifier that reads like a word of this role needs its quotes.
    pub(crate) fn needs_quotes(self) -> bool {
        self != Self::Name
    }

    /// Whether a bare word of this role may name something.
    pub(crate) fn may_name(self) -> bool {
        matches!(self, Self::Name | Self::Function | Self::Unreserved)
    }
}

/// Separated by single spaces.
const WORDS: &[(Role, &str)] = &[
    (
        Role::Clause,
        "all and any between by case distinct div else escape except from having ilike \
         intersect is like limit not offset on or regexp return returning rlike set \
         similar some then to union using when where xor",
    ),
    (
        Role::Keyword,
        "alter analyse analyze as asc asymmetric authorization binary both cascade check \
         collate column commit concurrently constraint create cross cube deferrable delete \
         desc describe drop dumpfile end exists fetch filter for force foreign freeze full \
         grant group grouping identified ignore infile initially inner insert interval into \
         isnull join lateral leading natural notnull only order outer outfile over overlaps \
         placing primary references rename restrict straight_join symmetric tablesample \
         trailing unique update vacuum variadic window",
    ),
    (
        Role::Unreserved,
        "admin begin bypassrls call copy createdb createrole deallocate declare definer \
         disable discard explain extension flush function handler import install invoker kill \
         load lock loop materialized merge noinherit nologin nosuperuser nowait partition \
         prepare procedural procedure publication purge reassign refresh release replication \
         reset revoke rollback rollup savepoint security sets show stdin stdout subscription \
         superuser transaction trigger truncate trusted uescape uninstall unlock use verbose \
         view while within without xa",
    ),
    (
        Role::Function,
        "cast char character coalesce convert current_catalog current_date current_role \
         current_schema current_time current_timestamp current_user decimal extract greatest \
         if inout least left localtime localtimestamp mod national none normalize nullif numeric \
         out overlay position replace right session_user substring system_user treat trim \
         user varchar",
    ),
    (Role::In, "in"),
    (Role::Values, "values"),
    (Role::Array, "array"),
    (Role::Row, "row"),
    (Role::Query, "select table with"),
    (Role::Constant, "default false null true"),
    (Role::Do, "do"),
    (Role::Execute, "execute"),
    (Role::Names, "language soname"),
];

/// The longest of them.
const WORD_BYTES_MAX: usize = 17;

const SLOTS: usize = 1024;

static TABLE: [Option<(&[u8], Role)>; SLOTS] = {
    let mut table = [None; SLOTS];
    let mut group = 0;
    while group < WORDS.len() {
        let (role, words) = WORDS[group];
        let mut rest = words.as_bytes();
        while !rest.is_empty() {
            let mut length = 0;
            while length < rest.len() && rest[length] != b' ' {
                length += 1;
            }
            let (word, tail) = rest.split_at(length);
            let mut at = slot(word);
            while table[at].is_some() {
                at = (at + 1) % SLOTS;
            }
            table[at] = Some((word, role));
            rest = match tail {
                [_, tail @ ..] => tail,
                [] => tail,
            };
        }
        group += 1;
    }
    table
};

/// Length and three letters spread these words well; attackers gain nothing from collisions,
/// because the words of the table are fixed and a chain of them is short.
#[inline]
const fn slot(word: &[u8]) -> usize {
    let [first, .., last] = word else { return 0 };
    let middle = word[word.len() / 2] as u32;
    let letters = *first as u32 * 31 + middle * 127 + *last as u32 * 7;
    letters.wrapping_add(word.len() as u32 * 53) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_role_and_chains_are_short() {
        for (role, words) in WORDS {
            for word in words.split(' ') {
                assert_eq!(Role::of(word.as_bytes()), *role, "{word}");
                assert!(word.len() <= WORD_BYTES_MAX, "{word}");
            }
        }
        let filled = |slot: usize| TABLE[slot % SLOTS].is_some();
        let longest = (0..SLOTS).map(|slot| (slot..).take_while(|&at| filled(at)).count()).max();
        assert!(longest < Some(16), "{longest:?}");
        assert_eq!(Role::of(b""), Role::Name);
        assert_eq!(Role::of(b"users"), Role::Name);
    }
}
