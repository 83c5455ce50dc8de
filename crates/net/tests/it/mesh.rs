//! The mesh through its handle: over RLPx and over TLS, with and without a link.

use std::time::Duration;

use chainmesh_identity::certificate::{Authority, ValidityPeriod};
use chainmesh_net::mesh::{
    INBOX_MESSAGES, MeshHandle, MeshOptions, MessageKind, NodeType, SendError, SendFailure,
    SendOptions, WaitError,
};
use chainmesh_net::tls::{Credentials, TlsMaterial, Trust, Versions};
use chainmesh_net::{Enode, P2pHandle, SessionKind, TlsConfig};

use crate::support::{config, key, within};

/// Long enough for a busy machine; a test that needs it all has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn tls(number: u8) -> TlsConfig {
    let valid = ValidityPeriod { not_before: 0, not_after: u64::from(u32::MAX) };
    let authority = Authority::create("chain", key(200), valid, [7; 16]).unwrap();
    let key = key(number);
    let certificate = authority.issue_node("node", key.public_key(), valid, [number; 16]).unwrap();
    let credentials = Credentials::of_node(vec![certificate], &key).unwrap();
    let trust = Trust::new(&[authority.certificate().clone()]).unwrap();
    TlsConfig { material: TlsMaterial::new(credentials, trust), versions: Versions::Both }
}

async fn node(number: u8, session: SessionKind, link: Option<&P2pHandle>) -> P2pHandle {
    let mut config = config(number);
    config.session = session;
    config.tls = (session == SessionKind::Tls).then(|| tls(number));
    config.mesh = Some(MeshOptions::default());
    if let Some(Enode { host, tcp_port, .. }) = link.and_then(P2pHandle::enode) {
        match session {
            SessionKind::Tls => config.addresses.push((host, tcp_port)),
            _ => config.boot_nodes.extend(link.and_then(P2pHandle::enode)),
        }
    }
    chainmesh_net::start(config).await.unwrap()
}

/// Nodes 1 - 2 - 3.
async fn line(session: SessionKind) -> [(P2pHandle, MeshHandle); 3] {
    let first = node(1, session, None).await;
    let middle = node(2, session, Some(&first)).await;
    let last = node(3, session, Some(&middle)).await;
    let nodes = [first, middle, last].map(|node| {
        let mesh = node.mesh().unwrap();
        (node, mesh)
    });
    nodes[0].1.reachable(nodes[2].0.local_id, PATIENCE).await.unwrap();
    nodes[2].1.reachable(nodes[0].0.local_id, PATIENCE).await.unwrap();
    nodes
}

async fn all_kinds_of_messages(session: SessionKind) {
    let [(first, here), (middle, between), (last, there)] = line(session).await;
    let mut messages = there.messages();
    let mut news = there.subscribe("news");
    let answering = async {
        let message = messages.next().await.unwrap();
        assert_eq!((message.kind.clone(), message.from), (MessageKind::Unicast, first.local_id));
        assert_eq!((message.group.as_str(), message.module.0), ("group0", 9000));
        message.reply([b"you said: ", &message.payload[..]].concat()).unwrap();
    };
    let options = SendOptions { reply_within: Some(PATIENCE), ..SendOptions::default() };
    let asking = here.send(last.local_id, "good day", options);
    let (answer, ()) = tokio::join!(asking, answering);
    let answer = answer.unwrap();
    assert_eq!(answer.reply.unwrap(), "you said: good day");
    assert_eq!((answer.gateway, answer.copies), (last.local_id, 1));

    let answer = here.send(last.local_id, "no reply", SendOptions::default()).await.unwrap();
    assert_eq!(answer.reply, None);
    let message = within("the message", messages.next()).await.unwrap();
    assert_eq!((message.payload, message.id), ("no reply".into(), answer.id.to_string()));

    here.followed("news", 1, PATIENCE).await.unwrap();
    let sent = here.multicast("news", "it rains").await.unwrap();
    assert_eq!((sent.members, sent.copies), (1, 1));
    let message = within("the news", news.next()).await.unwrap();
    assert_eq!(message.kind, MessageKind::Multicast { topic: "news".into() });
    assert_eq!(message.gateway, first.local_id);
    assert!(message.reply("").is_err(), "nobody waits for a reply to a multicast");

    let sent = here.broadcast("to all").await.unwrap();
    assert_eq!((sent.members, sent.copies, sent.confirmed), (2, 2, 2));
    let message = within("the broadcast", messages.next()).await.unwrap();
    assert_eq!((message.kind, message.payload), (MessageKind::Broadcast, "to all".into()));
    assert!(between.report().counters.forwarded > 0);

    for node in [first, middle, last] {
        node.shutdown().await;
    }
    assert!(messages.next().await.is_none() && news.next().await.is_none());
}

#[tokio::test]
async fn all_kinds_of_messages_over_rlpx() {
    all_kinds_of_messages(SessionKind::Rlpx).await;
}

