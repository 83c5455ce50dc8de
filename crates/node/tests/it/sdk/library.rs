//! `chainmesh-sdk` at the ports of real nodes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chainmesh_identity::certificate::files;
use chainmesh_sdk::{
    Bytes, CallError, Client, ClientConfig, ConnectError, DialError, Face, Kind, NodeUrl,
    PublishError, ReplyError, State, SubscribeError, Subscription, certificates,
};
use serde_json::json;

use super::client::Sdk3;
use super::{Two, port, status};
use crate::mesh::Consortium;
use crate::support::wait_until;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const FACES: [Face; 2] = [Face::Channel, Face::WebSocket];

impl Two {
    fn url(&self, node: usize, face: Face) -> NodeUrl {
        let kind = if face == Face::Channel { "channel" } else { "websocket" };
        let address: std::net::SocketAddr = port(&self.nodes[node], kind).parse().unwrap();
        NodeUrl::new(face, true, address.ip().to_string(), address.port())
    }

    fn config(&self, urls: impl IntoIterator<Item = NodeUrl>) -> ClientConfig {
        let mut config = ClientConfig::new(urls)
            .with_certificates(certificates::load(self.certificates()).unwrap());
        config.timeout = PATIENCE;
        config.reconnect.longest = Duration::from_millis(500);
        config.reconnect.base = Duration::from_millis(50);
        config
    }

