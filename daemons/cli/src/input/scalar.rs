//! What a plain word of YAML means to `kubectl`: the rules of YAML 1.1 that its reader keeps.

use serde_json::Number;

use super::Value;

/// The value of a plain (unquoted) scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let begins = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !begins.starts_with(|character: char| character.is_ascii_digit() || character == '.') {
        return None;
    }
    let plain = text.replace('_', "");
    integer(&plain).or_else(|| float(&plain))
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, digits.get(2..)?),
        [b'0', b'o', ..] => (8, digits.get(2..)?),
        [b'0', b'b', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        i64::try_from(-i128::from(magnitude)).ok().map(Number::from)
    } else {
        Some(magnitude.into())
    }
}

fn float(text: &str) -> Option<Number> {
    let is_part = |octet: u8| octet.is_ascii_digit() || b"+-.eE".contains(&octet);
    if !text.bytes().all(is_part) {
        return None;
    }
    Number::from_f64(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_kubectl_takes_them_for() {
        for (text, expected) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("yes", Value::Bool(true)),
            ("Off", Value::Bool(false)),
            ("179", Value::Number(179.into())),
            ("-3", Value::Number((-3).into())),
            ("0x10", Value::Number(16.into())),
            ("010", Value::Number(8.into())),
            ("1_000", Value::Number(1000.into())),
            ("18446744073709551615", Value::Number(u64::MAX.into())),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
        for text in
            ["65000:100", "192.0.2.1", "192.0.2.0/24", "90s", "y", "1-2", "-", "e5", "0xzz", "2001:db8::1"]
        {
            assert_eq!(resolve(text), Value::Text(text.to_owned()), "{text}");
        }
        assert_eq!(resolve("1.5"), Value::Number(Number::from_f64(1.5).unwrap()));
    }
}
