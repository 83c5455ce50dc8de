//! How the finding is come by: one connection as a node makes it and, if it is us who refuse, a
//! second one that accepts everything, to hear what the peer says.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use chainmesh_identity::certificate::InspectedCertificate;
use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_identity::tls::rustls::{AlertDescription, Error, ProtocolVersion};
use chainmesh_identity::tls::{
    HandshakeFailure, HandshakeOptions, PeerSide, SECP256K1_SCHEME, Verdict, Versions,
    client_config,
};
use chainmesh_proto::session::tls::ALPN;

use super::arguments::TlsArgs;
use super::connect::{ConnectError, connect};
use super::finding::Finding;
use super::observer::{Notebook, NotedCertificate, NotedResolver};
use super::ours::Ours;
use super::probe::{self, Ending, Observation, Stage};
use super::report::Report;

pub(super) fn examine(args: &TlsArgs) -> anyhow::Result<Report> {
    let examiner =
        Examiner { args, ours: Ours::load(args)?, timeout: Duration::from_secs(args.timeout) };
    examiner.run()
}

struct Examiner<'a> {
    args: &'a TlsArgs,
    ours: Ours,
    timeout: Duration,
}

impl Examiner<'_> {
    fn run(self) -> anyhow::Result<Report> {
        let connected = match connect(&self.args.endpoint, self.timeout) {
            Ok(connected) => connected,
            Err(error) => {
                let finding = of_connect(error, self.timeout);
                return Ok(Report::new(self.args.endpoint.clone(), self.ours, finding));
            }
        };
        let (first, verdict) = self.shake_hands(connected.stream, true)?;
        let mut finding = self.finding(&first, &verdict);
        if let Finding::HungUp(_) | Finding::Mute(_) = finding
            && let Ok(again) = connect(&self.args.endpoint, self.timeout)
            && probe::answers_http(again.stream, self.timeout)
        {
            finding = Finding::Http;
        }
        let mut second = None;
        if let Finding::WeRefuse(_) = finding
            && let Ok(again) = connect(&self.args.endpoint, self.timeout)
        {
            let (observation, verdict) = self.shake_hands(again.stream, false)?;
            let theirs = self.finding(&observation, &verdict);
            second = Some((observation, theirs));
        }
        let mut report = Report::new(self.args.endpoint.clone(), self.ours, finding);
        report.address = Some(connected.address);
        report.connected_in = Some(connected.took);
        let (seen, theirs) = match second {
            Some((observation, theirs)) => (observation, Some(theirs)),
            None => (first, None),
        };
        report.see(seen);
        report.theirs = theirs.filter(|theirs| theirs.refused_by() == Some("peer"));
        Ok(report)
    }

    /// One connection. A `strict` one judges the peer as a node does.
    fn shake_hands(
        &self,
        stream: TcpStream,
        strict: bool,
    ) -> Result<(Observation, Verdict), Error> {
        let options = HandshakeOptions {
            versions: Versions::Both,
            expected: self.args.expect,
            time: Arc::new(DefaultTimeProvider),
        };
        let (mut config, verdict) = client_config(&self.ours.material, &options)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        let notebook = Notebook::default();
        let resolver = Arc::clone(&config.client_auth_cert_resolver);
        config.client_auth_cert_resolver = Arc::new(NotedResolver {
            inner: self.ours.shown.is_some().then_some(resolver),
            notebook: notebook.clone(),
        });
        if !strict {
            let known = &config.crypto_provider().signature_verification_algorithms;
            let schemes = known.supported_schemes();
            let noted = NotedCertificate { schemes, notebook: notebook.clone() };
            config.dangerous().set_certificate_verifier(Arc::new(noted));
        }
        let observation = probe::probe(stream, config, &notebook, self.timeout)?;
        Ok((observation, verdict))
    }

    fn finding(&self, seen: &Observation, verdict: &Verdict) -> Finding {
        let asked = seen.seen.asked.is_some();
        let finding = match &seen.ending {
            Ending::Open if asked => Finding::Well,
            Ending::Open => Finding::NotMutual,
            Ending::NotTls(bytes) if probe::is_http(bytes) => Finding::Http,
            Ending::NotTls(bytes) => Finding::NotTls(bytes.clone()),
            Ending::Closed | Ending::Reset => match seen.stage {
                Stage::Greeting => Finding::HungUp(seen.lasted),
                Stage::Handshake => Finding::ClosedInHandshake { asked },
                Stage::Open => Finding::ClosedAfterHandshake,
            },
            Ending::Silent if seen.stage == Stage::Greeting => Finding::Mute(self.timeout),
            Ending::Silent => Finding::Stalled,
            Ending::Io(error) => Finding::Io(io::Error::new(error.kind(), error.to_string())),
            Ending::Tls(error) => {
                match HandshakeFailure::new(error.clone(), verdict, PeerSide::Accepting) {
                    HandshakeFailure::WeRefused(error) => Finding::WeRefuse(error),
                    HandshakeFailure::TheyRefused { alert } => Finding::TheyRefuse(alert),
                    HandshakeFailure::NothingInCommon(error)
                    | HandshakeFailure::Protocol(
                        error @ Error::AlertReceived(AlertDescription::NoApplicationProtocol),
                    ) => Finding::NothingInCommon(error),
                    HandshakeFailure::Protocol(error) => Finding::BrokenTls(error),
                }
            }
        };
        self.refine(finding, seen)
    }

    /// What only we know: what we have shown, and whose key the peer has.
    fn refine(&self, finding: Finding, seen: &Observation) -> Finding {
        if finding.refused_by() != Some("us") && self.is_ourselves(seen) {
            return Finding::Ourselves;
        }
        let Some(asked) = &seen.seen.asked else { return finding };
        // TLS 1.2 has no alert of its own for a missing certificate: it is handshake_failure then.
        let of_certificate = matches!(
            finding,
            Finding::TheyRefuse(_)
                | Finding::NothingInCommon(Error::AlertReceived(_))
                | Finding::BrokenTls(Error::AlertReceived(AlertDescription::IllegalParameter))
                | Finding::ClosedInHandshake { .. }
                | Finding::ClosedAfterHandshake
        );
        if !of_certificate {
            return finding;
        }
        let is_ours = self.ours.shown.as_ref().and_then(|shown| shown.identity.as_ref());
        match is_ours {
            None => Finding::CertificateWanted,
            Some(identity)
                if identity.peer_id().is_some()
                    && seen.version == Some(ProtocolVersion::TLSv1_3)
                    && !asked.contains(&SECP256K1_SCHEME) =>
            {
                Finding::SignatureUnknown
            }
            Some(_) => match finding {
                // OpenSSL, of a curve that is not in its list of groups (`tls12_check_peer_sigalg`).
                Finding::BrokenTls(_) if seen.version == Some(ProtocolVersion::TLSv1_2) => {
                    Finding::CurveRefused
                }
                Finding::NothingInCommon(Error::AlertReceived(alert)) => Finding::TheyRefuse(alert),
                other => other,
            },
        }
    }

    fn is_ourselves(&self, seen: &Observation) -> bool {
        let ours = self.ours.shown.as_ref().and_then(|shown| shown.identity.as_ref());
        let peer = seen.chain.first().and_then(|own| InspectedCertificate::read(own).ok());
        let theirs = peer.as_ref().and_then(|peer| peer.identity.as_ref());
        ours.is_some() && ours == theirs
    }
}

fn of_connect(error: ConnectError, timeout: Duration) -> Finding {
    match error {
        ConnectError::Unknown(error) => Finding::UnknownHost(error),
        ConnectError::Failed(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Finding::TcpRefused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Finding::TcpTimeout(timeout),
            _ => Finding::TcpFailed(error),
        },
    }
}
