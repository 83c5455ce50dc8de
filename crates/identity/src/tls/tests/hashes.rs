//! Others sign with other hashes than we do: in TLS 1.2, any of them goes with any curve.

use std::sync::Arc;

use rustls::ProtocolVersion::TLSv1_2;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::SignatureVerificationAlgorithm as _;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest as _, Sha384, Sha512};

use super::lab;
use super::pump::{self, material};
use crate::NodeKey;
use crate::tls::Versions;
use crate::tls::secp256k1_signature::Secp256k1Ecdsa::{
    self, Sha256 as S256, Sha384 as S384, Sha512 as S512,
};

/// `openssl ecparam -name secp256k1 -genkey`, and `printf 'a handshake' | openssl dgst -sha… -sign`.
const KEY: &str = "044dea2acc0fc83d3c846190372b398c2b9c73fdf2f965233701cf66294bf94e2f966edcfa2ce3ad\
     1a715c80c106597632cd04393cd6e7d0f53726238d64e7db93";
const SIGNATURES: [(Secp256k1Ecdsa, &str); 3] = [
    (
        S256,
        "30440220601daa79b4b36a47fa9f38962d7156c65ca502c6838d958c989c6742ea084e25022032ed\
     02b9b4799a43f867f7c7c14f40a976c5635da908c0fefdaf38e3e9e237b8",
    ),
    (
        S384,
        "304602210091be65d4dade64f85239b8218fd8bb8b56fde71bb47fcc27b899af8a9c123aea022100\
     e9c1aadfc88b9df1b82c8969d1d99dfce456365c83504a14cf1021b62010889d",
    ),
    (
        S512,
        "3046022100f4d8488fe5438581ed58c2b9ef8cee1bec4aacd4da08e404c3dc04ea47d21d5e022100\
     fa9b22156391e7da0fa8b596c5d5727b5cbf7b9b3ee89dc0ce9d67e0643e622a",
    ),
];

#[test]
fn signatures_of_openssl_with_each_hash() {
    let key = const_hex::decode(KEY).unwrap();
    for (at, (_, signature)) in SIGNATURES.iter().enumerate() {
        let signature = const_hex::decode(signature).unwrap();
        for (other, (algorithm, _)) in SIGNATURES.iter().enumerate() {
            let verdict = algorithm.verify_signature(&key, b"a handshake", &signature);
            assert_eq!(verdict.is_ok(), at == other, "{algorithm:?}");
            assert!(algorithm.verify_signature(&key, b"another one", &signature).is_err());
        }
    }
}

/// Signs with this scheme alone, as a client of OpenSSL 1.0.2 would.
#[derive(Debug, Clone)]
struct Foreign {
    key: Arc<NodeKey>,
    scheme: SignatureScheme,
}

impl SigningKey for Foreign {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Foreign {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = match self.scheme {
            SignatureScheme::ECDSA_NISTP384_SHA384 => Sha384::digest(message).to_vec(),
            _ => Sha512::digest(message).to_vec(),
        };
        let message = secp256k1::Message::from_digest(digest[..32].try_into().unwrap());
        Ok(self.key.secret().sign_ecdsa(message).serialize_der().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn foreign_client(scheme: SignatureScheme, versions: Versions) -> pump::Handshake {
    let ca = lab::authority("chain", 1);
    let [client, server] = [2, 3].map(|seed| material(lab::node(&ca, seed), lab::trust(&[&ca])));
    let options = pump::options(versions, None);
    pump::run(&client, &server, &options, &options, |config| {
        let key = Arc::new(Foreign { key: Arc::new(lab::node_key(2)), scheme });
        let chain = client.credentials().chain().to_vec();
        config.client_auth_cert_resolver = Arc::new(Shown(Arc::new(CertifiedKey::new(chain, key))));
    })
}

const LONGER: [SignatureScheme; 2] =
    [SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::ECDSA_NISTP521_SHA512];

/// They were refused: "the peer does not have the key of that certificate". TASSL in the Java SDK of
/// FISCO BCOS 2.x takes SHA-512.
#[test]
fn clients_with_secp256k1_keys_and_longer_hashes_are_let_in() {
    for scheme in LONGER {
        let done = foreign_client(scheme, Versions::Tls12);
        assert_eq!(done.version, Some(TLSv1_2));
        assert_eq!(done.server.unwrap().peer_id(), Some(lab::node_key(2).peer_id()));
    }
}

/// There the schemes name their curves.
#[test]
fn tls_1_3_knows_no_such_mixtures() {
    for scheme in LONGER {
        assert!(foreign_client(scheme, Versions::Tls13).server.is_err());
    }
}