    async fn client(&self, node: usize, face: Face) -> Client {
        Client::connect(self.config([self.url(node, face)])).await.unwrap()
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

/// Answers everything with an echo, until it is stopped; gives how much it was.
fn echo(mut subscription: Subscription) -> tokio::task::JoinHandle<usize> {
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(message) = subscription.next().await {
            let payload = message.payload().clone();
            message.reply(payload).await.unwrap();
            count += 1;
        }
        count
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_faces_publish_and_subscribe_across_nodes() {
    let two = Two::start();
    for from in FACES {
        for to in FACES {
            let topic = format!("news {from:?} {to:?}");
            let (publisher, subscriber) = (two.client(0, from).await, two.client(1, to).await);
            let code = if from == Face::Channel { 100 } else { 3001 };
            match soon(publisher.publish(&topic, "hello?")).await {
                Err(error @ PublishError::NoSubscriber { .. }) => {
                    assert_eq!(error.code(), Some(code));
                    // 2.x has one code for both.
                    assert_eq!(error.may_have_arrived(), code == 100);
                }
                other => panic!("{other:?}"),
            }
            let mut news = soon(subscriber.subscribe(&topic)).await.unwrap();
            let mut also = soon(subscriber.subscribe(&topic)).await.unwrap();
            two.followed(0, &topic, 1, 0);

            // One of the two subscriptions, in turn; 1 MiB there and back.
            let large = Bytes::from(vec![7; 1 << 20]);
            for subscription in [&mut also, &mut news] {
                let answered = soon(async {
                    let asking = publisher.publish(&topic, large.clone());
                    let answering = async {
                        let message = subscription.next().await.unwrap();
                        assert_eq!((message.topic(), message.kind()), (&*topic, Kind::Unicast));
                        let payload = message.payload().clone();
                        message.reply(payload).await.unwrap();
                    };
                    tokio::join!(asking, answering).0
                });
                assert_eq!(answered.await.unwrap().payload, large);
            }

            // Both of them; nobody answers.
            soon(publisher.multicast(&topic, "to all")).await.unwrap();
            for subscription in [&mut news, &mut also] {
                let message = soon(subscription.next()).await.unwrap();
                assert_eq!(
                    (&**message.payload(), message.kind()),
                    (&b"to all"[..], Kind::Multicast)
                );
                assert_eq!(message.reply("x").await, Err(ReplyError::Multicast));
            }

            // A message that is dropped is acknowledged.
            let (asked, message) = soon(async {
                tokio::join!(publisher.publish(&topic, "x"), async {
                    tokio::select! { got = news.next() => got, got = also.next() => got }.map(drop)
                })
            })
            .await;
            assert!(message.is_some());
            assert_eq!(asked.unwrap().payload, "");
            assert_eq!(subscriber.counters().received, 5);
            for client in [publisher, subscriber] {
                soon(client.close()).await;
            }
            assert!(soon(news.next()).await.is_none(), "it ends with its client");
        }
    }
    // They have said that they do not come back.
    assert_eq!(
        (
            status(&two.nodes[1])["gone"].as_u64(),
            status(&two.nodes[1])["topics"].as_array().unwrap().len()
        ),
        (Some(0), 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_over_both_faces() {
    let two = Two::start();
    for face in FACES {
        let client = two.client(0, face).await;
        let group = if face == Face::Channel { json!([1]) } else { json!(["group0", ""]) };
        assert!(soon(client.call("getBlockNumber", group.clone())).await.is_ok());
        match soon(client.call("sendTransaction", group)).await {
            Err(CallError::Refused { code: -32601, message }) => {
                assert!(message.contains("no ledger"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_unicasts_is_answered_whole_over_both_faces() {
    let two = Two::start();
    let subscriber = two.client(1, Face::Channel).await;
    let echoing = echo(soon(subscriber.subscribe("news")).await.unwrap());
    two.followed(0, "news", 1, 0);
    for face in FACES {
        let publisher = two.client(0, face).await;
        let all: Vec<_> = (0..3_000_u32)
            .map(|number| {
                let publisher = publisher.clone();
                tokio::spawn(async move {
                    publisher.publish("news", number.to_be_bytes().to_vec()).await.unwrap()
                })
            })
            .collect();
        for (number, answer) in all.into_iter().enumerate() {
            let number = u32::try_from(number).unwrap();
            assert_eq!(soon(answer).await.unwrap().payload, number.to_be_bytes()[..]);
        }
        let counters = publisher.counters();
        assert_eq!((counters.published, counters.late), (3_000, 0));
    }
    soon(subscriber.close()).await;
    assert_eq!(soon(echoing).await.unwrap(), 6_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_answered_goes_to_another_subscriber() {
    let two = Two::start();
    let publisher = two.client(0, Face::WebSocket).await;
    for (lazy, busy) in [(Face::Channel, Face::WebSocket), (Face::WebSocket, Face::Channel)] {
        let (no, yes) = (two.client(1, lazy).await, two.client(1, busy).await);
        let mut never = soon(no.subscribe("news")).await.unwrap();
        let taken = echo(soon(yes.subscribe("news")).await.unwrap());
        two.followed(0, "news", 1, 0);
        two.followed(1, "news", 0, 2);
        // Drawn at random: of 40 some go to the lazy one, or something is wrong.
        let all: Vec<_> = (0..40)
            .map(|_| {
                let publisher = publisher.clone();
                tokio::spawn(async move { publisher.publish("news", "x").await })
            })
            .collect();
        let came = || no.counters().received + yes.counters().received;
        wait_until("all have come", || (came() == 40).then_some(()));
        let lazily = no.counters().received;
        assert!(lazily > 1, "{lazily}");
        // One is looked at and passed on; the others were never looked at when it ends.
        soon(never.next()).await.unwrap().pass_on();
        soon(no.close()).await;
        for answer in all {
            assert_eq!(soon(answer).await.unwrap().unwrap().payload, "x");
        }
        soon(yes.close()).await;
        assert_eq!(soon(taken).await.unwrap(), 40);
        two.followed(0, "news", 0, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_subscription_leaves_its_topic() {
    let two = Two::start();
    for face in FACES {
        let client = two.client(1, face).await;
        let news = soon(client.subscribe("news")).await.unwrap();
        let again = soon(client.subscribe("news")).await.unwrap();
        let other = soon(client.subscribe("other")).await.unwrap();
        two.followed(0, "news", 1, 0);
        drop(news);
        drop(other);
        two.followed(0, "other", 0, 0);
        two.followed(0, "news", 1, 0);
        drop(again);
        two.followed(0, "news", 0, 0);
        // The connection lives as long as the client, and no longer.
        assert_eq!(status(&two.nodes[1])["sdks"].as_array().unwrap().len(), 1);
        drop(client);
        wait_until("it has hung up", || {
            status(&two.nodes[1])["sdks"].as_array().unwrap().is_empty().then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_again_is_found_and_the_topics_are_followed_again() {
    let mut two = Two::start();
    for face in FACES {
        let publisher = two.client(0, face).await;
        let subscriber = two.client(1, face).await;
        let mut news = soon(subscriber.subscribe("news")).await.unwrap();
        two.followed(0, "news", 1, 0);
        let ports = ["channel", "websocket"].map(|kind| port(&two.nodes[1], kind));
        let mut state = subscriber.state();
        two.nodes[1].kill();
        soon(state.wait_for(|state| matches!(state, State::Reconnecting { .. }))).await.unwrap();
        // What is said meanwhile waits for the connection.
        let waiting = tokio::spawn({
            let subscriber = subscriber.clone();
            async move { subscriber.multicast("other", "I am back").await }
        });
        let mut other = soon(publisher.subscribe("other")).await.unwrap();
        soon(state.wait_for(|state| matches!(state, State::Reconnecting { attempt: 3.., .. })))
            .await
            .unwrap();

        let [channel, websocket] = &ports;
        let flags = ["--sdk-channel", channel, "--sdk-websocket", websocket];
        two.nodes[1] = two.consortium.run_with(1, &[&two.nodes[0]], &flags);
        soon(state.wait_for(|state| matches!(state, State::Connected { .. }))).await.unwrap();
        two.followed(0, "news", 1, 0);
        two.followed(1, "other", 1, 0);
        soon(waiting).await.unwrap().unwrap();
        let (answer, message) = soon(async {
            tokio::join!(publisher.publish("news", "still there?"), async {
                news.next().await.unwrap().reply("yes").await
            })
        })
        .await;
        message.unwrap();
        assert_eq!(answer.unwrap().payload, "yes");
        assert_eq!(subscriber.counters().connections, 2);
        // Nobody need have got it: the mesh may not have been there yet.
        drop(other.try_next());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_url_is_taken_when_a_node_is_lost() {
    let mut two = Two::start();
    let urls = [two.url(0, Face::WebSocket), two.url(1, Face::Channel)];
    let config = two.config(urls.clone());
    let subscriber = Client::connect(config).await.unwrap();
    let mut news = soon(subscriber.subscribe("news")).await.unwrap();
    two.followed(1, "news", 1, 0);
    let mut state = subscriber.state();
    assert!(matches!(&*state.borrow_and_update(), State::Connected { url } if *url == urls[0]));
    two.nodes[0].kill();
    let moved = |state: &State| matches!(state, State::Connected { url } if *url == urls[1]);
    soon(state.wait_for(moved)).await.unwrap();
    two.followed(1, "news", 0, 1);
    let publisher = two.client(1, Face::WebSocket).await;
    let (answer, _) = soon(async {
        tokio::join!(publisher.publish("news", "x"), async {
            news.next().await.unwrap().reply("here").await.unwrap();
        })
    })
    .await;
    assert_eq!(answer.unwrap().payload, "here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_under_way_fails_and_says_that_it_may_have_arrived() {
    let mut two = Two::start();
    let (publisher, subscriber) =
        (two.client(0, Face::WebSocket).await, two.client(1, Face::WebSocket).await);
    let mut news = soon(subscriber.subscribe("news")).await.unwrap();
    two.followed(0, "news", 1, 0);
    let asking = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish("news", "x").await }
    });
    let message = soon(news.next()).await.unwrap();
    two.nodes[0].kill();
    match soon(asking).await.unwrap() {
        Err(error @ PublishError::ConnectionLost(_)) => assert!(error.may_have_arrived()),
        other => panic!("{other:?}"),
    }
    // And what comes over a connection is answered over the same one or not at all.
    let mut config = two.config([two.url(1, Face::Channel)]);
    config.timeout = Duration::from_millis(600);
    let impatient = Client::connect(config).await.unwrap();
    let (mut state, mut other) = (subscriber.state(), impatient.state());
    two.nodes[1].kill();
    for state in [&mut state, &mut other] {
        soon(state.wait_for(|state| matches!(state, State::Reconnecting { .. }))).await.unwrap();
    }
    assert_eq!(message.reply("late").await, Err(ReplyError::ConnectionLost));
    // Without a connection there is an error in time, which says why there is none.
    match soon(impatient.publish("news", "x")).await {
        Err(error @ PublishError::NotConnected(_)) => {
            assert!(!error.may_have_arrived());
            assert!(error.to_string().contains("nobody listens there"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(soon(impatient.subscribe("x")).await, Err(SubscribeError::Timeout(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_application_slows_its_own_connection_and_loses_nothing() {
    let two = Two::start();
    for face in FACES {
        let publisher = two.client(0, face).await;
        let mut config = two.config([two.url(1, face)]);
        (config.queue_messages, config.queue_bytes) = (4, 64 << 10);
        let subscriber = Client::connect(config).await.unwrap();
        let mut news = soon(subscriber.subscribe("news")).await.unwrap();
        two.followed(0, "news", 1, 0);
        // More than the queue of the client, less than that of the node.
        let sent = 200_u32;
        for number in 0..sent {
            let mut payload = vec![0; 10_000];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            soon(publisher.multicast("news", payload)).await.unwrap();
        }
        wait_until("it has stopped reading", || (subscriber.counters().pauses > 0).then_some(()));
        let held = subscriber.counters().received;
        assert!(held <= 6, "{held} messages are in memory");
        for number in 0..sent {
            let message = soon(news.next()).await.unwrap();
            assert_eq!(message.payload()[..4], number.to_be_bytes(), "in order, none is missing");
        }
        let counters = subscriber.counters();
        assert_eq!((counters.received, counters.connections), (sent.into(), 1));
    }
}

/// The directory of an application whose certificate is of another CA; it trusts ours.
fn stranger(two: &Two, trusts_ours: bool) -> (Consortium, Arc<certificates::TlsMaterial>) {
    let stranger = Consortium::make(0);
    stranger.issue("sdk");
    if trusts_ours {
        let (from, to) = (two.consortium.path("n0/ca.crt"), stranger.path("sdk/ca.crt"));
        std::fs::copy(from, to).unwrap();
    }
    let material = certificates::load(stranger.path("sdk")).unwrap();
    (stranger, material)
}

async fn refused(config: ClientConfig) -> DialError {
    match Client::connect(config).await {
        Err(ConnectError::Nodes(mut failures)) => failures.pop().unwrap().reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_certificate_is_named() {
    let two = Two::start();
    for face in FACES {
        for trusts_ours in [true, false] {
            let (_directory, material) = stranger(&two, trusts_ours);
            let mut config = two.config([two.url(0, face)]);
            config.certificates = Some(material);
            let reason = refused(config).await;
            assert!(matches!(reason, DialError::Tls(_)), "{face:?} {trusts_ours}: {reason:?}");
            let said = reason.to_string();
            let wanted = if trusts_ours { "the peer refused our certificate" } else { "CA" };
            assert!(said.contains(wanted), "{said}");
        }
        let mut config = two.config([two.url(0, face)]);
        config.certificates = None;
        assert!(matches!(refused(config).await, DialError::NoCertificates));
    }
    // What is no directory of certificates says so.
    let empty = crate::support::directory();
    let error = certificates::load(empty.path()).unwrap_err().to_string();
    assert!(error.contains("neither sdk.crt nor node.crt"), "{error}");
    // FISCO's names.
    let ours = two.certificates();
    for (from, to) in [("node.crt", "sdk.crt"), ("node.key", "sdk.key"), ("ca.crt", "ca.crt")] {
        std::fs::copy(ours.join(from), empty.path().join(to)).unwrap();
    }
    let mut config = two.config([two.url(0, Face::Channel)]);
    config.certificates = Some(certificates::load(empty.path()).unwrap());
    Client::connect(config).await.unwrap();
    assert!(files::read_certificates(Path::new(&empty.path().join("sdk.crt"))).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_port_of_a_node_is_named() {
    let two = Two::start();
    let (channel, websocket) = (two.url(0, Face::Channel), two.url(0, Face::WebSocket));
    let other = |face, tls, of: &NodeUrl| NodeUrl::new(face, tls, of.host(), of.port());
    for (url, wanted) in [
        (other(Face::WebSocket, true, &channel), "The channel port (2.x) is channel://"),
        (other(Face::Channel, true, &websocket), "The WebSocket port (3.x) is wss://"),
        (other(Face::WebSocket, false, &websocket), "wss://"),
        (other(Face::Channel, false, &channel), "channel://"),
    ] {
        let mut config = two.config([url.clone()]);
        config.connect_timeout = Duration::from_secs(20);
        let reason = refused(config).await.to_string();
        assert!(reason.contains(wanted), "{url}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_still_says_that_it_is_alive() {
    let two = Two::start();
    let publisher = two.client(0, Face::WebSocket).await;
    let mut config = two.config([two.url(1, Face::WebSocket)]);
    config.queue_messages = 1;
    let slow = Client::connect(config).await.unwrap();
    let mut news = soon(slow.subscribe("news")).await.unwrap();
    two.followed(0, "news", 1, 0);
    for number in 0..5_u8 {
        soon(publisher.multicast("news", vec![number])).await.unwrap();
    }
    wait_until("it has stopped reading", || (slow.counters().pauses > 0).then_some(()));
    // Another one that does not read and says nothing is cut by the node, after 10 s of silence.
    let certificates = two.certificates();
    let silent = Sdk3::connect(&port(&two.nodes[1], "websocket"), Some(&certificates));
    let sdks = || status(&two.nodes[1])["sdks"].as_array().unwrap().len();
    assert_eq!(sdks(), 2);
    wait_until("the silent one is cut", || (sdks() == 1).then_some(()));
    for number in 0..5 {
        assert_eq!(soon(news.next()).await.unwrap().payload()[..], [number]);
    }
    assert_eq!(slow.counters().connections, 1);
    drop(silent);
}
