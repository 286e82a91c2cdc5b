//! A text with the names of columns in braces, and with the forms of what was done, was only
//! tried, or may have been done, such as `{user} {ran|tried to run|may have run} {command}`.

use serde::{Deserialize, Deserializer, de};

use crate::rule_event::column;

/// Longest value that a text holds whole: the row has all of it.
const VALUE_BYTES_MAX: usize = 2_000;

/// Names that correlations fill, beside the columns.
const COUNTED: &[&str] = &["count", "window"];

#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Text before each hole, and the hole.
    parts: Vec<(String, Hole)>,
    end: String,
}

#[derive(Clone, Debug)]
enum Hole {
    /// Name of a column.
    Value(String),
    /// What happened, the same as a mere attempt, and where the log does not say which.
    Deed { done: String, tried: String, open: Option<String> },
}

/// How far what a text tells of is known to have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It happened.
    Done,
    /// It was tried and did not happen.
    Tried,
    /// The log does not say whether it happened.
    Open,
}

impl Template {
    /// Reads a template; the error names what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (hole, after) =
                after.split_once('}').ok_or_else(|| format!("`{{` is never closed in `{text}`"))?;
            parts.push((before.to_owned(), Hole::parse(hole)?));
            rest = after;
        }
        Ok(Self { parts, end: rest.to_owned() })
    }

    /// Whether it has words of its own for such a deed.
    pub(crate) fn knows(&self, deed: Deed) -> bool {
        self.parts.iter().any(|(_, hole)| match hole {
            Hole::Value(_) => false,
            Hole::Deed { open, .. } => deed != Deed::Open || open.is_some(),
        })
    }

    /// Fills in what happened, was tried, or may have happened (by default in the words for what
    /// was tried); a value that is not known is `unknown`.
    pub(crate) fn fill(&self, deed: Deed, value: impl Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        for (before, hole) in &self.parts {
            text.push_str(before);
            match hole {
                Hole::Value(name) => match value(name).as_deref() {
                    None => text.push_str("unknown"),
                    Some(value) if value.len() <= VALUE_BYTES_MAX => text.push_str(value),
                    Some(long) => {
                        text.push_str(&long[..long.floor_char_boundary(VALUE_BYTES_MAX)]);
                        text.push('…');
                    }
                },
                Hole::Deed { done, tried, open } => text.push_str(match deed {
                    Deed::Done => done,
                    Deed::Tried => tried,
                    Deed::Open => open.as_ref().unwrap_or(tried),
                }),
            }
        }
        text.push_str(&self.end);
        text
    }
}

impl Hole {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some((done, tried)) = text.split_once('|') {
            let (tried, open) = match tried.split_once('|') {
                Some((tried, open)) => (tried, Some(open.to_owned())),
                None => (tried, None),
            };
            return Ok(Self::Deed { done: done.to_owned(), tried: tried.to_owned(), open });
        }
        if column(text).is_none() && !COUNTED.contains(&text) {
            return Err(format!("`{{{text}}}` is neither a column nor `count` or `window`"));
        }
        Ok(Self::Value(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let template = Template::parse("{user} from {client}: {count} times").expect("valid");
        let value = |name: &str| (name != "client").then(|| format!("<{name}>"));
        assert_eq!(template.fill(Deed::Done, value), "<user> from unknown: <count> times");
        assert!(!template.knows(Deed::Tried));
    }

    #[test]
    fn a_long_value_is_cut() {
        let template = Template::parse("ran {statement}.").expect("valid");
        let text = template.fill(Deed::Done, |_| Some("é".repeat(1_000_000)));
        assert_eq!(text, format!("ran {}….", "é".repeat(1_000)));
    }

    #[test]
    fn an_attempt_has_words_of_its_own() {
        let template = Template::parse("Bo {ran|tried to run} it.").expect("valid");
        assert!(template.knows(Deed::Tried) && !template.knows(Deed::Open));
        assert_eq!(template.fill(Deed::Done, |_| None), "Bo ran it.");
        assert_eq!(template.fill(Deed::Tried, |_| None), "Bo tried to run it.");
        assert_eq!(template.fill(Deed::Open, |_| None), "Bo tried to run it.");
    }

    #[test]
    fn what_may_have_happened_has_words_of_its_own() {
        let template = Template::parse("Bo {ran|tried to run|may have run} it.").expect("valid");
        assert_eq!(template.fill(Deed::Tried, |_| None), "Bo tried to run it.");
        assert_eq!(template.fill(Deed::Open, |_| None), "Bo may have run it.");
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(Template::parse("{colour}").is_err_and(|error| error.contains("`{colour}`")));
        assert!(Template::parse("{user").is_err());
    }

    #[test]
    fn the_rules_do_not_call_an_attempt_a_deed() {
        let set = crate::RuleSet::builtin().expect("the built-in rules load");
        // What these find did happen: counts, and a session that ended.
        let without = ["A01", "A02", "A03", "C05"];
        for rule in set.rules().iter().filter(|rule| !without.contains(&rule.id.as_str())) {
            let texts = &rule.details.explanation;
            // Those of a dump call the statements a dump, whether or not rows were sent.
            assert!(rule.id == "F01" || texts.engineer.knows(Deed::Open), "{}: engineer", rule.id);
            assert!(texts.manager.knows(Deed::Open), "{}: manager", rule.id);
        }
    }
}
