//! Text of objects as it is shown to people.
//!
//! What stands in an object may be long and may hold anything. In messages it is quoted, its control characters are
//! escaped, and only its beginning is shown.

use std::fmt;

/// Most characters of a text that are shown.
pub const LONGEST: usize = 128;

/// The text in quotes, escaped, at most [`LONGEST`] characters of it.
///
/// ```
/// # use metallb_core::quote::quoted;
/// assert_eq!(quoted("a\nb").to_string(), r#""a\nb""#);
/// ```
pub const fn quoted(text: &str) -> Quoted<'_> {
    Quoted { text, marks: true }
}

/// As [`quoted`], without the quotes: for texts that quote themselves.
pub const fn limited(text: &str) -> Quoted<'_> {
    Quoted { text, marks: false }
}

/// The beginning of a text, so much of it as [`quoted`] shows and a little more, so that it shows that there was more. For
/// what is kept of a text that may be long.
pub fn beginning(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST + 1).map(|(index, _)| index);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// See [`quoted`] and [`limited`].
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a> {
    text: &'a str,
    marks: bool,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.text.char_indices().nth(LONGEST).map(|(index, _)| index);
        let shown = end.and_then(|end| self.text.get(..end)).unwrap_or(self.text);
        let more = if end.is_some() { "..." } else { "" };
        if self.marks {
            return write!(f, "{shown:?}{more}");
        }
        for c in shown.chars() {
            match c {
                '"' | '\'' | '\\' => write!(f, "{c}")?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        f.write_str(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_by_characters() {
        let text = "ä".repeat(LONGEST);
        assert_eq!(limited(&text).to_string(), text);
        assert_eq!(limited(&format!("{text}b")).to_string(), format!("{text}..."));
        assert_eq!(quoted(&format!("{text}b")).to_string(), format!("\"{text}\"..."));
    }

    #[test]
    fn of_a_long_text_the_beginning_shows_the_same() {
        for text in ["ä".repeat(LONGEST), "ä".repeat(LONGEST + 1), "ä".repeat(100_000)] {
            assert_eq!(quoted(beginning(&text)).to_string(), quoted(&text).to_string());
            assert!(beginning(&text).len() <= 2 * (LONGEST + 1));
        }
    }

    #[test]
    fn control_characters_are_escaped_and_quotes_are_kept_where_the_text_has_its_own() {
        assert_eq!(quoted("\u{1b}[31m\"").to_string(), r#""\u{1b}[31m\"""#);
        assert_eq!(limited("a \"b\"\r\n\u{202e}").to_string(), r#"a "b"\r\n\u{202e}"#);
    }
}
