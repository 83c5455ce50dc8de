//! `chainmesh doctor tls`, against listeners in this process.
//!
//! The rows are those of the matrix of faults: 29 (ten kinds of bad certificate), 30 (revoked) and
//! 32 (another peer than the one that was meant).

mod certificates;
mod listener;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use chainmesh_identity::certificate::{
    Authority, RevokedCertificate, ShortId, ValidityPeriod, files,
};
use chainmesh_identity::tls::{ListPolicy, StaleListPolicy, Trust, Versions};
use serde_json::Value;
use tempfile::TempDir;

use self::certificates::{CA, DAY, MINUTE, Shown, changed, node, now};
use self::listener::{Listener, Server};
use crate::support::{chainmesh, directory, fails, succeeds, text};

/// What FISCO BCOS 3.x says first: a Heartbeat and a Handshake (vectors of the wire description).
const FISCO_3: &[u8] = &[
    0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, //
    0, 0, 0, 19, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0x10, 0x01, 0x2c, 0x30, 0x03,
];
/// What 2.x says first: its topic seq, 0.
const FISCO_2: &[u8] = &[0, 0, 0, 17, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, b'0'];

/// A chain CA, and a node n2 of it with its files in a directory.
struct Lab {
    dir: TempDir,
    authority: Authority,
    us: Shown,
}

/// What the command said.
#[derive(Debug)]
struct Said {
    code: i32,
    json: Value,
    text: String,
}

impl Said {
    fn verdict(&self) -> &str {
        self.json["verdict"].as_str().unwrap()
    }

    fn sentence(&self) -> &str {
        self.json["text"].as_str().unwrap()
    }
}

