//! How the screen looks.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::{App, Page, Panel};
use crate::status::problems::Severity;

/// Draws everything.
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ]);
    let [head, tabs, body, hint, keys] = areas.areas(frame.area());
    let calm = app.failure.is_none();
    let title = match &app.failure {
        Some(failure) => format!("{} (as of {}; {failure})", app.headline(), app.time),
        None if app.time.is_empty() => app.headline(),
        None => format!("{} (as of {})", app.headline(), app.time),
    };
    let colour = if calm { Color::Reset } else { Color::Red };
    let bold = Style::new().add_modifier(Modifier::BOLD).fg(colour);
    frame.render_widget(Paragraph::new(Line::styled(title, bold)), head);
    if let Some(page) = &app.page {
        explanation(page, frame, body);
        line(frame, keys, " ↑↓ scroll   Esc back");
        return;
    }
    frame.render_widget(Paragraph::new(panels(app)), tabs);
    match app.panel {
        Panel::Problems => problems(app, frame, body),
        _ => rows(app, frame, body),
    }
    let hinted = match (app.panel, app.remedy()) {
        (Panel::Problems, Some(remedy)) => format!(" try: {remedy}"),
        _ => String::new(),
    };
    line(frame, hint, &hinted);
    let shown = if app.typing || !app.filter.is_empty() {
        let cursor = if app.typing { "_" } else { "" };
        format!(" namespace: {}{cursor}   Enter keep   Esc all", app.filter)
    } else {
        " q quit  Tab 1-5 panel  ↑↓ select  Enter explain  s S sort  / namespace  r now".to_owned()
    };
    line(frame, keys, &shown);
}

fn line(frame: &mut Frame<'_>, area: Rect, text: &str) {
    let faint = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Paragraph::new(Line::styled(text.to_owned(), faint)), area);
}

fn panels(app: &App) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, panel) in (1..).zip(Panel::ALL) {
        let style =
            if panel == app.panel { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        spans.push(Span::styled(format!(" {number} {} ", panel.title()), style));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

/// The part of a list that fits, with the selected line in it.
fn visible(selected: usize, height: usize) -> usize {
    selected.saturating_add(1).saturating_sub(height)
}

fn problems(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let all = app.problems();
    if all.is_empty() {
        frame.render_widget(Paragraph::new(" nothing is wrong"), area);
        return;
    }
    let height = usize::from(area.height);
    let lines = all.iter().enumerate().skip(visible(app.selected, height)).take(height);
    let lines = lines.map(|(index, (text, _, severity))| {
        let (mark, colour) = match severity {
            Severity::Error => ("✗", Color::Red),
            Severity::Warning => ("!", Color::Yellow),
        };
        let line = Line::from(vec![Span::styled(format!(" {mark} "), colour), Span::raw(text.clone())]);
        if index == app.selected { line.style(Style::new().add_modifier(Modifier::REVERSED)) } else { line }
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn rows(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let Some(table) = app.table() else { return };
    let mut lines = table.lines(usize::from(area.width).saturating_sub(1)).into_iter();
    let mut shown = Vec::new();
    if let Some(head) = lines.next() {
        let head = match app.sort {
            Some(column) => {
                let name = table.head().get(column).copied().unwrap_or_default();
                let arrow = if app.descending { "▾" } else { "▴" };
                format!(" {head}   {arrow} {name}")
            }
            None => format!(" {head}"),
        };
        shown.push(Line::styled(head, Style::new().add_modifier(Modifier::BOLD)));
    }
    let height = usize::from(area.height).saturating_sub(1);
    for (index, row) in lines.enumerate().skip(visible(app.selected, height)).take(height) {
        let style =
            if index == app.selected { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        shown.push(Line::styled(format!(" {row}"), style));
    }
    frame.render_widget(Paragraph::new(shown), area);
}

fn explanation(page: &Page, frame: &mut Frame<'_>, area: Rect) {
    let lines = page.lines.iter().skip(page.scroll).take(usize::from(area.height));
    let lines = lines.map(|text| {
        let colour = match text.chars().next() {
            Some('✓') => Color::Green,
            Some('✗') => Color::Red,
            Some('!' | '?') => Color::Yellow,
            _ => Color::Reset,
        };
        Line::styled(text.clone(), Style::new().fg(colour))
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}
