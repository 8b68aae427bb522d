//! What is seen, and what the keys do.

use std::fmt::Write as _;
use std::path::Path;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::app::{Action, App, Key, Panel};
use super::draw::draw;
use crate::status::report::report;
use crate::status::tests::{mk_broken, mk_good};

fn mk_app() -> App {
    let mut app = App::new();
    app.take(Ok(report(&mk_broken())), "12:00:00 UTC".to_owned());
    app
}

fn shown(app: &App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer
        .content
        .chunks(width)
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

fn press(app: &mut App, keys: &str) -> Action {
    keys.chars().fold(Action::None, |_, key| app.handle(Key::Letter(key)))
}

#[test]
fn every_panel_fits_narrow_and_wide_screens() {
    for (width, height) in [(80, 24), (200, 24)] {
        for key in ["1", "2", "3", "4", "5"] {
            let mut app = mk_app();
            press(&mut app, key);
            insta::assert_snapshot!(format!("panel-{key}-{width}"), text(&shown(&app, width, height)));
        }
    }
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    let mut app = mk_app();
    for (width, height) in [(1, 1), (3, 2), (20, 5)] {
        for key in ["1", "5"] {
            press(&mut app, key);
            shown(&app, width, height);
        }
    }
}

#[test]
fn enter_leads_from_a_service_or_its_problem_to_the_explanation() {
    let pending = Action::Explain { namespace: "shop".to_owned(), name: "pending".to_owned() };
    let mut app = mk_app();
    let problem = app.problems().iter().position(|(text, ..)| text.contains("has no address")).unwrap();
    for _ in 0..problem {
        app.handle(Key::Down);
    }
    assert_eq!(app.handle(Key::Enter), pending);
    press(&mut app, "5jj");
    assert_eq!(app.handle(Key::Enter), pending);
    app.explain("shop/pending is not reachable\n\n✗ pools  none\n");
    insta::assert_snapshot!("explanation", text(&shown(&app, 80, 10)));
    assert_eq!(press(&mut app, "q"), Action::None, "q leaves the page first");
    assert_eq!(press(&mut app, "q"), Action::Quit);
    assert_eq!(app.handle(Key::Interrupt), Action::Quit);
}

#[test]
fn rows_are_sorted_by_the_chosen_column() {
    let mut app = mk_app();
    press(&mut app, "5ss");
    let names =
        |app: &App| -> Vec<String> { app.table().unwrap().rows().iter().map(|row| row[1].clone()).collect() };
    assert_eq!(names(&app), ["api", "pending", "silent", "web"]);
    press(&mut app, "S");
    assert_eq!(names(&app), ["web", "silent", "pending", "api"]);
    // After the last column there is none.
    press(&mut app, "sssss");
    assert_eq!(app.sort, None);
}

#[test]
fn the_filter_takes_a_part_of_a_namespace() {
    let mut app = mk_app();
    press(&mut app, "5/sho");
    assert_eq!(app.rows(), 3);
    app.handle(Key::Enter);
    assert_eq!(press(&mut app, "q"), Action::Quit, "keys mean something again");
    app.handle(Key::Escape);
    assert_eq!(app.rows(), 4);
}

#[test]
fn what_was_seen_last_stays_when_the_cluster_is_away() {
    let mut app = mk_app();
    app.take(Err("the API server cannot be reached".to_owned()), "12:00:05 UTC".to_owned());
    let screen = text(&shown(&app, 200, 24));
    assert!(screen.contains("(as of 12:00:00 UTC; the API server cannot be reached)"), "{screen}");
    assert!(screen.contains("shop/pending has no address"), "{screen}");
    // It comes back, with fewer rows than the selected one.
    press(&mut app, "5jjj");
    app.take(Ok(report(&mk_good())), "12:00:10 UTC".to_owned());
    assert_eq!((app.selected, app.failure.as_deref()), (1, None));
}

#[test]
fn a_cluster_in_which_nothing_is_wrong_begins_with_its_services() {
    let mut app = App::new();
    assert!(text(&shown(&app, 80, 24)).starts_with("looking …"));
    app.take(Ok(report(&mk_good())), String::new());
    assert_eq!(app.panel, Panel::Services);
}

/// The pictures of the documentation, drawn from the screen. `UPDATE_GOLDEN=1` writes them.
#[test]
fn the_pictures_show_the_screen_as_it_is() {
    let mut app = mk_app();
    for (name, key) in [("problems", "1"), ("services", "5")] {
        press(&mut app, key);
        let picture = svg(&shown(&app, 120, 20));
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/pictures/status-{name}.svg"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &picture).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, picture, "docs/pictures/status-{name}.svg: UPDATE_GOLDEN=1 writes it");
    }
}

fn svg(buffer: &Buffer) -> String {
    let (width, height) = (usize::from(buffer.area.width), usize::from(buffer.area.height));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#181b1f\"/>\n",
        width * 8 + 16,
        height * 18 + 16
    );
    for (row, cells) in buffer.content.chunks(width).enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let reversed = cell.modifier.contains(Modifier::REVERSED);
            let (x, y) = (column * 8 + 8, row * 18 + 8);
            if reversed {
                _ = writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"8\" height=\"18\" fill=\"#d8d9da\"/>");
            }
            let symbol = cell.symbol().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            if symbol == " " {
                continue;
            }
            let fill = match cell.fg {
                _ if reversed => "#181b1f",
                Color::Red => "#f0606e",
                Color::Green => "#6ccf6c",
                Color::Yellow => "#e5c04b",
                _ if cell.modifier.contains(Modifier::DIM) => "#8e9099",
                _ => "#d8d9da",
            };
            let weight = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
            _ = writeln!(out, "<text x=\"{x}\" y=\"{}\" fill=\"{fill}\"{weight}>{symbol}</text>", y + 14);
        }
    }
    out + "</svg>\n"
}
