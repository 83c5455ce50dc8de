//! [`Trust`]: which CAs are believed, what they have revoked, and who is allowed or denied.

use std::collections::BTreeSet;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::diagnose;
use super::provider::ALGORITHMS;
use super::refusal::{ChainPosition, MIN_RSA_BITS, PeerCertificateError, PeerSide, RefusalReason};
use crate::certificate::{
    CertificateError, CertificateIdentity, IdentityError, InspectedCertificate, KeyKind, ShortId,
};

/// Who may take part, besides having a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPolicy {
    /// If given, nobody else may.
    pub allowed: Option<BTreeSet<ShortId>>,
    /// These may not, even if they are allowed: FISCO's blacklist wins too.
    pub denied: BTreeSet<ShortId>,
}

/// What becomes of peers when a revocation list is past its `nextUpdate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StaleListPolicy {
    /// They are judged by the old list. A CA that is slow does not stop the chain.
    #[default]
    UseOldList,
    /// Those whose CA's list is stale are refused until there is a newer one.
    Refuse,
}

/// Everything that a certificate of a peer is judged by. It is not changed: a new one is put in its
/// place (`TlsMaterial::set_trust`).
#[derive(Debug, Default)]
pub struct Trust {
    pub(super) authorities: Vec<InspectedCertificate>,
    anchors: Vec<TrustAnchor<'static>>,
    pub(super) lists: Vec<CertRevocationList<'static>>,
    stale: StaleListPolicy,
    policy: ListPolicy,
}

/// Why something cannot be trusted in the first place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The certificate of a CA cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate of a CA cannot be used as such.
    #[error("the certificate of {subject} cannot be that of a trusted CA: {source}")]
    Anchor {
        /// Whose certificate it is.
        subject: String,
        /// What is wrong with it.
        source: webpki::Error,
    },
    /// A revocation list cannot be read.
    #[error("the revocation list cannot be used: {0}")]
    RevocationList(#[source] webpki::Error),
}

/// What is wrong, before it is known which certificate is at fault.
enum Fault {
    Reason(RefusalReason),
    Path(webpki::Error),
}

impl Trust {
    /// Believes these CAs (several during a rollover). They may be of X.509 version 1, as FISCO's
    /// `build_chain.sh` makes them.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, TrustError> {
        let mut trust = Self::default();
        for certificate in authorities {
            let inspected = InspectedCertificate::read(certificate)?;
            let anchor = webpki::anchor_from_trusted_cert(certificate).map_err(|source| {
                TrustError::Anchor { subject: inspected.subject.clone(), source }
            })?;
            trust.anchors.push(anchor.to_owned());
            trust.authorities.push(inspected);
        }
        Ok(trust)
    }

    /// Heeds these revocation lists, of CAs and of agencies. A list whose signature is not that of
    /// the CA it names lets nobody of that CA in.
    ///
    /// # Errors
    /// [`TrustError::RevocationList`].
    pub fn with_revocation_lists(
        mut self,
        lists: &[CertificateRevocationListDer<'_>],
        stale: StaleListPolicy,
    ) -> Result<Self, TrustError> {
        self.stale = stale;
        let owned =
            lists.iter().map(|list| OwnedCertRevocationList::from_der(list).map(Into::into));
        self.lists = owned.collect::<Result<_, _>>().map_err(TrustError::RevocationList)?;
        Ok(self)
    }

    /// Heeds these lists of IDs.
    #[must_use]
    pub fn with_policy(mut self, policy: ListPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The CAs that are believed.
    #[must_use]
    pub fn authorities(&self) -> &[InspectedCertificate] {
        &self.authorities
    }

    /// Judges a chain as a handshake does. Also for sessions that are open while CAs, revocation
    /// lists or lists of IDs change: what is refused now is to be closed.
    ///
    /// # Errors
    /// [`PeerCertificateError`], which says what is wrong with which certificate.
    pub fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        side: PeerSide,
        now: UnixTime,
    ) -> Result<CertificateIdentity, PeerCertificateError> {
        self.judge(certificate, intermediates, side, now).map_err(|fault| {
            let reason = match fault {
                Fault::Reason(reason) => reason,
                Fault::Path(error) => {
                    diagnose::reason(self, certificate, intermediates, now.as_secs(), error)
                }
            };
            PeerCertificateError { side, certificate: diagnose::name(certificate), reason }
        })
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        side: PeerSide,
        now: UnixTime,
    ) -> Result<CertificateIdentity, Fault> {
        let parsed = EndEntityCert::try_from(certificate).map_err(Fault::Path)?;
        let key = parsed.subject_public_key_info();
        if self.anchors.iter().any(|anchor| is_key_of(anchor, &key)) {
            return Err(Fault::Reason(RefusalReason::AuthorityAsNode));
        }
        let identity = CertificateIdentity::of_public_key(&key).map_err(key_fault)?;
        if let KeyKind::Rsa { bits } = identity.key_kind()
            && bits < MIN_RSA_BITS
        {
            return Err(Fault::Reason(RefusalReason::WeakRsa { bits }));
        }
        let usage = match side {
            PeerSide::Dialling => KeyUsage::client_auth(),
            PeerSide::Accepting => KeyUsage::server_auth(),
        };
        let lists: Vec<_> = self.lists.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                // A CA that has no list has revoked nobody yet.
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(match self.stale {
                    StaleListPolicy::UseOldList => ExpirationPolicy::Ignore,
                    StaleListPolicy::Refuse => ExpirationPolicy::Enforce,
                })
                .build()
        });
        let path = parsed
            .verify_for_usage(
                ALGORITHMS.all,
                &self.anchors,
                intermediates,
                now,
                usage,
                revocation,
                None,
            )
            .map_err(Fault::Path)?;
        self.check_dates_of_authority(path.anchor(), now)?;
        // webpki leaves the key usage of the last certificate to us.
        if InspectedCertificate::cannot_sign(certificate) {
            return Err(Fault::Reason(RefusalReason::WrongUsage));
        }
        self.check_lists(identity.short()).map_err(Fault::Reason)?;
        Ok(identity)
    }

    /// A trust anchor has no dates for webpki; OpenSSL, and so FISCO, heeds them.
    fn check_dates_of_authority(
        &self,
        anchor: &TrustAnchor<'_>,
        now: UnixTime,
    ) -> Result<(), Fault> {
        let mut pairs = self.anchors.iter().zip(&self.authorities);
        let Some((_, authority)) = pairs.find(|(ours, _)| *ours == anchor) else { return Ok(()) };
        diagnose::dates(authority, ChainPosition::Authority, now.as_secs())
            .map_or(Ok(()), |reason| Err(Fault::Reason(reason)))
    }

    fn check_lists(&self, id: ShortId) -> Result<(), RefusalReason> {
        if self.policy.denied.contains(&id) {
            return Err(RefusalReason::Denied(id));
        }
        match &self.policy.allowed {
            Some(allowed) if !allowed.contains(&id) => Err(RefusalReason::NotAllowed(id)),
            _ => Ok(()),
        }
    }
}

/// Whether the key (`SubjectPublicKeyInfo`) is that of the CA. An anchor holds the content of it
/// only, without tag and length.
fn is_key_of(anchor: &TrustAnchor<'_>, key: &[u8]) -> bool {
    key.ends_with(&anchor.subject_public_key_info)
}

fn key_fault(error: IdentityError) -> Fault {
    Fault::Reason(match error {
        IdentityError::Unreadable => RefusalReason::Unreadable,
        other => RefusalReason::UnsupportedKey(other),
    })
}
