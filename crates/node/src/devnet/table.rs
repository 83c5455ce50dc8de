//! The network as a table that is drawn anew in its place, below what the terminal showed before.

mod columns;
mod keys;

use std::io::{self, Stdout};

use anyhow::Context as _;
use ratatui::layout::{Layout, Rect};
use ratatui::prelude::CrosstermBackend;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::chatter::Pings;
use super::mesh::MeshView;
use super::sample::{NodeView, State, View};
use crate::cli::output::duration;
use columns::Column;
use keys::Keys;

/// Lines for events.
const EVENTS: u16 = 4;

/// Lines that are no nodes: title, header, an empty one before the events.
const OTHER_LINES: u16 = 3;

/// Lines that say where JSON-RPC is, and whose money can be spent.
const HINT_LINES: u16 = 2;

/// Lines that only a consortium has: its messages, and what to try.
pub(super) const CONSORTIUM_LINES: u16 = 2;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

/// The table. When it is dropped, the terminal is as it was before.
pub(super) struct LiveTable {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    keys: Keys,
    open: bool,
}

impl LiveTable {
    /// The table for so many nodes, with `more` lines below them.
    pub(super) fn open(nodes: usize, more: u16) -> anyhow::Result<Self> {
        let failed = "cannot use this terminal; try --json, or send the output into a file";
        let (_, rows) = crossterm::terminal::size().context(failed)?;
        let wanted = u16::try_from(nodes)
            .unwrap_or(u16::MAX)
            .saturating_add(OTHER_LINES + HINT_LINES + EVENTS + more);
        let viewport = Viewport::Inline(wanted.min(rows.saturating_sub(1).max(1)));
        crossterm::terminal::enable_raw_mode().context(failed)?;
        let backend = CrosstermBackend::new(io::stdout());
        match Terminal::with_options(backend, TerminalOptions { viewport }) {
            Ok(mut terminal) => {
                // Not fatal: some terminals cannot hide it.
                let _ = terminal.hide_cursor();
                Ok(Self { terminal, keys: Keys::listen(), open: true })
            }
            Err(error) => {
                let _ = crossterm::terminal::disable_raw_mode();
                Err(anyhow::Error::new(error).context(failed))
            }
        }
    }

    pub(super) fn show(&mut self, view: &View) -> anyhow::Result<()> {
        self.terminal.draw(|frame| draw(frame, view)).context("cannot draw")?;
        Ok(())
    }

    pub(super) async fn quit(&mut self) {
        self.keys.quit().await;
    }

    pub(super) fn close(mut self) -> anyhow::Result<()> {
        self.restore().context("cannot restore the terminal")
    }

    /// Removes the table, and gives keys and cursor back.
    fn restore(&mut self) -> io::Result<()> {
        if !core::mem::take(&mut self.open) {
            return Ok(());
        }
        self.keys.stop();
        let area = self.terminal.get_frame().area();
        let cleared = self.terminal.clear();
        let moved = self.terminal.set_cursor_position((0, area.y));
        let shown = self.terminal.show_cursor();
        crossterm::terminal::disable_raw_mode()?;
        cleared.and(moved).and(shown)
    }
}

impl Drop for LiveTable {
    fn drop(&mut self) {
        let _ = self.restore();
    }
}

