//! Durations as Go writes them: `90s`, `1m30s`, `1.5h`, `300ms`.

use std::time::Duration;

use crate::quote::{limited, quoted};

/// What is wrong with a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// It cannot be read.
    #[error("{} is not a duration; write for example 90s or 1m30s", quoted(.text))]
    Invalid {
        /// As written.
        text: Box<str>,
    },
    /// It has no unit.
    #[error("{} has no unit; write {}s for seconds", quoted(.text), limited(.text))]
    NoUnit {
        /// As written.
        text: Box<str>,
    },
    /// It is negative.
    #[error("{} is negative; write for example 90s", quoted(.text))]
    Negative {
        /// As written.
        text: Box<str>,
    },
    /// It is longer than can be represented.
    #[error("{} is too long; write for example 720h", quoted(.text))]
    TooLong {
        /// As written.
        text: Box<str>,
    },
}

/// Reads a duration in the syntax of Go's `time.ParseDuration`.
///
/// # Errors
/// [`DurationError`] when it is not one, or is negative (other than `-0`).
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let quoted = || Box::from(text);
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(DurationError::Invalid { text: quoted() });
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (nanos, tail) = component(rest, text)?;
        total = total.checked_add(nanos).ok_or_else(|| DurationError::TooLong { text: quoted() })?;
        rest = tail;
    }
    if negative && total > 0 {
        return Err(DurationError::Negative { text: quoted() });
    }
    // Go's durations end at 2^63 - 1 nanoseconds.
    match i64::try_from(total).ok().and_then(|total| u64::try_from(total).ok()) {
        Some(nanos) => Ok(Duration::from_nanos(nanos)),
        None => Err(DurationError::TooLong { text: quoted() }),
    }
}

/// Reads one number with its unit; returns nanoseconds and what follows.
fn component<'a>(rest: &'a str, text: &str) -> Result<(u128, &'a str), DurationError> {
    let quoted = || Box::from(text);
    let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, rest) = rest.split_at(number_end);
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(DurationError::Invalid { text: quoted() });
    }
    if unit.is_empty() {
        return Err(DurationError::NoUnit { text: quoted() });
    }
    let scale = unit_nanos(unit).ok_or_else(|| DurationError::Invalid { text: quoted() })?;
    let too_long = || DurationError::TooLong { text: quoted() };
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
    let nanos = whole.checked_mul(scale).ok_or_else(too_long)?;
    nanos.checked_add(fraction_nanos(fraction, scale)).map(|nanos| (nanos, rest)).ok_or_else(too_long)
}

/// Nanoseconds of the digits behind the point; digits below a nanosecond are dropped.
fn fraction_nanos(digits: &str, scale: u128) -> u128 {
    let mut nanos = 0;
    let mut place = scale;
    for digit in digits.bytes().map(|byte| u128::from(byte.saturating_sub(b'0'))) {
        // Multiplied before divided, so that no precision is lost on units that are not powers of ten.
        nanos += digit * place / 10;
        place /= 10;
    }
    nanos
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_understood() {
        let cases = [
            ("0", 0),
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            (".5s", 500),
            ("1.s", 1_000),
            ("+3s", 3_000),
            ("1h0m0s", 3_600_000),
            ("-0s", 0),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("2\u{b5}s1ns"), Ok(Duration::from_nanos(2001)));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in ["", "-", "s", ".s", "1x", "1 s", "1..2s", "s1", "3 "] {
            assert!(matches!(parse(text), Err(DurationError::Invalid { .. })), "{text}");
        }
        assert!(matches!(parse("90"), Err(DurationError::NoUnit { .. })));
        assert!(matches!(parse("-3s"), Err(DurationError::Negative { .. })));
        assert!(matches!(parse("9999999999h"), Err(DurationError::TooLong { .. })));
        assert!(matches!(
            parse("999999999999999999999999999999999999999999s"),
            Err(DurationError::TooLong { .. })
        ));
    }
}
