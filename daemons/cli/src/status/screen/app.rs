//! What is on the screen, and what the keys do. Pure: keys and reports go in.

use crate::status::problems::Severity;
use crate::status::render;
use crate::status::report::{Report, Service};
use crate::table::Table;

/// A key, as far as it means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Next,
    Previous,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-C.
    Interrupt,
    Letter(char),
}

/// What has to be done after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    None,
    Quit,
    /// Look again now.
    Refresh,
    /// Explain a service.
    Explain {
        namespace: String,
        name: String,
    },
}

/// The panels, in the order of the keys 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panel {
    Problems,
    Pools,
    Nodes,
    Sessions,
    Services,
}

impl Panel {
    pub(super) const ALL: [Self; 5] =
        [Self::Problems, Self::Pools, Self::Nodes, Self::Sessions, Self::Services];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Problems => "Problems",
            Self::Pools => "Pools",
            Self::Nodes => "Nodes",
            Self::Sessions => "BGP sessions",
            Self::Services => "Services",
        }
    }

    fn moved(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|panel| *panel == self).unwrap_or(0);
        Self::ALL.into_iter().cycle().nth(at.saturating_add(by)).unwrap_or(self)
    }
}

/// An explanation on the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) lines: Vec<String>,
    pub(super) scroll: usize,
}

/// Everything that is on the screen.
#[derive(Clone, Debug)]
pub(crate) struct App {
    report: Option<Report>,
    /// Why the last look failed; what is shown is older.
    pub(super) failure: Option<String>,
    /// When the report was made, in words.
    pub(super) time: String,
    pub(super) panel: Panel,
    pub(super) selected: usize,
    /// The column by which rows are sorted; `None`: as they come.
    pub(super) sort: Option<usize>,
    pub(super) descending: bool,
    /// Only services and problems of namespaces with this in their name.
    pub(super) filter: String,
    /// Keys go into the filter.
    pub(super) typing: bool,
    pub(super) page: Option<Page>,
}

impl App {
    pub(crate) const fn new() -> Self {
        Self {
            report: None,
            failure: None,
            time: String::new(),
            panel: Panel::Problems,
            selected: 0,
            sort: None,
            descending: false,
            filter: String::new(),
            typing: false,
            page: None,
        }
    }

    /// A new report, or why there is none.
    pub(crate) fn take(&mut self, report: Result<Report, String>, time: String) {
        match report {
            Ok(report) => {
                // A cluster in which nothing is wrong begins with its services.
                if self.report.is_none() && report.problems.is_empty() {
                    self.panel = Panel::Services;
                }
                self.report = Some(report);
                self.failure = None;
                self.time = time;
            }
            Err(failure) => self.failure = Some(failure),
        }
        self.clamp();
    }

    /// An explanation that was asked for.
    pub(crate) fn explain(&mut self, text: &str) {
        self.page = Some(Page { lines: text.lines().map(str::to_owned).collect(), scroll: 0 });
    }

    pub(crate) fn handle(&mut self, key: Key) -> Action {
        if key == Key::Interrupt {
            return Action::Quit;
        }
        if self.typing {
            self.type_(key);
            return Action::None;
        }
        if self.page.is_some() {
            return self.read(key);
        }
        match key {
            Key::Letter('q') => return Action::Quit,
            Key::Letter('r') => return Action::Refresh,
            Key::Letter('/') => self.typing = true,
            Key::Letter('s') => self.sort_next(),
            Key::Letter('S') => self.descending = !self.descending,
            Key::Letter(digit @ '1'..='5') => {
                let at = usize::try_from(u32::from(digit).saturating_sub(u32::from('1'))).unwrap_or(0);
                self.show(Panel::ALL.get(at).copied().unwrap_or(Panel::Problems));
            }
            Key::Next => self.show(self.panel.moved(1)),
            Key::Previous => self.show(self.panel.moved(Panel::ALL.len() - 1)),
            Key::Up | Key::Letter('k') => self.selected = self.selected.saturating_sub(1),
            Key::Down | Key::Letter('j') => self.selected = self.selected.saturating_add(1),
            Key::PageUp => self.selected = self.selected.saturating_sub(PAGE),
            Key::PageDown => self.selected = self.selected.saturating_add(PAGE),
            Key::Enter => return self.jump(),
            Key::Escape => self.filter.clear(),
            Key::Backspace | Key::Interrupt | Key::Letter(_) => {}
        }
        self.clamp();
        Action::None
    }

