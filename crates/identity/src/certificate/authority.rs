//! [`Authority`]: the chain CA or an agency, which issues certificates and revocation lists.

use der::{Decode as _, Encode as _};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_cert::Certificate;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Validity;

use super::encode::{self, Content, ListContent, ListEntry};
use super::key_kind::RSA;
use super::signing_key::{SigningKey, SubjectKey};
use super::{CertificateError, printable};

/// The organisation in the names of certificates that we issue.
const ORGANIZATION: &str = "chainmesh";

/// Longest name of a CA, agency or node, characters: `ub-common-name` of RFC 5280 appendix A.1.
const MAX_NAME: usize = 64;

/// `id-kp-serverAuth` and `id-kp-clientAuth`, RFC 5280 section 4.2.1.12: a node is both.
const NODE_PURPOSES: [der::asn1::ObjectIdentifier; 2] = [
    der::asn1::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"),
    der::asn1::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2"),
];

/// From when to when a certificate or list is valid, seconds since 1970, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidityPeriod {
    /// The first second.
    pub not_before: u64,
    /// The last second.
    pub not_after: u64,
}

/// One certificate on a revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// When it was revoked, seconds since 1970.
    pub date: u64,
}

/// A key with the certificate that lets it sign others.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    der: CertificateDer<'static>,
    key: SigningKey,
}

enum Role {
    Chain,
    Agency,
    Node,
}

impl Authority {
    /// A new chain CA, signed by itself. The serial number is made of `entropy`.
    ///
    /// # Errors
    /// A name or dates that will not do: see [`CertificateError`].
    pub fn create(
        name: &str,
        key: impl Into<SigningKey>,
        validity: ValidityPeriod,
        entropy: [u8; 16],
    ) -> Result<Self, CertificateError> {
        let key = key.into();
        let subject = subject(name, &Role::Chain)?;
        let public = key.public()?.info().map_err(CertificateError::Encode)?;
        let content = content(
            &subject,
            &public,
            subject.clone(),
            public.clone(),
            &Role::Chain,
            validity,
            entropy,
        )?;
        let der = sign(content, &key)?;
        Self::new(der, key)
    }

    /// The CA of a certificate and its key.
    ///
    /// # Errors
    /// [`CertificateError::NotAnAuthority`], [`CertificateError::OtherKey`], or no certificate at
    /// all.
    pub fn new(
        der: CertificateDer<'static>,
        key: impl Into<SigningKey>,
    ) -> Result<Self, CertificateError> {
        let key = key.into();
        let certificate = Certificate::from_der(&der).map_err(CertificateError::Certificate)?;
        let tbs = certificate.tbs_certificate();
        let name = || printable(&tbs.subject().to_string());
        let constraints = tbs.get_extension::<BasicConstraints>();
        // FISCO's own tools make the chain CA without extensions.
        let is_authority = match constraints.map_err(CertificateError::Certificate)? {
            Some((_, constraints)) => constraints.ca,
            None => tbs.subject() == tbs.issuer(),
        };
        if !is_authority {
            return Err(CertificateError::NotAnAuthority(name()));
        }
        let ours = key.public()?.info().map_err(CertificateError::Encode)?;
        if *tbs.subject_public_key_info() != ours {
            return Err(CertificateError::OtherKey(name()));
        }
        Ok(Self { certificate, der, key })
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The key that it signs with.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The last second of the certificate, seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        let validity = self.certificate.tbs_certificate().validity();
        validity.not_after.to_unix_duration().as_secs()
    }

    /// A certificate that lets the holder of `key` issue certificates to nodes, and only to nodes.
    ///
    /// # Errors
    /// A name or dates that will not do: see [`CertificateError`].
    pub fn issue_agency(
        &self,
        name: &str,
        key: impl Into<SubjectKey>,
        validity: ValidityPeriod,
        entropy: [u8; 16],
    ) -> Result<CertificateDer<'static>, CertificateError> {
        self.issue(name, &key.into(), &Role::Agency, validity, entropy)
    }

    /// A certificate for a node: `key` is the public half of its key, and so its ID.
    ///
    /// # Errors
    /// A name or dates that will not do: see [`CertificateError`].
    pub fn issue_node(
        &self,
        name: &str,
        key: impl Into<SubjectKey>,
        validity: ValidityPeriod,
        entropy: [u8; 16],
    ) -> Result<CertificateDer<'static>, CertificateError> {
        self.issue(name, &key.into(), &Role::Node, validity, entropy)
    }

    fn issue(
        &self,
        name: &str,
        key: &SubjectKey,
        role: &Role,
        validity: ValidityPeriod,
        entropy: [u8; 16],
    ) -> Result<CertificateDer<'static>, CertificateError> {
        if validity.not_after > self.not_after() {
            return Err(CertificateError::OutlivesAuthority {
                not_after: validity.not_after,
                authority: self.not_after(),
            });
        }
        let issuer = self.certificate.tbs_certificate();
        let public = key.info().map_err(CertificateError::Encode)?;
        let content = content(
            issuer.subject(),
            issuer.subject_public_key_info(),
            subject(name, role)?,
            public,
            role,
            validity,
            entropy,
        )?;
        sign(content, &self.key)
    }

    /// The list of all that this CA has revoked. `number` grows with every list; after
    /// `validity.not_after` the list is stale, and a strict node accepts nobody until it has a newer
    /// one.
    ///
    /// # Errors
    /// [`CertificateError::Encode`], [`CertificateError::Dates`].
    pub fn revocation_list(
        &self,
        number: u64,
        validity: ValidityPeriod,
        revoked: &[RevokedCertificate],
    ) -> Result<CertificateRevocationListDer<'static>, CertificateError> {
        check_dates(validity)?;
        let algorithm = self.key.algorithm();
        let content = || {
            let key = self.certificate.tbs_certificate().subject_public_key_info();
            let entries = revoked.iter().map(|entry| {
                Ok(ListEntry {
                    serial: encode::serial(&entry.serial)?,
                    date: encode::time(entry.date)?,
                })
            });
            let entries = entries.collect::<der::Result<Vec<_>>>()?;
            let content = ListContent {
                version: 1,
                signature: algorithm.clone(),
                issuer: self.certificate.tbs_certificate().subject().clone(),
                this_update: encode::time(validity.not_before)?,
                next_update: encode::time(validity.not_after)?,
                revoked: (!entries.is_empty()).then_some(entries),
                extensions: Some(vec![
                    authority_key(key)?,
                    encode::extension(
                        false,
                        &CrlNumber(der::asn1::Uint::new(&number.to_be_bytes())?),
                    )?,
                ]),
            };
            content.to_der()
        };
        let content = content().map_err(CertificateError::Encode)?;
        let signature = self.key.sign(&content)?;
        let signed = encode::signed(&content, algorithm, |_| signature);
        signed.map(Into::into).map_err(CertificateError::Encode)
    }
}

