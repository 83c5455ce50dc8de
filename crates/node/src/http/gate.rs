//! Who is let in: by the name that this machine is called by, and by the web site that asks.
//!
//! A page of any web site can send requests to 127.0.0.1. What it may not do without our word is
//! read the answer, and send JSON as such (CORS); and when its own name is suddenly that of
//! 127.0.0.1 (DNS rebinding), the `Host` header still has the name.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The names by which clients may call this machine, in the `Host` header of their requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    names: BTreeSet<String>,
    any: bool,
}

impl Default for Hosts {
    /// `localhost`, beside all addresses.
    fn default() -> Self {
        Self::new(["localhost"])
    }
}

impl Hosts {
    /// These names; `*` is for any.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let names: BTreeSet<_> =
            names.into_iter().map(|name| name.as_ref().trim().to_ascii_lowercase()).collect();
        Self { any: names.contains("*"), names }
    }

    /// Whether a `Host` header is one of them. An IP address always is: nobody else's name can be
    /// turned into it (go-ethereum has the same rule).
    #[must_use]
    pub fn admit(&self, header: &str) -> bool {
        let name = match header.strip_prefix('[') {
            // An IPv6 address.
            Some(rest) => match rest.split_once(']') {
                Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
                _ => return false,
            },
            None => header.split_once(':').map_or(header, |(name, _port)| name),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.any || name.parse::<IpAddr>().is_ok() || self.names.contains(&name)
    }
}

/// The web sites whose pages may ask, as the `Origin` header names them: `https://example.org`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    names: BTreeSet<String>,
    any: bool,
}

impl Origins {
    /// These; `*` is for any. By default there are none.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let clean = |name: S| name.as_ref().trim().trim_end_matches('/').to_ascii_lowercase();
        let names: BTreeSet<_> = names.into_iter().map(clean).collect();
        Self { any: names.contains("*"), names }
    }

    /// Whether an `Origin` header is one of them.
    #[must_use]
    pub fn admit(&self, header: &str) -> bool {
        self.any || self.names.contains(&header.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests;
