//! Makes certificates of every sort, also of sorts that no CA should issue.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use der::Encode as _;
use der::asn1::{BitString, ObjectIdentifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Validity;

use crate::NodeKey;
use crate::certificate::encode::{self, Content};
use crate::certificate::{Authority, ValidityPeriod};
use crate::tls::{Credentials, Trust};

pub(super) const DAY: u64 = 86_400;
/// 2026-11-21T06:40:00Z.
pub(super) const NOW: u64 = 1_795_243_200;
pub(super) const VALID: ValidityPeriod =
    ValidityPeriod { not_before: NOW - DAY, not_after: NOW + 100 * DAY };

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// `id-kp-codeSigning`.
pub(super) const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

pub(super) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW))
}

pub(super) fn node_key(seed: u8) -> NodeKey {
    NodeKey::from_entropy([seed; 32])
}

/// A chain CA of ours, and a node's certificate by it.
pub(super) fn authority(name: &str, seed: u8) -> Authority {
    Authority::create(name, node_key(seed), VALID, [seed; 16]).unwrap()
}

pub(super) fn node(authority: &Authority, seed: u8) -> Credentials {
    let key = node_key(seed);
    let certificate =
        authority.issue_node(&format!("n{seed}"), key.public_key(), VALID, [seed; 16]).unwrap();
    Credentials::of_node(vec![certificate], &key).unwrap()
}

pub(super) fn trust(authorities: &[&Authority]) -> Trust {
    let certificates: Vec<_> = authorities.iter().map(|ca| ca.certificate().clone()).collect();
    Trust::new(&certificates).unwrap()
}

/// Whoever signs a [`Draft`].
pub(super) enum Signer {
    Node(NodeKey),
    Rsa(RsaKeyPair),
}

impl Signer {
    pub(super) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(super) fn public(&self) -> SubjectPublicKeyInfoOwned {
        match self {
            Self::Node(key) => encode::public_key(key.public_key()).unwrap(),
            Self::Rsa(key) => rsa_public(key.public_key().as_ref()),
        }
    }

    pub(super) fn private(&self) -> PrivateKeyDer<'static> {
        match self {
            Self::Node(key) => {
                let der = crate::certificate::private_key::to_pkcs8_der(key).unwrap();
                PrivatePkcs8KeyDer::from(der.to_vec()).into()
            }
            Self::Rsa(key) => {
                PrivatePkcs8KeyDer::from(key.as_der().unwrap().as_ref().to_vec()).into()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Node(key) => encode::sign_with_sha256(key, message),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let random = aws_lc_rs::rand::SystemRandom::new();
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn algorithm(&self) -> AlgorithmIdentifierOwned {
        match self {
            Self::Node(_) => encode::ecdsa_with_sha256(),
            Self::Rsa(_) => {
                AlgorithmIdentifierOwned { oid: SHA256_WITH_RSA, parameters: Some(encode::null()) }
            }
        }
    }
}

/// An RSA key (PKCS#1) as a certificate has it.
pub(super) fn rsa_public(pkcs1: &[u8]) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: RSA_ENCRYPTION,
            parameters: Some(encode::null()),
        },
        subject_public_key: BitString::from_bytes(pkcs1).unwrap(),
    }
}

/// A certificate before it is signed. Without extensions it is one of version 1.
pub(super) struct Draft {
    pub(super) subject: &'static str,
    pub(super) issuer: &'static str,
    pub(super) key: SubjectPublicKeyInfoOwned,
    pub(super) validity: ValidityPeriod,
    pub(super) extensions: Option<Vec<Extension>>,
}

impl Draft {
    pub(super) fn signed_by(self, signer: &Signer) -> CertificateDer<'static> {
        let content = Content {
            version: self.extensions.is_some().then_some(encode::VERSION_3),
            serial: encode::serial(&[0x42, 1, 2, 3]).unwrap(),
            signature: signer.algorithm(),
            issuer: self.issuer.parse().unwrap(),
            validity: Validity::new(
                encode::time(self.validity.not_before).unwrap(),
                encode::time(self.validity.not_after).unwrap(),
            ),
            subject: self.subject.parse().unwrap(),
            key: self.key,
            extensions: self.extensions,
        };
        let bytes = content.to_der().unwrap();
        encode::signed(&bytes, signer.algorithm(), |m| signer.sign(m)).unwrap().into()
    }
}

pub(super) fn constraints(ca: bool) -> Extension {
    encode::extension(false, &BasicConstraints { ca, path_len_constraint: None }).unwrap()
}

pub(super) fn purpose(purpose: ObjectIdentifier) -> Extension {
    encode::extension(false, &ExtendedKeyUsage(vec![purpose])).unwrap()
}

/// A chain as FISCO BCOS 3.x has it: an RSA-2048 CA of X.509 version 1, and nodes with
/// `basicConstraints=CA:FALSE` and nothing else.
pub(super) struct FiscoChain {
    signer: Signer,
    pub(super) certificate: CertificateDer<'static>,
}

const FISCO_CA: &str = "CN=FISCO-BCOS-abc,O=FISCO-BCOS-abc,OU=chain";

impl FiscoChain {
    pub(super) fn new() -> Self {
        let signer = Signer::rsa();
        let draft = Draft {
            subject: FISCO_CA,
            issuer: FISCO_CA,
            key: signer.public(),
            validity: VALID,
            extensions: None,
        };
        Self { certificate: draft.signed_by(&signer), signer }
    }

    pub(super) fn node(&self) -> Credentials {
        let key = Signer::rsa();
        let draft = Draft {
            subject: "CN=FISCO-BCOS-abc,O=fisco-bcos,OU=agency",
            issuer: FISCO_CA,
            key: key.public(),
            validity: VALID,
            extensions: Some(vec![constraints(false)]),
        };
        let certificate = draft.signed_by(&self.signer);
        Credentials::from_der(vec![certificate], key.private()).unwrap()
    }
}

/// A chain as FISCO BCOS 2.x has it: all secp256k1, a CA without extensions, an agency, a node, and
/// all three in `node.crt`. Returns the CA's certificate and the node's credentials.
pub(super) fn fisco2(seed: u8) -> (CertificateDer<'static>, Credentials) {
    let (ca, agency) = (Signer::Node(node_key(seed)), Signer::Node(node_key(seed + 1)));
    let key = node_key(seed + 2);
    let root = Draft {
        subject: "CN=chain,O=fisco-bcos,OU=chain",
        issuer: "CN=chain,O=fisco-bcos,OU=chain",
        key: ca.public(),
        validity: VALID,
        extensions: None,
    }
    .signed_by(&ca);
    let middle = Draft {
        subject: "CN=agency,O=fisco-bcos,OU=agency",
        issuer: "CN=chain,O=fisco-bcos,OU=chain",
        key: agency.public(),
        validity: VALID,
        extensions: Some(vec![constraints(true)]),
    }
    .signed_by(&ca);
    let leaf = Draft {
        subject: "CN=node0,O=fisco-bcos,OU=node",
        issuer: "CN=agency,O=fisco-bcos,OU=agency",
        key: encode::public_key(key.public_key()).unwrap(),
        validity: VALID,
        extensions: Some(vec![constraints(false)]),
    }
    .signed_by(&agency);
    let chain = vec![leaf, middle, root.clone()];
    (root, Credentials::of_node(chain, &key).unwrap())
}
