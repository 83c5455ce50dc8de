//! Keys that end the program, read on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::Notify;

/// How long the thread waits for a key before it looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(50);

/// The thread that reads keys; it ends when this is dropped.
pub(super) struct Keys {
    stopped: Arc<AtomicBool>,
    pressed: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    pub(super) fn listen() -> Self {
        let (stopped, pressed) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let (stop, press) = (Arc::clone(&stopped), Arc::clone(&pressed));
        let thread = std::thread::spawn(move || {
            while !stop.load(Relaxed) {
                match event::poll(PATIENCE) {
                    Ok(false) => {}
                    Ok(true) => match event::read() {
                        Ok(Event::Key(key)) if ends(key) => press.notify_one(),
                        // A change of size is seen when the table is drawn next.
                        Ok(_) => {}
                        Err(_) => return,
                    },
                    // The terminal is gone: a signal tells of that.
                    Err(_) => return,
                }
            }
        });
        Self { stopped, pressed, thread: Some(thread) }
    }

    /// Waits until such a key is pressed.
    pub(super) async fn quit(&self) {
        self.pressed.notified().await;
    }

    /// Ends the thread, so that nobody else reads from the terminal.
    pub(super) fn stop(&mut self) {
        self.stopped.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say if it panicked.
            let _ = thread.join();
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop();
    }
}

/// In raw mode Ctrl-C is a key like any other.
fn ends(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && match key.code {
            KeyCode::Char('c' | 'd') => control,
            KeyCode::Char('q' | 'Q') => !control,
            _ => false,
        }
}