    fn show(&mut self, panel: Panel) {
        self.panel = panel;
        self.selected = 0;
        self.sort = None;
        self.descending = false;
    }

    fn type_(&mut self, key: Key) {
        match key {
            Key::Letter(letter) => self.filter.push(letter),
            Key::Backspace => _ = self.filter.pop(),
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.filter.clear();
                self.typing = false;
            }
            _ => {}
        }
        self.clamp();
    }

    fn read(&mut self, key: Key) -> Action {
        let Some(page) = &mut self.page else { return Action::None };
        let last = page.lines.len().saturating_sub(1);
        match key {
            Key::Letter('q') | Key::Escape | Key::Backspace => self.page = None,
            Key::Up | Key::Letter('k') => page.scroll = page.scroll.saturating_sub(1),
            Key::Down | Key::Letter('j') => page.scroll = page.scroll.saturating_add(1).min(last),
            Key::PageUp => page.scroll = page.scroll.saturating_sub(PAGE),
            Key::PageDown => page.scroll = page.scroll.saturating_add(PAGE).min(last),
            _ => {}
        }
        Action::None
    }

    fn sort_next(&mut self) {
        let columns = self.table().map_or(0, |table| table.head().len());
        self.sort = match self.sort {
            None if columns > 0 => Some(0),
            Some(at) if at.saturating_add(1) < columns => Some(at.saturating_add(1)),
            _ => None,
        };
    }

    /// From a service, or a problem of one, to its explanation.
    fn jump(&self) -> Action {
        let target = match self.panel {
            Panel::Services => {
                let row = self.table().and_then(|table| table.rows().get(self.selected).cloned());
                row.and_then(|row| Some((row.first()?.clone(), row.get(1)?.clone())))
            }
            Panel::Problems => self.problem_service(),
            _ => None,
        };
        match target {
            Some((namespace, name)) => Action::Explain { namespace, name },
            None => Action::None,
        }
    }

    fn problem_service(&self) -> Option<(String, String)> {
        let problems = self.problems();
        let object = problems.get(self.selected)?.1.strip_prefix("service/")?;
        let (name, namespace) = object.split_once(" -n ")?;
        Some((namespace.to_owned(), name.to_owned()))
    }

    /// Text and object of the problems that the filter lets through.
    pub(super) fn problems(&self) -> Vec<(String, String, Severity)> {
        let Some(report) = &self.report else { return Vec::new() };
        let shown = report.problems.iter().filter(|problem| {
            let namespace = problem.object.split_once(" -n ").map_or("", |(_, namespace)| namespace);
            self.filter.is_empty() || namespace.contains(&self.filter)
        });
        shown.map(|problem| (problem.text.clone(), problem.object.clone(), problem.severity)).collect()
    }

    /// What would help against the selected problem.
    pub(super) fn remedy(&self) -> Option<&str> {
        let (text, ..) = self.problems().into_iter().nth(self.selected)?;
        let problem = self.report.as_ref()?.problems.iter().find(|problem| problem.text == text)?;
        problem.remedy.as_deref()
    }

    /// The panel's rows, filtered and sorted; `None` for problems, which are no table.
    pub(super) fn table(&self) -> Option<Table> {
        let report = self.report.as_ref()?;
        let mut table = match self.panel {
            Panel::Problems => return None,
            Panel::Pools => render::pools(report, true),
            Panel::Nodes => render::nodes(report, true),
            Panel::Sessions => render::sessions(report, true),
            Panel::Services => {
                let is_shown = |it: &&Service| it.namespace.contains(&self.filter);
                let services = report.services.iter().filter(is_shown).cloned().collect();
                render::services(&Report { services, ..Report::default() }, true).0
            }
        };
        if let Some(column) = self.sort {
            table.sort(column, self.descending);
        } else if self.descending {
            table.reverse();
        }
        Some(table)
    }

    pub(super) fn headline(&self) -> String {
        self.report.as_ref().map_or_else(|| "looking …".to_owned(), render::headline)
    }

    pub(super) fn rows(&self) -> usize {
        self.table().map_or_else(|| self.problems().len(), |table| table.rows().len())
    }

    fn clamp(&mut self) {
        self.selected = self.selected.min(self.rows().saturating_sub(1));
    }
}

/// How many rows a page has.
const PAGE: usize = 10;