fn draw(frame: &mut Frame<'_>, view: &View) {
    let area = frame.area();
    let line = |offset: u16| Rect {
        y: area.y.saturating_add(offset),
        height: u16::from(offset < area.height),
        ..area
    };
    // In a low terminal the nodes go first, and one line is left for the last event.
    let nodes = u16::try_from(view.nodes.len()).unwrap_or(u16::MAX);
    let hints = if area.height > nodes.saturating_add(OTHER_LINES) { HINT_LINES } else { 0 };
    let other = OTHER_LINES + hints + if view.consortium.is_some() { CONSORTIUM_LINES } else { 0 };
    let beside = area.height.saturating_sub(nodes.saturating_add(other));
    let event_lines = beside.clamp(1, EVENTS);
    let room = usize::from(area.height.saturating_sub(other + event_lines));

    title(frame, line(0), view);
    let columns: &[Column] = match view.consortium {
        Some(_) => &columns::CONSORTIUM,
        None => &columns::OPEN,
    };
    let names = columns.iter().map(|column| column.name.into());
    cells(frame, line(1), columns, names.collect(), BOLD);
    // Of more nodes than there are lines, the last line says how many are not shown.
    let shown = if view.nodes.len() > room { room.saturating_sub(1) } else { view.nodes.len() };
    let mut at = 2;
    for node in view.nodes.iter().take(shown) {
        row(frame, line(at), columns, node);
        at += 1;
    }
    if shown < view.nodes.len() {
        let more = format!("   … and {} more nodes", view.nodes.len() - shown);
        frame.render_widget(Paragraph::new(more).style(DIM), line(at));
        at += 1;
    }
    for hint in view.hints.iter().take(hints.into()) {
        frame.render_widget(Paragraph::new(format!(" {hint}")).style(DIM), line(at));
        at += 1;
    }
    if let Some(consortium) = &view.consortium {
        talk(frame, line(at), view.nodes.len(), &consortium.pings);
        let hint = format!(" try: {}", consortium.hint);
        frame.render_widget(Paragraph::new(hint).style(DIM), line(at + 1));
        at += CONSORTIUM_LINES;
    }
    at += 1;
    let from = view.events.len().saturating_sub(usize::from(event_lines));
    for event in view.events.iter().skip(from) {
        let when = Span::styled(format!("{:>7.1} s  ", event.at.as_secs_f64()), DIM);
        let text = Line::from(vec![when, Span::raw(event.text.clone())]);
        frame.render_widget(Paragraph::new(text), line(at));
        at += 1;
    }
}

fn title(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let color = if view.synced { Color::Green } else { Color::Yellow };
    let left = Line::from(vec![
        Span::styled(" chainmesh devnet", BOLD),
        Span::raw(format!("  {} nodes  {}  ", view.nodes.len(), duration(view.elapsed))),
        Span::styled(view.phase(), Style::new().fg(color)),
    ]);
    frame.render_widget(Paragraph::new(left), area);
    frame.render_widget(Paragraph::new("q or Ctrl-C ends it ").style(DIM).right_aligned(), area);
}

/// What becomes of the messages from the first node to the last.
fn talk(frame: &mut Frame<'_>, area: Rect, last: usize, pings: &Pings) {
    let (text, color) = match pings.last {
        Some(time) => {
            let millis = time.as_secs_f64() * 1000.0;
            (format!("answered in {millis:.1} ms"), Color::Green)
        }
        None if pings.lost > 0 => ("no answer".into(), Color::Red),
        None => ("not yet".into(), Color::Yellow),
    };
    let line = Line::from(vec![
        Span::raw(format!(" node 1 to node {last}, without a link: ")),
        Span::styled(text, Style::new().fg(color)),
        Span::styled(format!("  ({} answered, {} lost)", pings.answered, pings.lost), DIM),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn row(frame: &mut Frame<'_>, area: Rect, columns: &[Column], node: &NodeView) {
    let text = columns.iter().map(|column| (column.text)(node)).collect();
    let Some(last) = cells(frame, area, columns, text, Style::new()) else { return };
    match node.state {
        State::Waiting => frame.render_widget(Paragraph::new("waiting").style(DIM), last),
        State::InStep => {
            let style = Style::new().fg(Color::Green);
            frame.render_widget(Paragraph::new("in step").style(style), last);
        }
        State::Importing(part) | State::CatchingUp(part) => {
            let gauge = Gauge::default()
                .ratio(part.clamp(0.0, 1.0))
                .use_unicode(true)
                .label(format!("{:.0} %", (part * 100.0).floor()))
                .gauge_style(Style::new().fg(Color::Cyan).bg(Color::DarkGray));
            frame.render_widget(gauge, last);
        }
    }
}

/// Writes a row, and gives the place of its last cell.
fn cells(
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[Column],
    text: Vec<String>,
    style: Style,
) -> Option<Rect> {
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let widths = columns.iter().map(|column| column.width);
    let places = Layout::horizontal(widths).spacing(1).split(inner);
    for ((text, place), column) in text.into_iter().zip(places.iter()).zip(columns) {
        let cell = Paragraph::new(text).style(style);
        frame.render_widget(if column.number { cell.right_aligned() } else { cell }, *place);
    }
    places.last().copied()
}