#[tokio::test]
async fn all_kinds_of_messages_over_tls() {
    all_kinds_of_messages(SessionKind::Tls).await;
}

#[tokio::test]
async fn a_topic_is_followed_until_the_last_subscription_is_dropped() {
    let [(first, here), _middle, (_last, there)] = line(SessionKind::Clear).await;
    let (one, mut other) = (there.subscribe("news"), there.subscribe("news"));
    here.followed("news", 1, PATIENCE).await.unwrap();
    drop(one);
    assert_eq!(there.report().topics, ["news"]);
    here.multicast("news", "still").await.unwrap();
    assert_eq!(within("the news", other.next()).await.unwrap().payload, "still");
    drop(other);
    assert!(there.report().topics.is_empty());
    let left = |report: &chainmesh_net::mesh::MeshReport| {
        report.members.iter().all(|member| member.topics.is_empty())
    };
    here.wait_for(left, PATIENCE).await.unwrap();
    assert_eq!(here.multicast("news", "nobody").await.unwrap().members, 0);
    first.shutdown().await;
}

#[tokio::test]
async fn every_message_ends_even_when_the_node_does() {
    let [(first, here), _middle, (last, there)] = line(SessionKind::Clear).await;
    // A message that was taken is not replied to.
    let mut messages = there.messages();
    let options = SendOptions { reply_within: Some(PATIENCE * 10), ..SendOptions::default() };
    let waiting = tokio::spawn({
        let (here, to) = (here.clone(), last.local_id);
        async move { here.send(to, "hello?", options).await }
    });
    within("the message", messages.next()).await.unwrap();
    first.shutdown().await;
    let ended = within("the end", waiting).await.unwrap();
    assert!(matches!(ended, Err(SendError::Ended(_))), "{ended:?}");
    let ended = here.send(last.local_id, "too late", SendOptions::default()).await;
    assert!(matches!(ended, Err(SendError::Ended(_))), "{ended:?}");
    assert!(matches!(here.broadcast("too late").await, Err(SendError::Ended(_))));
    let ended = here.reachable(first.local_id, PATIENCE).await;
    assert!(matches!(ended, Err(WaitError::Ended(_))), "{ended:?}");
    assert!(here.messages().next().await.is_none());
    assert!(here.subscribe("news").next().await.is_none());
}

#[tokio::test]
async fn a_failure_says_why() {
    let [(_first, here), (middle, _), (last, _there)] = line(SessionKind::Clear).await;
    let send = |to| here.send(to, "", SendOptions::default());
    let unknown = send(key(99).peer_id()).await;
    assert_eq!(unknown, Err(SendFailure::UnknownNode.into()));
    let other = SendOptions { group: Some("another".into()), ..SendOptions::default() };
    let elsewhere = here.send(last.local_id, "", other).await;
    assert_eq!(elsewhere, Err(SendFailure::UnknownNode.into()));
    // Nobody takes messages there.
    let options =
        SendOptions { reply_within: Some(Duration::from_millis(200)), ..SendOptions::default() };
    let silent = here.send(last.local_id, "", options).await;
    assert_eq!(silent, Err(SendFailure::NoReply.into()));
    // The only relay goes, and with it the way.
    middle.shutdown().await;
    let cut = |report: &chainmesh_net::mesh::MeshReport| {
        report.members.iter().all(|member| member.distance.is_none())
    };
    here.wait_for(cut, PATIENCE).await.unwrap();
    assert_eq!(send(last.local_id).await, Err(SendFailure::NotReachable.into()));
}

#[tokio::test]
async fn who_does_not_take_his_messages_misses_the_oldest_and_holds_nobody_up() {
    let [(first, here), _middle, (_last, there)] = line(SessionKind::Clear).await;
    let (mut sleeper, mut awake) = (there.subscribe("news"), there.subscribe("news"));
    here.followed("news", 1, PATIENCE).await.unwrap();
    const MORE: usize = 10;
    for number in 0..INBOX_MESSAGES + MORE {
        here.multicast("news", number.to_string()).await.unwrap();
        let message = within("the news", awake.next()).await.unwrap();
        assert_eq!(message.payload, number.to_string());
    }
    assert_eq!((sleeper.missed(), awake.missed()), (MORE as u64, 0));
    let oldest = sleeper.try_next().unwrap();
    assert_eq!(oldest.payload, MORE.to_string());
    first.shutdown().await;
}

#[tokio::test]
async fn role_and_height_are_seen_by_the_others() {
    let [(_first, here), _middle, (last, there)] = line(SessionKind::Clear).await;
    there.set_status(NodeType::OBSERVER, 42);
    let seen = |report: &chainmesh_net::mesh::MeshReport| {
        let member = report.members.iter().find(|member| member.name == last.local_id);
        member.is_some_and(|member| {
            (member.role, member.height) == (Some(NodeType::OBSERVER), Some(42))
        })
    };
    here.wait_for(seen, PATIENCE).await.unwrap();
}
