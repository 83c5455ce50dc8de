//! [`Watch`]: a call that takes too long is broken off.

use revm::Inspector;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{CallInputs, CallOutcome, Interpreter};

/// How many steps of the interpreter go by between two questions: about 10 µs.
const STEPS: u32 = 1_024;

/// Asks now and then whether to go on, and ends all frames of a call when not. A precompiled
/// contract that has begun is not broken off.
pub(super) struct Watch<F> {
    should_stop: F,
    steps_left: u32,
    has_stopped: bool,
}

impl<F: FnMut() -> bool> Watch<F> {
    pub(super) const fn new(should_stop: F) -> Self {
        Self { should_stop, steps_left: STEPS, has_stopped: false }
    }

    /// Whether the call was broken off.
    pub(super) const fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    fn ask(&mut self) {
        self.steps_left = STEPS;
        self.has_stopped = self.has_stopped || (self.should_stop)();
    }
}

impl<F: FnMut() -> bool, Context> Inspector<Context, EthInterpreter> for Watch<F> {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut Context) {
        self.steps_left = self.steps_left.saturating_sub(1);
        if self.steps_left == 0 {
            self.ask();
        }
        if self.has_stopped {
            interpreter.halt_oog();
        }
    }

    fn call(&mut self, _: &mut Context, _: &mut CallInputs) -> Option<CallOutcome> {
        // A single call may take long: of a precompiled contract.
        self.ask();
        None
    }
}
