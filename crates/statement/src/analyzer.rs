//! Statement after statement: a fingerprint for each text, facts once for each new fingerprint.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::flag::FlagSet;
use crate::{Dialect, Facts, Fingerprint, Flag, Normalizer};

/// Normalises statements and remembers the facts of the fingerprints it met lately.
pub struct Analyzer {
    normalizer: Normalizer,
    cache: Cache,
}

/// What one text is and does.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// Of the normal form.
    pub fingerprint: Fingerprint,
    /// Shared by all texts of the fingerprint.
    pub facts: Arc<Facts>,
    text_flags: FlagSet,
}

impl Analysis {
    /// The flags of the facts and of this very text (comments, open quotes).
    pub fn flags(&self) -> impl Iterator<Item = Flag> {
        self.facts.flags.iter().copied().chain(self.text_flags.iter())
    }

    /// Only the flags that the fingerprint does not tell.
    pub fn text_flags(&self) -> impl Iterator<Item = Flag> + use<> {
        self.text_flags.iter()
    }
}

impl Analyzer {
    /// `facts_max` bounds the fingerprints whose facts are kept, about 1 KiB each.
    pub fn new(facts_max: usize) -> Self {
        Self { normalizer: Normalizer::default(), cache: Cache::new(facts_max) }
    }

    /// Never fails. About the cost of a fingerprint if its facts are cached.
    pub fn analyze(&mut self, sql: &str, dialect: Dialect) -> Analysis {
        let normalized = self.normalizer.normalize(sql, dialect);
        let fingerprint = normalized.fingerprint;
        let facts = self.cache.get((fingerprint, dialect)).unwrap_or_else(|| {
            let facts =
                Arc::new(Facts::of_normal_form(normalized.normal_form, fingerprint, dialect));
            self.cache.insert((fingerprint, dialect), Arc::clone(&facts));
            facts
        });
        Analysis { fingerprint, facts, text_flags: normalized.text_flags }
    }

    /// How many facts have been given up for newer ones. If it grows steadily, `facts_max` is
    /// too small, or someone floods the server with new statements.
    pub fn evictions(&self) -> u64 {
        self.cache.evictions
    }
}

type Key = (Fingerprint, Dialect);

/// Two generations: what is used moves to the young one; when that is full, the old one goes.
/// Bounded, constant time, and a scan of new statements pushes out only what is not in use.
struct Cache {
    young: HashMap<Key, Arc<Facts>>,
    old: HashMap<Key, Arc<Facts>>,
    generation_max: usize,
    evictions: u64,
}

impl Cache {
    fn new(entries_max: usize) -> Self {
        let generation_max = (entries_max / 2).max(1);
        Self { young: HashMap::new(), old: HashMap::new(), generation_max, evictions: 0 }
    }

    fn get(&mut self, key: Key) -> Option<Arc<Facts>> {
        if let Some(facts) = self.young.get(&key) {
            return Some(Arc::clone(facts));
        }
        let facts = self.old.remove(&key)?;
        self.insert(key, Arc::clone(&facts));
        Some(facts)
    }

    fn insert(&mut self, key: Key, facts: Arc<Facts>) {
        if self.young.len() >= self.generation_max {
            self.evictions += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, facts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_shared_by_texts_of_one_fingerprint() {
        let mut analyzer = Analyzer::new(16);
        let one = analyzer.analyze("SELECT a FROM t WHERE id = 1", Dialect::PostgreSql);
        let two = analyzer.analyze("select a from t where id=$1 -- x", Dialect::PostgreSql);
        assert!(Arc::ptr_eq(&one.facts, &two.facts));
        assert_eq!(one.flags().count(), 0);
        let flags: Vec<_> = two.flags().collect();
        assert_eq!(flags, [Flag::Comment, Flag::CommentTruncation]);
        let other = analyzer.analyze("SELECT a FROM t WHERE id = 1", Dialect::MySql);
        assert!(!Arc::ptr_eq(&one.facts, &other.facts), "dialects read the same form their way");
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let mut analyzer = Analyzer::new(10);
        let used = analyzer.analyze("select used from t", Dialect::PostgreSql).facts;
        for round in 0..100 {
            analyzer.analyze(&format!("select c{round} from t"), Dialect::PostgreSql);
            let again = analyzer.analyze("select used from t", Dialect::PostgreSql).facts;
            assert!(Arc::ptr_eq(&used, &again));
            assert!(analyzer.cache.young.len() + analyzer.cache.old.len() <= 10);
        }
        assert!(analyzer.evictions() >= 90, "{}", analyzer.evictions());
    }
}
