//! A text with the names of columns in braces, and with both forms of what was done or only
//! tried, such as `{user} {ran|tried to run} {command}`.

use serde::{Deserialize, Deserializer, de};

use crate::rule_event::column;

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
    /// What happened, or the same as a mere attempt.
    Deed { done: String, tried: String },
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

    /// Whether it has words of its own for what was only tried.
    pub(crate) fn knows_attempts(&self) -> bool {
        self.parts.iter().any(|(_, hole)| matches!(hole, Hole::Deed { .. }))
    }

    /// Fills in what happened, or with `is_attempt` what was only tried; what is not known is
    /// `unknown`.
    pub(crate) fn fill(&self, is_attempt: bool, value: impl Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        for (before, hole) in &self.parts {
            text.push_str(before);
            match hole {
                Hole::Value(name) => text.push_str(value(name).as_deref().unwrap_or("unknown")),
                Hole::Deed { tried, .. } if is_attempt => text.push_str(tried),
                Hole::Deed { done, .. } => text.push_str(done),
            }
        }
        text.push_str(&self.end);
        text
    }
}

impl Hole {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some((done, tried)) = text.split_once('|') {
            return Ok(Self::Deed { done: done.to_owned(), tried: tried.to_owned() });
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
        assert_eq!(template.fill(false, value), "<user> from unknown: <count> times");
        assert!(!template.knows_attempts());
    }

    #[test]
    fn an_attempt_has_words_of_its_own() {
        let template = Template::parse("Bo {ran|tried to run} it.").expect("valid");
        assert!(template.knows_attempts());
        assert_eq!(template.fill(false, |_| None), "Bo ran it.");
        assert_eq!(template.fill(true, |_| None), "Bo tried to run it.");
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(Template::parse("{colour}").is_err_and(|error| error.contains("`{colour}`")));
        assert!(Template::parse("{user").is_err());
    }

    #[test]
    fn the_rules_do_not_call_an_attempt_a_deed() {
        let set = crate::RuleSet::builtin().expect("the built-in rules load");
        // What these find did happen: counts, dumps that sent rows, and a session that ended.
        let without = ["A01", "A02", "A03", "C05", "F01"];
        for rule in set.rules().iter().filter(|rule| !without.contains(&rule.id.as_str())) {
            let texts = &rule.details.explanation;
            assert!(texts.engineer.knows_attempts(), "{}: engineer", rule.id);
            assert!(texts.manager.knows_attempts(), "{}: manager", rule.id);
        }
    }
}
