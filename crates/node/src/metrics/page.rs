//! Numbers with names, written in the OpenMetrics text format.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What every name begins with.
const PREFIX: &str = "chainmesh";

/// The labels of a number: names and values.
type Labels = Vec<(String, String)>;

/// A page of numbers. Made anew for each answer.
#[derive(Debug)]
pub(super) struct Page {
    registry: Registry,
}

impl Page {
    pub(super) fn new() -> Self {
        Self { registry: Registry::with_prefix(PREFIX) }
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl TryInto<i64>) {
        let gauge = Gauge::<i64>::default();
        gauge.set(value.try_into().unwrap_or(i64::MAX));
        self.registry.register(name, help, gauge);
    }

    /// A number that only goes up. The format adds `_total` to its name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.registry.register(name, help, counter);
    }

    /// A gauge for each of several values of its labels.
    pub(super) fn gauges<const N: usize, V: TryInto<i64>>(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str; N],
        values: impl IntoIterator<Item = ([String; N], V)>,
    ) {
        let family = Family::<Labels, Gauge<i64>>::default();
        for (value_labels, value) in values {
            let value = value.try_into().unwrap_or(i64::MAX);
            family.get_or_create(&paired(labels, value_labels)).set(value);
        }
        self.registry.register(name, help, family);
    }

    /// A counter for each of several values of its labels.
    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str; N],
        values: impl IntoIterator<Item = ([String; N], u64)>,
    ) {
        let family = Family::<Labels, Counter<u64>>::default();
        for (value_labels, value) in values {
            family.get_or_create(&paired(labels, value_labels)).inc_by(value);
        }
        self.registry.register(name, help, family);
    }

    /// The page as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn paired<const N: usize>(names: &[&str; N], values: [String; N]) -> Labels {
    names.iter().map(|name| (*name).to_owned()).zip(values).collect()
}
