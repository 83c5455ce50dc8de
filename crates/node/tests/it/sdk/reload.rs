//! Certificates and lists of the ports that change while a node runs.

use std::path::{Path, PathBuf};

use chainmesh_identity::tls::Versions;
use chainmesh_node::consortium::CertificateFiles;

use super::client::{Sdk2, Sdk3};
use super::{PORTS, port};
use crate::mesh::Consortium;
use crate::support::{Process, fails, succeeds, text, wait_until};

/// The ID of whoever has the certificate in a directory.
fn id_in(directory: &Path) -> String {
    let loaded = CertificateFiles::of_directory(directory).load().unwrap();
    loaded.credentials.identity().name().to_string()
}

fn hang_up(node: &Process) {
    let process = i32::try_from(node.id()).unwrap();
    // SAFETY: kill takes no pointers; the process is our child, and has not been waited for.
    assert_eq!(unsafe { libc::kill(process, libc::SIGHUP) }, 0);
}

/// A node whose ports have certificates of another CA than the node's.
struct Ports {
    consortium: Consortium,
    /// Has the CA of the ports.
    theirs: Consortium,
    node: Process,
}

impl Ports {
    fn start(days: &str) -> Self {
        let (consortium, theirs) = (Consortium::make(1), Consortium::make(0));
        let (ca, out) = (theirs.path("ca"), theirs.path("ports"));
        let port = ["ca", "issue", "--ca", &ca, "--name", "ports", "--out", &out, "--days", days];
        succeeds(&port);
        ["good", "bad"].into_iter().for_each(|name| theirs.issue(name));
        let node = consortium.run_with(0, &[], &[&PORTS[..], &["--sdk-cert-dir", &out]].concat());
        Self { consortium, theirs, node }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.theirs.path(name).into()
    }

    fn sdk2(&self, name: &str) -> Sdk2 {
        let address = port(&self.node, "channel");
        let mut sdk = Sdk2::connect(&address, &self.path(name), Versions::Tls12);
        sdk.hello();
        sdk
    }

    fn is_refused(&self, name: &str) -> bool {
        let address = port(&self.node, "channel");
        Sdk2::try_connect(&address, &self.path(name), Versions::Tls12).is_err()
    }

    fn reload(&self) -> [String; 4] {
        let data = text(&self.consortium.data(0));
        ["mesh".to_owned(), "--data-dir".to_owned(), data, "--reload".to_owned()]
    }
}

fn run(arguments: &[String; 4]) -> String {
    succeeds(&arguments.each_ref().map(String::as_str))
}

#[test]
fn the_ports_take_a_new_certificate_and_clients_stay() {
    let ports = Ports::start("5");
    ports.node.says("our certificate for SDKs ends in ");
    let mut sdk = ports.sdk2("good");
    let before = sdk.certificate();
    let (ca, out) = (ports.theirs.path("ca"), ports.theirs.path("ports"));
    let key = format!("{out}/node.key");
    // Found by the watch, without a word.
    succeeds(&["ca", "issue", "--ca", &ca, "--name", "ports", "--out", &out, "--key", &key]);
    ports.node.says("reloaded: for SDKs: new certificate ");
    assert_ne!(ports.sdk2("good").certificate(), before, "what new clients see");
    // Another key is no other node here: clients look at the CA only.
    for file in ["node.crt", "node.key"] {
        std::fs::remove_file(format!("{out}/{file}")).unwrap();
    }
    succeeds(&["ca", "issue", "--ca", &ca, "--name", "ports", "--out", &out]);
    wait_until("the other key is there", || {
        let changes = ports.node.log().matches("reloaded: for SDKs: new certificate ").count();
        (changes == 2).then_some(())
    });
    drop(ports.sdk2("good"));
    sdk.beat();
    // What cannot be read changes nothing.
    std::fs::write(format!("{out}/ca.crt"), "no certificate").unwrap();
    let reload = ports.reload();
    let error = fails(1, &reload.each_ref().map(String::as_str));
    assert!(error.contains("ports/ca.crt") && error.contains("stays as it was"), "{error}");
    drop(ports.sdk2("good"));
    sdk.beat();
}

#[test]
fn a_client_that_is_denied_or_revoked_goes_and_the_others_stay() {
    let ports = Ports::start("30");
    let websocket = port(&ports.node, "websocket");
    let mut good = ports.sdk2("good");
    let (mut old, mut new) =
        (ports.sdk2("bad"), Sdk3::connect(&websocket, Some(&ports.path("bad"))));
    let deny = ports.path("ports/deny.list");
    std::fs::write(&deny, id_in(&ports.path("bad"))).unwrap();
    hang_up(&ports.node);
    assert!(old.try_receive().is_none());
    let (code, reason) = new.closed();
    assert_eq!(code, 1008);
    assert!(reason.starts_with("it would be refused now: "), "{reason}");
    ports.node.says("reloaded: for SDKs: denied: 1 ID, before: 0 IDs");
    ports.node.says("an SDK was cut off: it would be refused now: ");
    assert!(ports.is_refused("bad"));
    ports.node.says("an SDK was not let in: ");
    good.beat();

    std::fs::remove_file(&deny).unwrap();
    let said = run(&ports.reload());
    // The watch may have been faster.
    assert!(said.contains("for SDKs: denied: 0 IDs") || said.starts_with("Nothing"), "{said}");
    let mut old = ports.sdk2("bad");

    let (ca, out) = (ports.theirs.path("ca"), ports.theirs.path("ports"));
    succeeds(&["ca", "revoke", "bad", "--ca", &ca]);
    succeeds(&["ca", "export", "ports", "--ca", &ca, "--out", &out]);
    run(&ports.reload());
    assert!(old.try_receive().is_none());
    ports.node.says("reloaded: for SDKs: certificates that are revoked: 1, before: 0");
    assert!(ports.is_refused("bad"));
    good.beat();
}

/// Ports without certificates of their own: the lists of the node are theirs, too.
#[test]
fn a_client_goes_that_the_nodes_own_list_denies() {
    let consortium = Consortium::make(1);
    ["good", "bad"].into_iter().for_each(|name| consortium.issue(name));
    let node = consortium.run_with(0, &[], &PORTS);
    let address = port(&node, "channel");
    let mut clients = ["good", "bad"].map(|name| {
        let certificates: PathBuf = consortium.path(name).into();
        let mut sdk = Sdk2::connect(&address, &certificates, Versions::Tls12);
        sdk.hello();
        sdk
    });
    let bad: PathBuf = consortium.path("bad").into();
    std::fs::write(consortium.path("n0/deny.list"), id_in(&bad)).unwrap();
    hang_up(&node);
    assert!(clients[1].try_receive().is_none());
    node.says("reloaded: sessions ended, since their peers are refused now");
    clients[0].beat();
}
