//! Which certificate is at fault. webpki says that a path cannot be built; people need to know why.
//!
//! This runs after a refusal and decides nothing: it only finds words for it.

use rustls::pki_types::CertificateDer;
use webpki::{EndEntityCert, Error};

use super::refusal::{CertificateName, ChainPosition, RefusalReason};
use super::trust::Trust;
use crate::certificate::InspectedCertificate;

/// The most certificates that are followed from a peer's to a CA's; webpki gives up earlier.
const MAX_STEPS: usize = 8;

/// What a certificate is called; `None` if it cannot be read.
pub(super) fn name(certificate: &CertificateDer<'_>) -> Option<Box<CertificateName>> {
    let InspectedCertificate { subject, issuer, serial, .. } =
        InspectedCertificate::read(certificate).ok()?;
    Some(Box::new(CertificateName { subject, issuer, serial }))
}

/// What the dates of a certificate say against it.
pub(super) fn dates(
    certificate: &InspectedCertificate,
    position: ChainPosition,
    now: u64,
) -> Option<RefusalReason> {
    let InspectedCertificate { not_before, not_after, .. } = *certificate;
    let subject = certificate.subject.clone();
    if now > not_after {
        Some(RefusalReason::Expired { position, subject, not_after, now })
    } else if now < not_before {
        Some(RefusalReason::NotYetValid { position, subject, not_before, now })
    } else {
        None
    }
}

/// A certificate of the chain, with its DER and where it stands.
struct Step<'a> {
    position: ChainPosition,
    inspected: InspectedCertificate,
    der: &'a CertificateDer<'a>,
}

/// The reason behind an error of webpki.
pub(super) fn reason(
    trust: &Trust,
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: u64,
    error: Error,
) -> RefusalReason {
    let Ok(node) = InspectedCertificate::read(certificate) else {
        return RefusalReason::Unreadable;
    };
    if node.version < 3 {
        return RefusalReason::OldVersion { version: node.version };
    }
    let self_issued = node.self_issued;
    let steps = follow(trust, certificate, node, intermediates);
    let of_dates = || {
        let mut reasons = steps.iter().map(|step| dates(&step.inspected, step.position, now));
        reasons.find_map(|reason| reason)
    };
    match error {
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => {
            of_dates().unwrap_or(RefusalReason::Chain(error))
        }
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey | Error::CaUsedAsEndEntity
            if self_issued =>
        {
            RefusalReason::SelfSigned
        }
        Error::CaUsedAsEndEntity => RefusalReason::AuthorityAsNode,
        // FISCO 2.x has the CA's certificate, of version 1, in node.crt: webpki stumbles over it when
        // the CA is none of ours. The node's own version has been looked at above.
        Error::UnknownIssuer
        | Error::InvalidSignatureForPublicKey
        | Error::UnsupportedCertVersion => {
            // What the last certificate of the chain names as its signer.
            let last = steps.last().map(|step| &step.inspected);
            let raw = last.map(|last| last.raw_issuer.as_slice()).unwrap_or_default();
            RefusalReason::UnknownAuthority {
                authority: last.map(|last| last.issuer.clone()).unwrap_or_default(),
                same_name: trust.authorities.iter().any(|ours| ours.raw_subject == raw),
            }
        }
        Error::EndEntityUsedAsCa => RefusalReason::IssuerIsNoAuthority {
            issuer: steps.first().map(|step| step.inspected.issuer.clone()).unwrap_or_default(),
        },
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            RefusalReason::WrongUsage
        }
        Error::CertRevoked => {
            revoked(trust, &steps).unwrap_or(RefusalReason::Chain(Error::CertRevoked))
        }
        Error::CrlExpired { next_update, .. } => {
            RefusalReason::RevocationListExpired { next_update: next_update.as_secs(), now }
        }
        other => RefusalReason::Chain(other),
    }
}

/// From the peer's certificate by the names of the signers as far as it goes, without the CA.
fn follow<'a>(
    trust: &Trust,
    certificate: &'a CertificateDer<'a>,
    node: InspectedCertificate,
    intermediates: &'a [CertificateDer<'a>],
) -> Vec<Step<'a>> {
    let mut wanted = node.raw_issuer.clone();
    let mut steps = vec![Step { position: ChainPosition::Node, inspected: node, der: certificate }];
    while steps.len() < MAX_STEPS && !trust.authorities.iter().any(|ca| ca.raw_subject == wanted) {
        let found = intermediates.iter().find_map(|der| {
            let inspected = InspectedCertificate::read(der).ok()?;
            (inspected.raw_subject == wanted && !inspected.self_issued).then_some((inspected, der))
        });
        let Some((inspected, der)) = found else { break };
        wanted.clone_from(&inspected.raw_issuer);
        steps.push(Step { position: ChainPosition::Agency, inspected, der });
    }
    steps
}

fn revoked(trust: &Trust, steps: &[Step<'_>]) -> Option<RefusalReason> {
    steps.iter().find_map(|step| {
        let parsed = EndEntityCert::try_from(step.der).ok()?;
        let mut lists = trust.lists.iter().filter(|list| list.issuer() == parsed.issuer());
        lists.any(|list| matches!(list.find_serial(parsed.serial()), Ok(Some(_)))).then(|| {
            RefusalReason::Revoked {
                position: step.position,
                subject: step.inspected.subject.clone(),
                authority: step.inspected.issuer.clone(),
            }
        })
    })
}
