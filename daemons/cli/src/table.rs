//! Tables that fit the width.

use std::cmp::Ordering;

/// Rows under a head. Where the width does not suffice, the widest columns are cut.
#[derive(Clone, Debug, Default)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Only the head, as yet.
    #[must_use]
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn head(&self) -> &[&'static str] {
        &self.head
    }

    pub(crate) fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// Sorts the rows by a column; equal ones stay in their order.
    pub(crate) fn sort(&mut self, column: usize, descending: bool) {
        let cell = |row: &Vec<String>| row.get(column).cloned().unwrap_or_default();
        self.rows.sort_by(|a, b| {
            let order = natural(&cell(a), &cell(b));
            if descending { order.reverse() } else { order }
        });
    }

    pub(crate) fn reverse(&mut self) {
        self.rows.reverse();
    }

    /// The lines, of at most that many characters each; not less than a few for each column.
    #[must_use]
    pub fn lines(&self, width: usize) -> Vec<String> {
        let widths = self.widths(width);
        let head = self.head.iter().map(|cell| (*cell).to_owned()).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let width = *width;
                format!("{:width$}", cut(cell, width))
            });
            cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        std::iter::once(&head).chain(&self.rows).map(line).collect()
    }

    /// The columns' widths: as wide as their contents, or evenly cut where that is too much.
    fn widths(&self, width: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > width {
            let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > NARROWEST) else { break };
            *widest -= 1;
        }
        widths
    }
}

/// At most that many characters; what is missing at the end is shown.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

/// Lines of at most that many characters, broken between words.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Numbers by their size, texts by their letters: `9` before `10`.
fn natural(a: &str, b: &str) -> Ordering {
    let number = |text: &str| text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.cmp(b),
    }
}

/// Items of a list in one cell.
pub(crate) fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

const GAP: &str = "  ";
/// No column gets narrower.
const NARROWEST: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_table() -> Table {
        let mut table = Table::new(&["NAME", "ADDRESSES", "N"]);
        table.push(vec![
            "web".to_owned(),
            "192.0.2.0/24,2001:db8::/64,198.51.100.0/24".to_owned(),
            "1".to_owned(),
        ]);
        table.push(vec!["a-rather-long-name".to_owned(), "-".to_owned(), "10".to_owned()]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_contents() {
        let lines = mk_table().lines(200);
        assert_eq!(lines[0], format!("{:18}  {:42}  N", "NAME", "ADDRESSES"));
        assert_eq!(lines[2], format!("{:18}  {:42}  10", "a-rather-long-name", "-"));
    }

    #[test]
    fn the_widest_columns_are_cut_until_the_table_fits() {
        for width in [30, 40, 60] {
            for line in mk_table().lines(width) {
                assert!(line.chars().count() <= width, "{line}");
            }
        }
        assert!(mk_table().lines(40)[1].contains('…'));
        // Too narrow for anything: a little of every column.
        assert!(mk_table().lines(3)[2].starts_with("a-rat…"));
    }
}
