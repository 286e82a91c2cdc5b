//! A text with the names of columns in braces, such as `{user} ran {command}`.

use serde::{Deserialize, Deserializer, de};

use crate::subject::column;

/// Names that correlations fill, beside the columns.
const COUNTED: &[&str] = &["count", "window"];

#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Text before each name, and the name.
    parts: Vec<(String, String)>,
    end: String,
}

impl Template {
    /// Reads a template; the error names what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("`{{` is never closed in `{text}`"))?;
            if column(name).is_none() && !COUNTED.contains(&name) {
                return Err(format!("`{{{name}}}` is neither a column nor `count` or `window`"));
            }
            parts.push((before.to_owned(), name.to_owned()));
            rest = after;
        }
        Ok(Self { parts, end: rest.to_owned() })
    }

    /// Fills in the names; what is not known is `unknown`.
    pub(crate) fn fill(&self, value: impl Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        for (before, name) in &self.parts {
            text.push_str(before);
            match value(name) {
                Some(value) => text.push_str(&value),
                None => text.push_str("unknown"),
            }
        }
        text.push_str(&self.end);
        text
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
        assert_eq!(template.fill(value), "<user> from unknown: <count> times");
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(Template::parse("{colour}").is_err_and(|error| error.contains("`{colour}`")));
        assert!(Template::parse("{user").is_err());
    }
}
