//! [`Trouble`]: since when blocks cannot be made.

use core::error::Error;

use chainmesh_chain::clique::ValidatorState;

/// Whether the last try failed, and when the first of these failed, seconds since 1970. It is over
/// when a block has been stored, not before.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<u64>);

impl Trouble {
    pub(super) const fn is_over(&self) -> bool {
        self.0.is_none()
    }

    pub(super) const fn end(&mut self) {
        self.0 = None;
    }

    pub(super) fn store_failed(&mut self, why: &dyn Error, now: u64) -> ValidatorState {
        let since = *self.0.get_or_insert(now);
        ValidatorState::StoreFailed { since, error: text(why).into() }
    }

    pub(super) fn failed(&mut self, why: &dyn Error, now: u64) -> ValidatorState {
        let since = *self.0.get_or_insert(now);
        ValidatorState::Failed { since, error: text(why).into() }
    }
}

/// An error with its causes. One that its cause repeats is left out.
fn text(why: &dyn Error) -> String {
    let mut text = why.to_string();
    let mut cause = why.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if said.contains(&text) {
            text = said;
        } else if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
