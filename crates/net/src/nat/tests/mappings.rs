//! Against a gateway on loopback.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use chainmesh_identity::NodeKey;

use super::fake::{Entry, FakeGateway, LEASE_SECONDS, LOOPBACK};
use super::*;
use crate::discovery::{self, DiscoveryOptions};
use crate::nat::gateway::{Gateway, GatewayError, Search, Transport};
use crate::nat::keeper::Keeper;
use crate::nat::pmp::{PmpError, read_answer};
use crate::nat::route::in_routes;

/// What the gateway says is its address.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(4, 3, 2, 1);
const PORTS: NatPorts = NatPorts { address: LOOPBACK, tcp: Some(40_001), udp: Some(40_002) };

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

const BOTH: [NatChoice; 2] = [NatChoice::Upnp, NatChoice::Pmp(Some(LOOPBACK))];

#[tokio::test]
async fn ports_are_mapped_discovery_is_told_and_at_the_end_they_are_taken_back() {
    for choice in BOTH {
        let fake = FakeGateway::start(OUTSIDE).await;
        fake.state.lock().unwrap().taken.push(40_002);
        let key = NodeKey::from_entropy([9; 32]);
        let any = SocketAddr::new(LOOPBACK, 0);
        let node =
            discovery::start(key, any, 40_001, DiscoveryOptions::default(), |_| {}).await.unwrap();
        let (running, ended) = watch::channel(());
        let keeper = Keeper::new(choice, PORTS, fake.search.clone(), Some(node.clone()));
        let task = tokio::spawn(keeper.run(ended));
        until("both are mapped", || fake.state.lock().unwrap().mappings.len() == 2).await;
        let mapped = fake.state.lock().unwrap().mappings.clone();
        let internal = |port| SocketAddr::new(LOOPBACK, port);
        let entry = |port| Entry { internal: internal(port), lease: LEASE_SECONDS, times: 1 };
        assert_eq!(mapped.get(&("TCP", 40_001)), Some(&entry(40_001)), "{choice}: {mapped:?}");
        // Somebody else has the port with our number: another one will do.
        let [udp] = mapped.keys().filter(|(p, _)| *p == "UDP").copied().collect::<Vec<_>>()[..]
        else {
            panic!("{mapped:?}")
        };
        assert_ne!(udp.1, 40_002);
        assert_eq!(mapped[&udp].internal, internal(40_002));
        let wanted = Some(std::net::SocketAddrV4::new(OUTSIDE, udp.1));
        let mut record = None;
        for _ in 0..2000 {
            record = node.snapshot().await.unwrap().record;
            if record.as_ref().and_then(|record| record.udp4_socket()) == wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let record = record.expect("a record");
        assert_eq!((record.udp4_socket(), record.tcp4()), (wanted, Some(40_001)), "{choice}");
        drop(running);
        task.await.unwrap();
        let state = fake.state.lock().unwrap();
        assert!(state.mappings.is_empty(), "{choice}: {:?}", state.mappings);
        assert_eq!(state.removed.len(), 2, "{choice}");
    }
}

#[tokio::test]
async fn a_mapping_is_renewed_under_its_port() {
    for choice in BOTH {
        let fake = FakeGateway::start(OUTSIDE).await;
        let gateway = Gateway::find(choice, &fake.search).await.unwrap();
        let local = SocketAddr::new(LOOPBACK, 40_001);
        for times in 1..=3 {
            let port = gateway.map(Transport::Udp, local, 40_001).await.unwrap();
            assert_eq!(port, 40_001);
            assert_eq!(fake.state.lock().unwrap().mappings[&("UDP", 40_001)].times, times);
        }
        gateway.unmap(Transport::Udp, 40_001, 40_001).await.unwrap();
        assert!(fake.state.lock().unwrap().mappings.is_empty());
    }
}

#[tokio::test]
async fn a_gateway_that_knows_no_leases_gets_a_mapping_that_does_not_end() {
    let fake = FakeGateway::start(OUTSIDE).await;
    fake.state.lock().unwrap().permanent_only = true;
    let gateway = Gateway::find(NatChoice::Upnp, &fake.search).await.unwrap();
    let local = SocketAddr::new(LOOPBACK, 40_001);
    assert_eq!(gateway.map(Transport::Tcp, local, 40_001).await.unwrap(), 40_001);
    assert_eq!(fake.state.lock().unwrap().mappings[&("TCP", 40_001)].lease, 0);
}

#[tokio::test]
async fn a_refusal_is_an_error_that_says_so() {
    let fake = FakeGateway::start(OUTSIDE).await;
    let local = SocketAddr::new(LOOPBACK, 40_001);
    for choice in BOTH {
        fake.state.lock().unwrap().refuses = false;
        let gateway = Gateway::find(choice, &fake.search).await.unwrap();
        fake.state.lock().unwrap().refuses = true;
        let error = gateway.map(Transport::Tcp, local, 40_001).await.unwrap_err();
        assert!(
            matches!(error, GatewayError::Map(_) | GatewayError::Pmp(PmpError::NotAllowed)),
            "{choice}: {error}"
        );
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_and_not_a_wait_for_ever() {
    let silent = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let search = Search {
        ssdp: silent.local_addr().unwrap(),
        pmp_port: silent.local_addr().unwrap().port(),
        timeout: Duration::from_millis(300),
        ..Search::default()
    };
    for choice in BOTH {
        assert!(Gateway::find(choice, &search).await.is_err(), "{choice}");
    }
}

#[tokio::test]
async fn a_gateway_behind_another_is_not_believed_to_be_outside() {
    let fake = FakeGateway::start(Ipv4Addr::new(192, 168, 0, 2)).await;
    let (running, ended) = watch::channel(());
    let keeper = Keeper::new(NatChoice::Upnp, PORTS, fake.search.clone(), None);
    let task = tokio::spawn(keeper.run(ended));
    until("it was asked for its address", || fake.state.lock().unwrap().asked > 0).await;
    drop(running);
    task.await.unwrap();
    assert!(fake.state.lock().unwrap().mappings.is_empty());
}

#[test]
fn the_gateway_is_that_of_the_default_route_with_the_least_metric() {
    let hex = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
    let line = |gateway, metric, to: &str, mask: &str| {
        format!("eth0\t{to}\t{}\t0003\t0\t0\t{metric}\t{mask}\t0\t0\t0", hex(gateway))
    };
    let routes = [
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT"
            .to_owned(),
        line([10, 0, 0, 9], 1, "0000000A", "000000FF"),
        line([10, 0, 0, 1], 200, "00000000", "00000000"),
        line([10, 0, 0, 2], 100, "00000000", "00000000"),
        line([0, 0, 0, 0], 1, "00000000", "00000000"),
    ];
    assert_eq!(in_routes(&routes.join("\n")), Some(Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(in_routes(&routes[..2].join("\n")), None);
    assert_eq!(in_routes("rubbish\nrubbish"), None);
}

#[test]
fn answers_of_nat_pmp_are_read_as_the_rfc_has_them() {
    let ok = [0, 128, 0, 0, 0, 0, 0, 9, 4, 3, 2, 1];
    assert!(matches!(read_answer(0, &ok), Some(Ok([4, 3, 2, 1]))));
    assert!(read_answer(1, &ok).is_none(), "the answer to another question");
    assert!(matches!(read_answer(0, &[1, 128, 0, 0]), Some(Err(PmpError::Version))));
    assert!(matches!(read_answer(0, &[0, 128, 0, 4, 0, 0, 0, 0]), Some(Err(PmpError::NoRoom))));
    assert!(matches!(read_answer(0, &[0, 128, 9, 9]), Some(Err(PmpError::Refused(0x0909)))));
    for cut in [&[][..], &[0], &[0, 128], &[0, 128, 0], &ok[..7]] {
        assert!(matches!(read_answer(0, cut), Some(Err(PmpError::Malformed))), "{cut:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_answer_of_a_gateway_panics(operation in 0u8..3, answer in proptest::collection::vec(0u8.., 0..64)) {
        if let Some(Ok(rest)) = read_answer(operation, &answer) {
            proptest::prop_assert_eq!(rest, &answer[8..]);
            proptest::prop_assert_eq!(&answer[..4], &[0, 128 + operation, 0, 0]);
        }
    }

    #[test]
    fn no_table_of_routes_panics(routes in "[ -~\t\n]{0,200}", fields in proptest::collection::vec("[0-9A-F\t]{0,12}", 0..12)) {
        let _ = in_routes(&routes);
        let _ = in_routes(&format!("head\neth0\t{}", fields.join("\t")));
    }
}
