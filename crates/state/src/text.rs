//! Texts and numbers as both databases store and compare them: no NUL, bounded, folded for
//! searches.

/// The text without NUL characters, which PostgreSQL cannot store.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// One line of at most `characters_max` characters, without control characters.
pub(crate) fn line(text: &str, characters_max: usize) -> String {
    let visible = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().take(characters_max).map(visible).collect()
}

/// The beginning of a text, at most so many characters of it.
pub(crate) fn cut(text: &str, characters_max: usize) -> &str {
    let end = text.char_indices().nth(characters_max).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// The number, or 0 where JSON has none for it and the text could never be read again.
pub(crate) fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

/// The text as it stands in a search column, and as searches look for it.
pub(crate) fn folded(text: &str) -> String {
    storable(text).to_lowercase()
}

/// A `LIKE … ESCAPE '\'` pattern for texts that contain `text`, letter case aside.
pub(crate) fn contains_pattern(text: &str) -> String {
    let folded = folded(text);
    let escaped = folded.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_wildcards_literally() {
        assert_eq!(contains_pattern("50%_A\\b"), "%50\\%\\_a\\\\b%");
    }

    #[test]
    fn lines_are_bounded_and_plain() {
        assert_eq!(line("a\r\nb\u{1b}[31m", 5), "a  b ");
        assert_eq!(line("日本語", 2), "日本");
    }
}
