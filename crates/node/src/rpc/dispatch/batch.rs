//! Batches.

use jsonrpsee_types::Id;
use jsonrpsee_types::error::INVALID_REQUEST_CODE;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Answer, Dispatcher, Fields, MAX_ANSWER, MAX_BATCH, error, parse_error};
use crate::rpc::error::RESPONSE_TOO_LARGE_CODE;

/// The first requests of a batch, and whether there are more than it may have.
struct Batch<'a> {
    requests: Vec<&'a RawValue>,
    more: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Batch<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Requests;
        impl<'de> Visitor<'de> for Requests {
            type Value = Batch<'de>;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a batch")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Batch<'de>, A::Error> {
                let mut requests = Vec::new();
                while requests.len() < MAX_BATCH {
                    match list.next_element()? {
                        Some(request) => requests.push(request),
                        None => return Ok(Batch { requests, more: false }),
                    }
                }
                let mut more = false;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Batch { requests, more })
            }
        }
        deserializer.deserialize_seq(Requests)
    }
}

impl Dispatcher {
    /// Answers the requests of a batch, one after the other.
    pub(super) async fn batch(&self, text: &str) -> Answer {
        let Ok(batch) = serde_json::from_str::<Batch<'_>>(text) else {
            return Answer::text(parse_error());
        };
        let Some(first) = batch.requests.first() else {
            return Answer::text(error(&Id::Null, INVALID_REQUEST_CODE, "empty batch"));
        };
        if batch.more {
            return Answer::text(error(&id(first.get()), INVALID_REQUEST_CODE, "batch too large"));
        }
        let (mut answers, mut bytes) = (Vec::new(), 0);
        let mut subscriptions = Vec::new();
        for request in batch.requests {
            if bytes > MAX_ANSWER {
                let id = id(request.get());
                answers.push(error(&id, RESPONSE_TOO_LARGE_CODE, "response too large"));
                continue;
            }
            let answer = self.one(request.get()).await;
            if let Some(text) = answer.text {
                bytes += text.len();
                answers.push(text);
            }
            subscriptions.extend(answer.subscriptions);
        }
        let text = (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")));
        Answer { text, subscriptions }
    }
}

/// The ID of something that may be a request.
fn id(request: &str) -> Id<'_> {
    let fields = serde_json::from_str::<Fields<'_>>(request).ok();
    let id = fields.and_then(|fields| fields.id);
    id.and_then(|id| serde_json::from_str(id.get()).ok()).unwrap_or(Id::Null)
}