/// What is on a revocation list. Whether its CA has signed it is not looked at.
///
/// # Errors
/// [`CertificateError::RevocationList`].
pub fn revoked_on(
    list: &CertificateRevocationListDer<'_>,
) -> Result<Vec<RevokedCertificate>, CertificateError> {
    let list =
        CertificateList::<Rfc5280>::from_der(list).map_err(CertificateError::RevocationList)?;
    let entries = list.tbs_cert_list.revoked_certificates.unwrap_or_default();
    let read = entries.iter().map(|entry| RevokedCertificate {
        serial: entry.serial_number.as_bytes().to_vec(),
        date: entry.revocation_date.to_unix_duration().as_secs(),
    });
    Ok(read.collect())
}

fn check_dates(validity: ValidityPeriod) -> Result<(), CertificateError> {
    let ValidityPeriod { not_before, not_after } = validity;
    if not_after <= not_before {
        return Err(CertificateError::Dates { not_before, not_after });
    }
    Ok(())
}

/// `CN=<name>, OU=chain|agency|node, O=chainmesh`: the parts of FISCO's names.
fn subject(name: &str, role: &Role) -> Result<Name, CertificateError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // Names become names of directories too: none begins with a dot or a dash.
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || name.len() > MAX_NAME || !name.chars().all(plain) {
        return Err(CertificateError::Name(printable(name)));
    }
    let unit = match role {
        Role::Chain => "chain",
        Role::Agency => "agency",
        Role::Node => "node",
    };
    format!("CN={name},OU={unit},O={ORGANIZATION}").parse().map_err(CertificateError::Encode)
}

fn content(
    issuer: &Name,
    issuer_key: &SubjectPublicKeyInfoOwned,
    subject: Name,
    key: SubjectPublicKeyInfoOwned,
    role: &Role,
    validity: ValidityPeriod,
    mut entropy: [u8; 16],
) -> Result<Content, CertificateError> {
    check_dates(validity)?;
    // The first bit makes a serial number negative, and it may not be zero.
    entropy[0] = entropy[0] & 0x7f | 0x40;
    let encoded = || {
        Ok(Content {
            version: Some(encode::VERSION_3),
            serial: encode::serial(&entropy)?,
            signature: encode::ecdsa_with_sha256(),
            issuer: issuer.clone(),
            validity: Validity::new(
                encode::time(validity.not_before)?,
                encode::time(validity.not_after)?,
            ),
            subject,
            extensions: Some(extensions(&key, issuer_key, role)?),
            key,
        })
    };
    encoded().map_err(CertificateError::Encode)
}

fn extensions(
    key: &SubjectPublicKeyInfoOwned,
    issuer_key: &SubjectPublicKeyInfoOwned,
    role: &Role,
) -> der::Result<Extensions> {
    let constraints = match role {
        Role::Chain => BasicConstraints { ca: true, path_len_constraint: Some(1) },
        Role::Agency => BasicConstraints { ca: true, path_len_constraint: Some(0) },
        Role::Node => BasicConstraints { ca: false, path_len_constraint: None },
    };
    // RSA keys are not for agreement (RFC 4055 section 1.2).
    let rsa = key.algorithm.oid == RSA;
    let usage = match role {
        Role::Chain | Role::Agency => KeyUsages::KeyCertSign | KeyUsages::CRLSign,
        Role::Node if rsa => KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment,
        Role::Node => KeyUsages::DigitalSignature | KeyUsages::KeyAgreement,
    };
    let mut extensions = vec![
        encode::extension(true, &constraints)?,
        encode::extension(true, &KeyUsage(usage))?,
        encode::extension(false, &SubjectKeyIdentifier(encode::key_identifier(key)?))?,
        authority_key(issuer_key)?,
    ];
    if matches!(role, Role::Node) {
        extensions.push(encode::extension(false, &ExtendedKeyUsage(NODE_PURPOSES.to_vec()))?);
    }
    Ok(extensions)
}

fn authority_key(key: &SubjectPublicKeyInfoOwned) -> der::Result<Extension> {
    let identifier = AuthorityKeyIdentifier {
        key_identifier: Some(encode::key_identifier(key)?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    encode::extension(false, &identifier)
}

fn sign(
    mut content: Content,
    key: &SigningKey,
) -> Result<CertificateDer<'static>, CertificateError> {
    content.signature = key.algorithm();
    let bytes = content.to_der().map_err(CertificateError::Encode)?;
    let signature = key.sign(&bytes)?;
    let signed = encode::signed(&bytes, content.signature, |_| signature);
    signed.map(Into::into).map_err(CertificateError::Encode)
}

#[cfg(test)]
mod tests;
