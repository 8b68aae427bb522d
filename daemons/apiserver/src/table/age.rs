//! Times as `kubectl` shows them.

use jiff::Timestamp;
use serde_json::Value;

/// Age of a time in RFC 3339: `5s`, `3m12s`, `2d`.
pub(super) fn since(time: Option<&Value>, now: Timestamp) -> String {
    let parsed = time.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    parsed.map_or_else(|| "<unknown>".to_owned(), |time| between(time, now))
}

/// Time from one moment to a later one.
pub(super) fn between(from: Timestamp, to: Timestamp) -> String {
    human(to.as_second().saturating_sub(from.as_second()))
}

/// Two units at most, fewer the longer it is.
fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let pair = |large: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{small_unit}") }
    };
    if seconds < -1 {
        "<invalid>".to_owned()
    } else if seconds < 120 {
        format!("{}s", seconds.max(0))
    } else if minutes < 10 {
        pair(minutes, 'm', seconds % 60, 's')
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        pair(hours, 'h', minutes % 60, 'm')
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 24 * 8 {
        pair(days, 'd', hours % 24, 'h')
    } else if days < 365 * 2 {
        format!("{days}d")
    } else if days < 365 * 8 {
        pair(days / 365, 'y', days % 365, 'd')
    } else {
        format!("{}y", days / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn ages_are_shown_as_kubectl_shows_them() {
        let shown: Vec<_> =
            [0, 119, 120, 130, 599, 600, 10_799, 10_800, 90_000, 172_800, 700_000, 63_072_000]
                .map(human)
                .into_iter()
                .collect();
        assert_eq!(
            shown,
            ["0s", "119s", "2m", "2m10s", "9m59s", "10m", "179m", "3h", "25h", "2d", "8d", "2y"]
        );
    }
}
