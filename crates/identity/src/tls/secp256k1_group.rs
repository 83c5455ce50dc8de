//! Key exchange on secp256k1: group 22 of TLS 1.2 (RFC 8422 section 5.1.1).
//!
//! A FISCO BCOS 2.x server knows no other (`SSL_CTX_set_tmp_ecdh` with `NID_secp256k1`).

use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use secp256k1::PublicKey;
use zeroize::Zeroizing;

use super::provider::random;
use crate::NodeKey;

/// Its number in the registry of IANA, for which rustls has no name.
const GROUP: NamedGroup = NamedGroup::Unknown(22);

/// The group; TLS 1.3 has none of this name.
#[derive(Debug)]
pub(super) struct Secp256k1Group;

impl SupportedKxGroup for Secp256k1Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut entropy = Zeroizing::new([0; 32]);
        random().fill(entropy.as_mut()).map_err(|GetRandomFailed| Error::FailedToGetRandomBytes)?;
        let key = NodeKey::from_entropy(*entropy);
        Ok(Box::new(Exchange { public: key.public_key().serialize_uncompressed(), key }))
    }

    fn ffdhe_group(&self) -> Option<rustls::ffdhe_groups::FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        GROUP
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_2
    }
}

struct Exchange {
    key: NodeKey,
    public: [u8; 65],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let bad = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);
        if peer.len() != self.public.len() {
            return Err(bad);
        }
        let peer = PublicKey::from_slice(peer).map_err(|_| bad)?;
        Ok(SharedSecret::from(self.key.agree(&peer).as_slice()))
    }

    fn ffdhe_group(&self) -> Option<rustls::ffdhe_groups::FfdheGroup<'static>> {
        None
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        GROUP
    }
}
