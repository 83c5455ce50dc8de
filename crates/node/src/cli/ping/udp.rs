//! The discovery side: Pings, and the record.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use anyhow::Context as _;
use chainmesh_net::discovery::{
    self, Answer, Contact, DiscoveryHandle, DiscoveryOptions, Question, fork_id,
};
use chainmesh_proto::discovery::DropReason;
use serde_json::{Value, json};

use super::Plan;
use super::finding::Finding;
use super::show::{millis, millis_json, record_json, record_text};
use super::target::Target;

/// Asks, and says what came.
pub(super) async fn ask(plan: &Plan) -> anyhow::Result<(Value, Option<Finding>)> {
    let Target::Node(enode) = &plan.target else { return Ok((Value::Null, None)) };
    plan.title(&format!("UDP (discv4) {}, port {}", enode.host, enode.udp_port))?;
    let Some(contact) = discovery::resolve(enode).await else {
        let finding = Finding::no_name();
        plan.say_finding(Some(&finding))?;
        return Ok((json!({"finding": finding.to_json()}), Some(finding)));
    };
    let any = match contact.endpoint.ip.is_ipv4() {
        true => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        false => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let options = DiscoveryOptions { look_around: false, ..DiscoveryOptions::default() };
    let started = discovery::start(plan.key.duplicate(), any, 0, options, |_| {}).await;
    let handle = started.context("no UDP port can be listened on")?;
    let (trips, mut finding) = pings(plan, &handle, contact).await?;
    let mut said = json!({
        "address": contact.endpoint.udp_address().to_string(),
        "roundTripsMillis": trips,
    });
    if finding.is_none() {
        finding = record(plan, &handle, contact, &mut said).await?;
    }
    plan.say_finding(finding.as_ref())?;
    said["finding"] = finding.as_ref().map_or(Value::Null, Finding::to_json);
    Ok((said, finding))
}

async fn pings(
    plan: &Plan,
    handle: &DiscoveryHandle,
    contact: Contact,
) -> anyhow::Result<(Vec<Value>, Option<Finding>)> {
    let (mut trips, mut answered) = (Vec::new(), false);
    for number in 1..=plan.count {
        if number > 1 {
            tokio::time::sleep(super::PAUSE).await;
        }
        let asked = tokio::time::timeout(plan.timeout, handle.ping_contact(contact)).await;
        let rtt = asked.ok().transpose()?.flatten();
        let text = rtt.map_or_else(|| "no answer".to_owned(), millis);
        plan.say(&format!("ping {number}"), &text)?;
        trips.push(rtt.map_or(Value::Null, millis_json));
        answered |= rtt.is_some();
        if !answered {
            // It will not get better.
            break;
        }
    }
    if answered {
        return Ok((trips, None));
    }
    // An answer with another signature is one that nobody asked for.
    let counters = handle.snapshot().await?.counters;
    let others = counters.dropped_for(DropReason::Unsolicited) > 0;
    let finding = Finding::no_pong(contact.endpoint.udp_port, others, contact.id);
    Ok((trips, Some(finding)))
}

async fn record(
    plan: &Plan,
    handle: &DiscoveryHandle,
    contact: Contact,
    said: &mut Value,
) -> anyhow::Result<Option<Finding>> {
    let began = Instant::now();
    // It proves us first, and asks once more: some seconds at the most.
    let Some(Answer::Record(record)) = handle.query(contact, Question::Record).await? else {
        return Ok(Some(Finding::no_record()));
    };
    plan.say("record", &format!("{} ({})", record_text(&record), millis(began.elapsed())))?;
    said["record"] = record_json(&record);
    let (Some(spec), Some(fork_id)) = (&plan.chain, fork_id(&record)) else { return Ok(None) };
    let forks = chainmesh_chain::forks::fork_filter(spec, 0, spec.genesis_header().timestamp);
    let refused = forks.validate(fork_id).err();
    Ok(refused.map(|error| {
        Finding::other_chain(format!("its record is of another chain than --genesis: {error}"))
    }))
}
