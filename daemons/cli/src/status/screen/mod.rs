//! `metallb status --watch` in a terminal: the keys, the clock and the cluster on one side, the screen on the other.

mod app;
mod draw;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures::StreamExt as _;
use kube::Client;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::facts::Facts;
use super::report::{Report, report};
use crate::connect::ConnectArgs;
use crate::exit::Trouble;
use crate::snapshot::Snapshot;
use app::{Action, App, Key};

/// What comes back from the cluster.
enum News {
    Report(Box<Result<Report, String>>),
    Explanation(String),
}

/// Watches until somebody quits. The terminal is left as it was found, also when something panics.
pub(super) async fn watch(
    client: &Client,
    args: &ConnectArgs,
    namespace: Option<&str>,
    every: Duration,
) -> Result<(), Trouble> {
    let mut terminal =
        ratatui::try_init().map_err(|error| Trouble::unknown(format!("cannot use the terminal: {error}")))?;
    let watching = Watching { client, args, namespace, every };
    // What is asked of the cluster is asked beside the keys, on the same thread.
    let outcome = LocalSet::new().run_until(watching.run(&mut terminal)).await;
    ratatui::restore();
    outcome
}

struct Watching<'a> {
    client: &'a Client,
    args: &'a ConnectArgs,
    namespace: Option<&'a str>,
    every: Duration,
}

impl Watching<'_> {
    async fn run(&self, terminal: &mut DefaultTerminal) -> Result<(), Trouble> {
        let lost = |error| Trouble::unknown(format!("the terminal is gone: {error}"));
        let signals = |error| Trouble::unknown(format!("cannot wait for signals: {error}"));
        let mut end = signal(SignalKind::terminate()).map_err(signals)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(signals)?;
        let (tell, mut news) = mpsc::channel(4);
        let mut keys = EventStream::new();
        let mut app = App::new();
        let mut due = tokio::time::interval(self.every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // One look at a time: a slow cluster is not asked again while it answers.
        let mut looking = false;
        loop {
            terminal.draw(|frame| draw::draw(&app, frame)).map_err(lost)?;
            tokio::select! {
                event = keys.next() => match event {
                    Some(Ok(event)) => match meaning(&event).map_or(Action::None, |key| app.handle(key)) {
                        Action::None => {}
                        Action::Quit => return Ok(()),
                        Action::Refresh => due.reset_immediately(),
                        Action::Explain { namespace, name } => self.explain(&tell, namespace, name, terminal),
                    },
                    Some(Err(error)) => return Err(lost(error)),
                    None => return Ok(()),
                },
                Some(news) = news.recv() => match news {
                    News::Report(report) => {
                        looking = false;
                        app.take(*report, super::time());
                    }
                    News::Explanation(text) => app.explain(&text),
                },
                _ = due.tick(), if !looking => {
                    looking = true;
                    self.look(&tell);
                }
                _ = end.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
            }
        }
    }

    fn look(&self, tell: &mpsc::Sender<News>) {
        let (client, args, tell) = (self.client.clone(), self.args.clone(), tell.clone());
        let namespace = self.namespace.map(str::to_owned);
        tokio::task::spawn_local(async move {
            let seen = Facts::gather(&client, &args, namespace.as_deref()).await;
            let news = seen.map(|facts| report(&facts)).map_err(|trouble| trouble.to_string());
            // Nobody listens any more when somebody has quit meanwhile.
            _ = tell.send(News::Report(Box::new(news))).await;
        });
    }

    fn explain(
        &self,
        tell: &mpsc::Sender<News>,
        namespace: String,
        name: String,
        terminal: &DefaultTerminal,
    ) {
        let (client, args, tell) = (self.client.clone(), self.args.clone(), tell.clone());
        let width = terminal.size().map_or(80, |size| usize::from(size.width));
        tokio::task::spawn_local(async move {
            let text = match Snapshot::gather(&client, &args).await {
                Ok(snapshot) => crate::explain::page(Instant::now(), &snapshot, &namespace, &name, width),
                Err(trouble) => trouble.to_string(),
            };
            _ = tell.send(News::Explanation(text)).await;
        });
    }
}

/// What a key means; Ctrl-C is a key like any other while the terminal is raw.
fn meaning(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    if modifiers.contains(KeyModifiers::CONTROL) {
        return (*code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    Some(match code {
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Tab | KeyCode::Right => Key::Next,
        KeyCode::BackTab | KeyCode::Left => Key::Previous,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Char(letter) => Key::Letter(*letter),
        _ => return None,
    })
}
