//! `[validator]` and `[chain]`.

use std::path::PathBuf;

use serde::Deserialize;

/// `[validator]`: this node seals blocks.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ValidatorSection {
    /// The file with the key, 64 hex digits.
    pub key: Option<PathBuf>,
    /// The file with the key as go-ethereum keeps it; it needs `password_file`.
    pub keystore: Option<PathBuf>,
    /// The file whose first line is the password of the keystore.
    pub password_file: Option<PathBuf>,
    /// What each block says in front of its extra data, 32 bytes at most.
    pub vanity: Option<String>,
    /// The gas limit that blocks move towards.
    pub gas_limit: Option<u64>,
}

/// `[chain]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ChainSection {
    /// The genesis file of the network.
    pub genesis: Option<PathBuf>,
}
