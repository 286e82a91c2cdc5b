//! What only PostgreSQL's log needs to be told.

use serde::{Deserialize, Serialize};

/// Settings of a PostgreSQL log; `sources.log.postgresql` in the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresqlSettings {
    /// The server's `log_line_prefix`; none: recognised from the first lines of each file. Only for
    /// stderr and syslog.
    pub log_line_prefix: Option<String>,
}

impl PostgresqlSettings {
    /// Refuses what cannot be meant, with the reason.
    pub(crate) fn check(&self) -> Result<(), (&str, String)> {
        let prefix = self.log_line_prefix.as_deref().unwrap_or("%m");
        ambiguity(prefix).map_err(|problem| (prefix, problem))
    }
}

/// Escapes whose values may hold any character, so that only what follows tells their end.
const FREE_TEXT: &str = "audbirh";

/// What keeps a prefix from being read back, if anything.
fn ambiguity(prefix: &str) -> Result<(), String> {
    let mut characters = prefix.chars().peekable();
    let mut free_before: Option<char> = None;
    let mut escapes = 0;
    while let Some(character) = characters.next() {
        if character != '%' {
            free_before = None;
            continue;
        }
        while characters.next_if(|c| c.is_ascii_digit() || *c == '-').is_some() {}
        match characters.next() {
            None => return Err("ends in `%`; write `%%` for a percent sign".to_owned()),
            Some('%') => free_before = None,
            Some('q') => {}
            Some(letter) => {
                escapes += 1;
                let is_free = FREE_TEXT.contains(letter);
                if let Some(before) = free_before.filter(|_| is_free) {
                    return Err(format!(
                        "nothing tells where %{before} ends and %{letter} begins; put a \
                         character between them that names do not have"
                    ));
                }
                free_before = is_free.then_some(letter);
            }
        }
    }
    if escapes == 0 {
        return Err("has no escapes such as %m or %p, so no line says when or who".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_that_cannot_be_read_back_are_refused() {
        for prefix in ["%a%u%d", "%u%d ", "", "no escapes", "%m %"] {
            assert!(ambiguity(prefix).is_err(), "`{prefix}` was accepted");
        }
        for prefix in ["%m [%p] ", "%t:%r:%u@%d:[%p]:", "%t-%c-", "%m [%p] %q%u@%d/%a ", "%10u %m"]
        {
            assert_eq!(ambiguity(prefix), Ok(()), "`{prefix}`");
        }
    }
}
