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

/// Whether a text looks like the place in a template that nobody filled in: `{{ .Values.ip }}`, `${IP}`, `$(IP)`,
/// `<no value>`, `%!s(<nil>)`.
///
/// ```
/// # use metallb_core::quote::is_unfilled;
/// assert!(is_unfilled("${IP}"));
/// assert!(!is_unfilled("192.0.2.1"));
/// ```
pub fn is_unfilled(text: &str) -> bool {
    ["{{", "}}", "${", "$(", "<no value>", "<nil>", "%!"].iter().any(|mark| text.contains(mark))
}

/// What to do about a text that is no address.
pub(crate) fn remedy_for_address(text: &str) -> &'static str {
    match text {
        text if is_unfilled(text) => "it is a template that was not filled in, put the address there",
        text if text.contains(',') => "there is one place for each address, write the next one there",
        text if text.trim() != text => "remove the blanks around it",
        _ => "write for example 192.0.2.10 or 2001:db8::10",
    }
}

/// What to do about a name that no object has.
pub(crate) fn remedy_for_name(name: &str) -> &'static str {
    match name {
        name if is_unfilled(name) => "it is a template that was not filled in, put the name there",
        name if name.contains(',') => "write each name as an element of its own",
        name if !is_object_name(name) => {
            "nothing can have that name, names have lower-case letters, digits, '-' and '.'"
        }
        _ => "create it or correct the name",
    }
}

/// What to do about a name that no interface of Linux can have.
pub(crate) fn remedy_for_interface(name: &str) -> &'static str {
    match name {
        name if is_unfilled(name) => "it is a template that was not filled in, put the name there",
        name if name.contains(',') => "write each name as an element of its own",
        _ => "names have at most 15 characters, without blanks and '/'",
    }
}

/// Whether Linux lets an interface have that name. A comma would be allowed; nobody means one.
pub(crate) fn is_interface_name(name: &str) -> bool {
    let is_bad = |c: char| c.is_whitespace() || matches!(c, '/' | ':' | ',');
    name.len() <= 15 && name != "." && name != ".." && !name.contains(is_bad) && !is_unfilled(name)
}

/// Whether Kubernetes lets an object have that name (RFC 1123 subdomain).
fn is_object_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let inner =
            part.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || byte.is_ascii_lowercase());
        inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_left_behind_is_told_from_addresses_keys_and_names() {
        for left in ["{{ .Values.ip }}", "${IP}", "$(IP)", "<no value>", "%!s(<nil>)", "a-{{b}}"] {
            assert!(is_unfilled(left), "{left}");
        }
        for filled in ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "team $1", "a<b", "web-1.example", "100%"]
        {
            assert!(!is_unfilled(filled), "{filled}");
        }
    }

    #[test]
    fn a_name_that_nothing_can_have_is_not_to_be_created() {
        for name in ["web", "web-1.example", "1"] {
            assert_eq!(remedy_for_name(name), "create it or correct the name", "{name}");
        }
        for name in ["Web", "web_1", "-web", "web-", "a..b", " web", "ä"] {
            assert!(remedy_for_name(name).starts_with("nothing can have that name"), "{name}");
        }
        assert!(remedy_for_name("a,b").contains("element of its own"));
        assert!(remedy_for_name("${POOL}").contains("template"));
    }

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