impl Lab {
    fn new() -> Self {
        let (dir, authority) = (directory(), certificates::authority("lab", 1));
        let us = node(&authority, 2);
        us.write(&dir.path().join("us"), authority.certificate());
        Self { dir, authority, us }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn trust(&self) -> Trust {
        Trust::new(&[self.authority.certificate().clone()]).unwrap()
    }

    /// A node that shows `shown`, accepts nodes of the CA, and speaks as FISCO's do.
    fn server(&self, shown: &Shown) -> Server {
        Server { words: FISCO_3, ..Server::new(&self.us, self.trust(), shown) }
    }

    /// One with nothing wrong.
    fn good_server(&self) -> Server {
        self.server(&node(&self.authority, 3))
    }

    /// As `chainmesh doctor tls` of the node in `us`.
    fn ask(&self, listener: &Listener, more: &[&str]) -> Said {
        let us = text(&self.path("us"));
        ask(listener, &[&["--data-dir", &us], more].concat())
    }

    /// As a node that shows `shown`.
    fn ask_as(&self, shown: &Shown, listener: &Listener) -> Said {
        let dir = self.path("other");
        shown.write(&dir, self.authority.certificate());
        ask(listener, &["--data-dir", &text(&dir)])
    }
}

/// Runs the command twice, for people and for scripts; both must come to the same.
fn ask(listener: &Listener, arguments: &[&str]) -> Said {
    let peer = listener.address.to_string();
    let arguments = [&["doctor", "tls", &peer], arguments].concat();
    let done = chainmesh(&[&arguments[..], &["--json"]].concat());
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    let code = done.status.code().unwrap();
    assert_eq!(json["ok"], code == 0, "{json}");
    let output = chainmesh(&arguments);
    assert_eq!(output.status.code(), Some(code));
    let text = String::from_utf8(output.stdout).unwrap();
    if code != 0 {
        let error = String::from_utf8(output.stderr).unwrap();
        let verdict = json["verdict"].as_str().unwrap();
        assert_eq!(error, format!("error: no session with {peer} ({verdict})\n"));
    }
    assert!(text.contains(if code == 0 { "\nOK " } else { "\nFAILED " }), "{text}");
    Said { code, json, text }
}

#[test]
fn two_nodes_of_one_chain_are_well() {
    let lab = Lab::new();
    let server = Server { protocols: vec![b"chainmesh/1".to_vec()], ..lab.good_server() };
    let said = lab.ask(&Listener::tls(server), &[]);
    assert_eq!((said.verdict(), said.code), ("ok", 0));
    let id = certificates::key(3).peer_id();
    assert_eq!(said.json["id"], id.to_string());
    assert_eq!(said.json["longId"], format!("04{id}"));
    assert_eq!(said.json["shortId"], ShortId::from(id).to_string());
    assert_eq!(said.json["tls"]["version"], "TLS 1.3");
    assert_eq!(said.json["speaks"], "chainmesh");
    assert_eq!(said.json["itShows"][0]["daysLeft"], 90);
    for shown in [CA, "secp256k1, as ours", "TLS 1.3", "chainmesh/1: a chainmesh node"] {
        assert!(said.text.contains(shown), "{shown}: {}", said.text);
    }
    let labels = said.text.lines().filter(|line| !line.starts_with("its "));
    let long = labels.clone().find(|line| line.chars().count() > 100);
    assert_eq!(long, None);
}

#[test]
fn what_is_spoken_inside_is_told() {
    let lab = Lab::new();
    for (words, versions, speaks) in [
        (FISCO_3, Versions::Tls12, "fisco3"),
        (FISCO_2, Versions::Tls12, "fisco2"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Versions::Both, "unknown"),
        (b"", Versions::Tls12, "nothing"),
    ] {
        let server = Server { words, versions, ..lab.good_server() };
        let said = lab.ask(&Listener::tls(server), &[]);
        assert_eq!((said.verdict(), said.json["speaks"].as_str()), ("ok", Some(speaks)));
        if speaks == "fisco3" {
            assert_eq!(said.json["packetVersions"], serde_json::json!([0, 3]));
            assert!(said.text.contains("packet versions 0 to 3"), "{}", said.text);
        }
    }
}

/// The ten of row 29, as the peer shows them (and, the tenth, as we show nothing).
fn ten_bad_ones(lab: &Lab) -> Vec<(&'static str, Said)> {
    let past = ValidityPeriod { not_before: now() - 90 * DAY, not_after: now() - 9 * DAY };
    let future = ValidityPeriod { not_before: now() + 9 * DAY, not_after: now() + 90 * DAY };
    let ca = Shown { chain: vec![lab.authority.certificate().clone()], key: certificates::key(1) };
    let mismatched = Shown { key: certificates::key(44), ..node(&lab.authority, 43) };
    let shown = [
        ("unknown_ca", node(&certificates::authority("elsewhere", 30), 31)),
        ("self_signed", certificates::self_signed()),
        ("expired", changed(|draft| draft.validity = past)),
        ("not_yet_valid", changed(|draft| draft.validity = future)),
        ("wrong_usage", changed(certificates::Draft::for_code_signing)),
        ("ca_as_node", ca),
        ("key_mismatch", mismatched),
        ("weak_rsa", changed(certificates::Draft::with_short_rsa_key)),
        ("old_version", changed(|draft| draft.extensions = None)),
    ];
    let mut all: Vec<_> = shown
        .into_iter()
        .map(|(verdict, shown)| (verdict, lab.ask(&Listener::tls(lab.server(&shown)), &[])))
        .collect();
    let trusted = text(&lab.path("us/ca.crt"));
    let listener = Listener::tls(lab.good_server());
    all.push(("certificate_wanted", ask(&listener, &["--ca", &trusted])));
    all
}

#[test]
fn row_29_ten_bad_certificates_have_ten_verdicts() {
    let lab = Lab::new();
    let all = ten_bad_ones(&lab);
    for (verdict, said) in &all {
        assert_eq!(said.verdict(), *verdict, "{said:?}");
        let refused_by = if *verdict == "certificate_wanted" { "peer" } else { "us" };
        assert_eq!(said.json["refusedBy"], refused_by, "{said:?}");
        assert_eq!(said.json["peerSaysOfUs"], Value::Null, "{said:?}");
        // Which certificate, by whom.
        let peer = &said.json["itShows"][0];
        let names = [peer["subject"].as_str(), peer["issuer"].as_str()];
        for name in names.into_iter().flatten() {
            assert!(said.text.contains(name), "{name}: {}", said.text);
        }
        assert!(!names.contains(&None), "{said:?}");
    }
    let sentences: BTreeSet<_> = all.iter().map(|(_, said)| said.sentence()).collect();
    let advice: BTreeSet<_> = all.iter().map(|(_, said)| said.json["next"].as_str()).collect();
    assert_eq!((sentences.len(), advice.len()), (10, 10));
    let said = |verdict| all.iter().find(|(label, _)| *label == verdict).unwrap().1.text.as_str();
    assert!(said("unknown_ca").contains("CN=elsewhere,OU=chain,O=chainmesh"));
    assert!(said("expired").contains("(9 days ago)"), "{}", said("expired"));
    assert!(said("weak_rsa").contains("key RSA-1024, ours is secp256k1"), "{}", said("weak_rsa"));
    assert!(said("old_version").contains("X.509 v1"));
}

#[test]
fn row_29_what_the_peer_refuses_is_seen_here_too() {
    let lab = Lab::new();
    let past = ValidityPeriod { not_before: now() - 90 * DAY, not_after: now() - 9 * DAY };
    for versions in [Versions::Tls12, Versions::Tls13] {
        let listener = Listener::tls(Server { versions, ..lab.good_server() });
        let elsewhere = node(&certificates::authority("elsewhere", 30), 31);
        for (shown, verdict, fault) in [
            (elsewhere, "peer_says_unknown_ca", "CN=elsewhere,OU=chain,O=chainmesh"),
            (changed(|draft| draft.validity = past), "peer_says_expired", "expired at"),
            (
                changed(certificates::Draft::for_code_signing),
                "peer_says_unsupported_certificate",
                "extended key usage",
            ),
        ] {
            let said = lab.ask_as(&shown, &listener);
            assert_eq!((said.verdict(), said.code), (verdict, 1), "{said:?}");
            assert_eq!(said.json["refusedBy"], "peer");
            assert!(said.sentence().contains("we see the same fault"), "{said:?}");
            assert!(said.sentence().contains(fault), "{said:?}");
        }
    }
}

#[test]
fn certificates_that_we_should_not_show_are_told_before_anything_is_sent() {
    let lab = Lab::new();
    let us = |name: &str| text(&lab.path("us").join(name));
    let (ca, key) = (us("ca.crt"), us("node.key"));
    for (certificate, said) in [(ca.as_str(), "is a CA's"), (key.as_str(), "no certificate")] {
        let error =
            fails(1, &["doctor", "tls", "127.0.0.1:1", "--cert", certificate, "--key", &key]);
        assert!(error.contains(said), "{error}");
    }
    node(&lab.authority, 3).write(&lab.path("n3"), lab.authority.certificate());
    let (other, certificate) = (text(&lab.path("n3/node.key")), us("node.crt"));
    let error =
        fails(1, &["doctor", "tls", "127.0.0.1:1", "--cert", &certificate, "--key", &other]);
    assert!(error.contains("another key"), "{error}");
    let error = fails(1, &["doctor", "tls", "127.0.0.1:1", "--data-dir", &text(lab.dir.path())]);
    assert!(error.contains("ca.crt"), "{error}");
}

#[test]
fn row_30_a_revoked_peer_is_refused_with_its_ca_and_we_are_told_when_we_are() {
    let lab = Lab::new();
    let bad = changed(|_| {});
    let entry = RevokedCertificate { serial: vec![0x42, 1, 2, 3], date: now() - 60 };
    let validity = certificates::around_now(DAY, 90 * DAY);
    let list = lab.authority.revocation_list(1, validity, &[entry]).unwrap();
    let file = lab.path("ca.crl");
    std::fs::write(&file, files::revocation_list_to_pem(&list).unwrap()).unwrap();

    let listener = Listener::tls(lab.server(&bad));
    assert_eq!(lab.ask(&listener, &[]).verdict(), "ok");
    let said = lab.ask(&listener, &["--crl", &text(&file)]);
    assert_eq!((said.verdict(), said.code), ("revoked", 1));
    assert!(said.sentence().contains(&format!("was revoked by {CA}")), "{said:?}");

    let trust = lab.trust().with_revocation_lists(&[list], StaleListPolicy::default()).unwrap();
    let strict = Server::new(&lab.us, trust, &node(&lab.authority, 3));
    let said = lab.ask_as(&bad, &Listener::tls(strict));
    assert_eq!((said.verdict(), said.code), ("peer_says_revoked", 1));
}

#[test]
fn row_32_another_peer_than_the_one_meant_is_refused() {
    let lab = Lab::new();
    let listener = Listener::tls(lab.good_server());
    let there = certificates::key(3).peer_id();
    let meant = certificates::key(4).peer_id();
    for expected in [there.to_string(), ShortId::from(there).to_string(), format!("04{there}")] {
        assert_eq!(lab.ask(&listener, &["--expect", &expected]).verdict(), "ok");
    }
    let said = lab.ask(&listener, &["--expect", &meant.to_string()]);
    assert_eq!((said.verdict(), said.code), ("unexpected_identity", 1));
    for id in [meant, there] {
        assert!(said.sentence().contains(&ShortId::from(id).to_string()), "{said:?}");
    }
    assert_eq!(said.json["id"], there.to_string());
}

#[test]
fn a_peer_that_has_our_id_on_its_deny_list_says_so() {
    let lab = Lab::new();
    let denied = [lab.us.key.peer_id().into()].into();
    let trust = lab.trust().with_policy(ListPolicy { allowed: None, denied });
    let server = Server::new(&lab.us, trust, &node(&lab.authority, 3));
    let said = lab.ask(&Listener::tls(server), &[]);
    assert_eq!(
        (said.verdict(), said.json["refusedBy"].as_str()),
        ("peer_says_access_denied", Some("peer"))
    );
}

#[test]
fn both_refusals_are_told() {
    let lab = Lab::new();
    let elsewhere = certificates::authority("elsewhere", 30);
    let trust = Trust::new(&[elsewhere.certificate().clone()]).unwrap();
    let peer = node(&elsewhere, 31);
    let said = lab.ask(&Listener::tls(Server::new(&peer, trust, &peer)), &[]);
    assert_eq!(said.verdict(), "unknown_ca");
    assert_eq!(said.json["peerSaysOfUs"], "peer_says_unknown_ca");
    assert!(said.text.contains("The refusal is mutual."), "{}", said.text);
}

#[test]
fn a_date_missed_by_minutes_is_about_a_clock() {
    let lab = Lab::new();
    let early = || ValidityPeriod { not_before: now() + 10 * MINUTE, not_after: now() + DAY };
    let listener = Listener::tls(lab.server(&changed(|draft| draft.validity = early())));
    let said = lab.ask(&listener, &[]);
    assert_eq!(said.verdict(), "not_yet_valid");
    assert!(said.sentence().contains("either the clock of this machine is wrong"), "{said:?}");
    assert!(said.json["next"].as_str().unwrap().contains("date -u"), "{said:?}");

    // Ours begins in ten minutes too: then it is our clock.
    let said = lab.ask_as(&certificates::valid_during(early()), &listener);
    assert_eq!(said.verdict(), "not_yet_valid");
    assert!(said.sentence().contains("the clock of this machine is wrong."), "{said:?}");
}

#[test]
fn the_same_key_at_both_ends_is_ourselves() {
    let lab = Lab::new();
    let said = lab.ask(&Listener::tls(lab.server(&lab.us)), &[]);
    assert_eq!((said.verdict(), said.code), ("ourselves", 1));
}

#[test]
fn a_peer_that_closes_after_the_handshake_is_told_from_one_that_stays() {
    let lab = Lab::new();
    for versions in [Versions::Tls12, Versions::Tls13] {
        let server = Server { words: b"", hang_up: true, versions, ..lab.good_server() };
        let said = lab.ask(&Listener::tls(server), &[]);
        assert_eq!((said.verdict(), said.code), ("closed_after_handshake", 1), "{said:?}");
    }
}

#[test]
fn what_is_no_tls_has_its_own_words() {
    let http = Listener::new(|mut stream| {
        let mut request = [0; 4096];
        if stream.read(&mut request).is_ok_and(|length| length > 0) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    // Answers only what it understands, as some servers of HTTP do.
    let slow_http = Listener::new(|mut stream| {
        let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            request.extend_from_slice(&chunk[..length]);
            if request.ends_with(b"\r\n\r\n") {
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
                return;
            }
        }
    });
    let other = Listener::new(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-dropbear\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let rude = Listener::new(|stream| {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let mute = Listener::new(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let impatient = ["--timeout", "1"];
    for (listener, verdict, words) in [
        (http, "plain_http", "plain HTTP"),
        (slow_http, "plain_http", "plain HTTP"),
        (other, "not_tls", "\"SSH-2.0-dropbear\""),
        (rude, "hung_up", "hung up on our first TLS message"),
        (mute, "mute", "nothing answered our first TLS message within 1.0 s"),
    ] {
        let said = ask(&listener, &impatient);
        assert_eq!((said.verdict(), said.code), (verdict, 1), "{said:?}");
        assert!(said.sentence().contains(words), "{said:?}");
    }
}

#[test]
fn a_handshake_that_breaks_off_is_told_by_how_it_does() {
    // A handshake message of 70 bytes of which 4 come, and what follows.
    const BEGINNING: &[u8] = &[22, 3, 3, 0, 74, 2, 0, 0, 70];
    const HANDSHAKE_FAILURE: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
    const PROTOCOL_VERSION: &[u8] = &[21, 3, 3, 0, 2, 2, 70];
    const INTERNAL_ERROR: &[u8] = &[21, 3, 3, 0, 2, 2, 80];
    for (bytes, stays, verdict, words) in [
        (BEGINNING, true, "stalled", "kept the connection open"),
        (BEGINNING, false, "closed_in_handshake", "did not say why"),
        (HANDSHAKE_FAILURE, true, "nothing_in_common", "nothing in common"),
        (PROTOCOL_VERSION, true, "nothing_in_common", "we speak TLS 1.2 and 1.3"),
        (INTERNAL_ERROR, true, "broken_tls", "InternalError"),
    ] {
        let listener = Listener::new(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
            if stays {
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        let said = ask(&listener, &["--timeout", "1"]);
        assert_eq!((said.verdict(), said.code), (verdict, 1), "{said:?}");
        assert!(said.sentence().contains(words), "{said:?}");
    }
}

#[test]
fn a_server_that_does_not_ask_who_we_are_is_no_node() {
    let lab = Lab::new();
    let server = Server { asks: false, ..lab.good_server() };
    let said = lab.ask(&Listener::tls(server), &[]);
    assert_eq!((said.verdict(), said.code), ("not_mutual", 1));
}

#[test]
fn the_rlpx_port_of_a_node_hangs_up() {
    use crate::support::{Blocks, Process};
    let (dir, blocks) = (directory(), Blocks::make(1, 0));
    let node = Process::run(&dir.path().join("node"), &["--genesis", &blocks.genesis()]);
    let (_, address) = node.enode.rsplit_once('@').unwrap();
    let output = chainmesh(&["doctor", "tls", address, "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["verdict"], "hung_up", "{said}");
    assert!(said["text"].as_str().unwrap().contains("RLPx"), "{said}");
}

#[test]
fn without_a_connection_the_cause_is_told() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (peer, verdict) in [
        (closed.to_string(), "tcp_refused"),
        ("no-such-host.invalid:30300".to_owned(), "unknown_host"),
    ] {
        let output = chainmesh(&["doctor", "tls", &peer, "--json"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["verdict"], verdict, "{said}");
        let error = fails(1, &["doctor", "tls", &peer]);
        assert!(error.contains(&format!("no session with {peer} ({verdict})")), "{error}");
    }
}

#[test]
fn the_help_has_examples() {
    let help = succeeds(&["doctor", "tls", "--help"]);
    assert!(help.contains("  chainmesh doctor tls 10.0.0.2:30300 --data-dir ./n0"), "{help}");
    let examples = help.split("\nExamples:").nth(1).unwrap();
    assert_eq!(examples.lines().find(|line| line.chars().count() > 80), None);
}

#[test]
fn bad_addresses_are_usage_errors() {
    for (peer, said) in [
        ("10.0.0.1", "the port is missing"),
        ("10.0.0.1:0", "1 to 65535"),
        ("10.0.0.1:x", "1 to 65535"),
        ("::1:30300", "in brackets"),
        (":30300", "the host is missing"),
    ] {
        let error = fails(2, &["doctor", "tls", peer]);
        assert!(error.contains(said), "{peer}: {error}");
    }
    fails(2, &["doctor", "tls", "10.0.0.1:1", "--cert", "x"]);
    fails(2, &["doctor", "tls", "10.0.0.1:1", "--expect", "abc"]);
}
