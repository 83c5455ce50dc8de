//! Certificates of sorts that no CA should issue, signed with keys of secp256k1.

use std::path::Path;

use chainmesh_identity::NodeKey;
use chainmesh_identity::certificate::{
    Authority, CertificateDer, ValidityPeriod, files, private_key,
};
use chainmesh_identity::secp256k1::ecdsa::Signature;
use der::asn1::{Any, BitString, Int, ObjectIdentifier, OctetString, Uint, UtcTime};
use der::{Decode as _, Encode as _};
use sha2::{Digest as _, Sha256};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

pub(super) const MINUTE: u64 = 60;
pub(super) const DAY: u64 = 86_400;
/// The CA of [`Lab`].
pub(super) const CA: &str = "CN=lab,OU=chain,O=chainmesh";

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-kp-codeSigning`.
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

/// `TBSCertificate` of RFC 5280. Without a version it is one of version 1.
#[derive(der::Sequence)]
struct Content {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    serial: Int,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(der::Sequence)]
struct Signed {
    content: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// `RSAPublicKey` of RFC 8017.
#[derive(der::Sequence)]
struct RsaPublicKey {
    modulus: Uint,
    exponent: Uint,
}

/// A node's certificate before it is signed. What is wrong with it is changed in place.
pub(super) struct Draft {
    pub(super) subject: &'static str,
    pub(super) issuer: &'static str,
    pub(super) validity: ValidityPeriod,
    pub(super) key: SubjectPublicKeyInfoOwned,
    /// Without any, it is of X.509 version 1.
    pub(super) extensions: Option<Vec<Extension>>,
}

/// One end: what it shows, and the key it signs with.
pub(super) struct Shown {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: NodeKey,
}

impl Shown {
    /// Writes `node.crt` and `node.key` there, and the CA beside them.
    pub(super) fn write(&self, dir: &Path, authority: &CertificateDer<'_>) {
        std::fs::create_dir_all(dir).unwrap();
        write_certificates(&dir.join(files::NODE_CERTIFICATE), &self.chain);
        write_certificates(&dir.join(files::CA_CERTIFICATE), std::slice::from_ref(authority));
        let key = private_key::to_pem(&self.key).unwrap();
        std::fs::write(dir.join(files::NODE_KEY), key.as_bytes()).unwrap();
    }
}

pub(super) fn write_certificates(path: &Path, certificates: &[CertificateDer<'_>]) {
    std::fs::write(path, files::certificates_to_pem(certificates).unwrap()).unwrap();
}

pub(super) fn key(seed: u8) -> NodeKey {
    NodeKey::from_entropy([seed; 32])
}

pub(super) fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// From `before` seconds ago for `after` seconds from now on.
pub(super) fn around_now(before: u64, after: u64) -> ValidityPeriod {
    ValidityPeriod { not_before: now() - before, not_after: now() + after }
}

pub(super) fn authority(name: &str, seed: u8) -> Authority {
    Authority::create(name, key(seed), around_now(DAY, 900 * DAY), [seed; 16]).unwrap()
}

/// A node of a CA, as `chainmesh ca issue` makes it.
pub(super) fn node(authority: &Authority, seed: u8) -> Shown {
    // Half a day more, so that the days that are left are 90 for the whole test.
    let (key, validity) = (key(seed), around_now(DAY, 90 * DAY + DAY / 2));
    let name = format!("n{seed}");
    let chain = vec![authority.issue_node(&name, key.public_key(), validity, [seed; 16]).unwrap()];
    Shown { chain, key }
}

/// A node's certificate by the CA "lab" with the key of seed 1, changed by `change`.
pub(super) fn changed(change: impl FnOnce(&mut Draft)) -> Shown {
    let key = key(40);
    let mut draft = draft(&key);
    change(&mut draft);
    Shown { chain: vec![draft.signed_by(&self::key(1))], key }
}

/// One that has signed itself.
pub(super) fn self_signed() -> Shown {
    let key = key(41);
    let mut draft = draft(&key);
    draft.issuer = draft.subject;
    Shown { chain: vec![draft.signed_by(&key)], key }
}

/// Another node than that of [`changed`], valid then.
pub(super) fn valid_during(validity: ValidityPeriod) -> Shown {
    let key = key(42);
    let draft = Draft { validity, subject: "CN=n42,OU=node,O=chainmesh", ..draft(&key) };
    Shown { chain: vec![draft.signed_by(&self::key(1))], key }
}

fn draft(key: &NodeKey) -> Draft {
    Draft {
        subject: "CN=n40,OU=node,O=chainmesh",
        issuer: CA,
        validity: around_now(DAY, 90 * DAY),
        key: public_key(key),
        extensions: Some(vec![extension(&constraints())]),
    }
}

impl Draft {
    pub(super) fn signed_by(self, signer: &NodeKey) -> CertificateDer<'static> {
        let algorithm = || AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None };
        let content = Content {
            version: self.extensions.is_some().then_some(2),
            serial: Uint::new(&[0x42, 1, 2, 3]).unwrap().into(),
            signature: algorithm(),
            issuer: self.issuer.parse().unwrap(),
            validity: Validity::new(time(self.validity.not_before), time(self.validity.not_after)),
            subject: self.subject.parse().unwrap(),
            key: self.key,
            extensions: self.extensions,
        };
        let bytes = content.to_der().unwrap();
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let signature = Signature::from_compact(&signer.sign(digest.into())).unwrap();
        let signature = BitString::from_bytes(&signature.serialize_der()).unwrap();
        let content = Any::from_der(&bytes).unwrap();
        Signed { content, algorithm: algorithm(), signature }.to_der().unwrap().into()
    }

    /// For signing programs only.
    pub(super) fn for_code_signing(&mut self) {
        let purpose = ExtendedKeyUsage(vec![CODE_SIGNING]);
        self.extensions = Some(vec![extension(&constraints()), extension(&purpose)]);
    }

    /// An RSA key of 1024 bits, which nobody has.
    pub(super) fn with_short_rsa_key(&mut self) {
        let mut modulus = [0xa5; 128];
        modulus[127] |= 1;
        let key = RsaPublicKey {
            modulus: Uint::new(&modulus).unwrap(),
            exponent: Uint::new(&[1, 0, 1]).unwrap(),
        };
        self.key = SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid: RSA,
                parameters: Some(der::asn1::Null.into()),
            },
            subject_public_key: BitString::from_bytes(&key.to_der().unwrap()).unwrap(),
        };
    }
}

const fn constraints() -> BasicConstraints {
    BasicConstraints { ca: false, path_len_constraint: None }
}

fn extension<T: der::Encode + der::oid::AssociatedOid>(value: &T) -> Extension {
    let content = OctetString::new(value.to_der().unwrap()).unwrap();
    Extension { extn_id: T::OID, critical: false, extn_value: content }
}

fn public_key(key: &NodeKey) -> SubjectPublicKeyInfoOwned {
    let parameters = Some(Any::encode_from(&SECP256K1).unwrap());
    let point = key.public_key().serialize_uncompressed();
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid: EC_PUBLIC_KEY, parameters },
        subject_public_key: BitString::from_bytes(&point).unwrap(),
    }
}

fn time(seconds: u64) -> Time {
    let since = std::time::Duration::from_secs(seconds);
    Time::UtcTime(UtcTime::from_unix_duration(since).unwrap())
}
