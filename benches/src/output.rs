//! The line of JSON that a run prints. Its keys are the harness's, and it is flat.

use core::fmt;

use crate::args::Args;

pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new(args: &Args) -> Self {
        let Args { variant, test, api, size, par, threads, pin, .. } = args;
        Self(format!(
            "{{\"stack\":\"chainmesh-{}\",\"test\":\"{}\",\"api\":\"{}\",\"size\":{size},\"par\":{par},\
             \"threads\":{threads},\"pin\":{pin}",
            name(variant),
            name(test),
            name(api),
        ))
    }

    /// A line of the ceiling.
    pub(crate) fn of(what: &str) -> Self {
        Self(format!("{{\"what\":\"{what}\""))
    }

    pub(crate) fn number(mut self, key: &str, value: f64) -> Self {
        self.0 += &format!(",\"{key}\":{value:.4}");
        self
    }
}

fn name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}}}", self.0)
    }
}
