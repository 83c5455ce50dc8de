//! What the tests ask of a node of a consortium: its view of the mesh, and messages.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallError, Process};

/// The mesh as a node sees it (`mesh_status`).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshView {
    /// Everybody that the node knows, itself not among them.
    pub members: Vec<MemberView>,
    /// Counts since its start, as `mesh_status` names them.
    pub counters: BTreeMap<String, u64>,
    /// Its own certificate.
    pub certificate: Option<CertificateView>,
}

/// A member as a node sees it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// Its ID.
    pub id: String,
    /// Links on the way to it, if there is one.
    pub hops: Option<u32>,
    /// The neighbour on the way to it.
    pub via: Option<String>,
}

/// A node's certificate as it shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// Its serial number, hex.
    pub serial: String,
    /// Its last second, seconds since 1970.
    pub not_after: u64,
}

/// A message that somebody sent to several.
#[derive(Debug, Clone, Deserialize)]
pub struct SentView {
    /// Copies that the sender put on the wire.
    pub copies: u64,
    /// Members that they were for.
    pub members: u64,
}

/// A message that arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct ReceivedView {
    /// `unicast`, `multicast` or `broadcast`.
    pub kind: String,
    /// Who sent it.
    pub from: String,
    /// Its unique ID.
    pub id: String,
    /// What it says, in hex with `0x`.
    pub payload: String,
}

/// Takes messages from a node, until it is dropped or the node ends.
#[derive(Debug)]
pub struct Listener<'a> {
    process: &'a Process,
    number: Value,
}

#[derive(Deserialize)]
struct Polled {
    messages: Vec<ReceivedView>,
    missed: u64,
}

impl MeshView {
    /// Links on the way to this member; `None` if there is no way, or no such member.
    #[must_use]
    pub fn hops(&self, id: &str) -> Option<u32> {
        self.members.iter().find(|member| member.id == id)?.hops
    }

    /// One of the counts.
    ///
    /// # Panics
    /// When there is none with that name.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        *self.counters.get(name).unwrap_or_else(|| panic!("no counter {name}"))
    }
}

impl Process {
    /// The mesh as this node sees it.
    ///
    /// # Panics
    /// When it does not answer, or has no mesh.
    #[must_use]
    pub fn mesh(&self) -> MeshView {
        self.ask("mesh_status", json!([]))
    }

    /// Sends a message to one member, and waits for the acknowledgement.
    ///
    /// # Errors
    /// When it was not delivered: [`CallError::Refused`] has the reason.
    pub fn send(&self, to: &str, payload: &[u8]) -> Result<(), CallError> {
        let params = json!({"to": to, "payload": hex(payload)});
        self.call("mesh_send", params).map(drop)
    }

    /// Sends a message to all members.
    ///
    /// # Errors
    /// When it was not sent.
    pub fn broadcast(&self, payload: &[u8]) -> Result<SentView, CallError> {
        let sent = self.call("mesh_broadcast", json!({"payload": hex(payload)}))?;
        Ok(serde_json::from_value(sent)?)
    }

    /// Reads certificates, lists and configuration again, and gives what changed, in words.
    ///
    /// # Errors
    /// When they cannot be used: everything stays as it was.
    pub fn reload(&self) -> Result<Vec<String>, CallError> {
        let mut report = self.call("mesh_reload", json!([]))?;
        Ok(serde_json::from_value(report["changes"].take())?)
    }

    /// From now on, takes the messages that are sent to this node alone, or to all.
    ///
    /// # Panics
    /// When the node does not let us.
    #[must_use]
    pub fn listen(&self) -> Listener<'_> {
        let answer = self.call("mesh_subscribe", json!({"direct": true}));
        let mut answer = answer.unwrap_or_else(|error| panic!("mesh_subscribe: {error}"));
        Listener { process: self, number: answer["listener"].take() }
    }
}

impl Listener<'_> {
    /// What has come since the last question; waits so long (5 s at most) for the first message.
    ///
    /// # Panics
    /// When the node does not answer, or has dropped messages because nobody took them.
    #[must_use]
    pub fn take(&self, wait: Duration) -> Vec<ReceivedView> {
        let params = json!({"listener": self.number, "wait": wait.as_secs_f64()});
        let polled: Polled = self.process.ask("mesh_poll", params);
        assert_eq!(polled.missed, 0, "messages were dropped before they were taken");
        polled.messages
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        // The node may have ended.
        let _ = self.process.call("mesh_unsubscribe", json!({"listener": self.number}));
    }
}

/// Bytes as the JSON-RPC methods want them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| char::from(DIGITS[usize::from(digit)]));
    "0x".chars().chain(digits).collect()
}
