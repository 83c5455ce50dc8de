//! [`InspectedCertificate`]: what people want to know of a certificate.

use core::fmt;

use der::{DateTime, Decode as _, Encode as _};
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use super::{CertificateError, CertificateIdentity, KeyKind};

/// Longest text out of a certificate that is shown, characters.
const MAX_SHOWN: usize = 120;

/// A certificate as people read it. Nothing here has been checked: it is what the certificate says.
#[derive(Debug, Clone)]
pub struct InspectedCertificate {
    /// Version, 1 to 3.
    pub version: u8,
    /// Whose certificate it is, fit to be shown.
    pub subject: String,
    /// Who signed it, fit to be shown.
    pub issuer: String,
    /// The serial number, hex, without zeros in front.
    pub serial: String,
    /// The first second, seconds since 1970.
    pub not_before: u64,
    /// The last second, seconds since 1970.
    pub not_after: u64,
    /// The kind of its key.
    pub key: KeyKind,
    /// What it names, if its key is of a kind that can.
    pub identity: Option<CertificateIdentity>,
    /// It may sign other certificates.
    pub authority: bool,
    /// Subject and issuer are the same.
    pub self_issued: bool,
    pub(crate) raw_subject: Vec<u8>,
    pub(crate) raw_issuer: Vec<u8>,
}

impl InspectedCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`CertificateError::Certificate`].
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        Self::parse(certificate).map_err(CertificateError::Certificate)
    }

    /// Whether a certificate says what it may be used for, and signing is not among it.
    pub(crate) fn cannot_sign(certificate: &CertificateDer<'_>) -> bool {
        // The suite of checks before this one has read all of it.
        let Ok(parsed) = Certificate::from_der(certificate) else { return false };
        let usage = parsed.tbs_certificate().get_extension::<KeyUsage>();
        usage.is_ok_and(|usage| usage.is_some_and(|(_, usage)| !usage.digital_signature()))
    }

    fn parse(certificate: &CertificateDer<'_>) -> der::Result<Self> {
        let parsed = Certificate::from_der(certificate)?;
        let tbs = parsed.tbs_certificate();
        let key = tbs.subject_public_key_info().to_der()?;
        let kind = x509_cert::spki::SubjectPublicKeyInfoRef::from_der(&key)?;
        let constraints = tbs.get_extension::<BasicConstraints>()?;
        let (subject, issuer) = (tbs.subject().to_der()?, tbs.issuer().to_der()?);
        Ok(Self {
            version: tbs.version() as u8 + 1,
            subject: printable(&tbs.subject().to_string()),
            issuer: printable(&tbs.issuer().to_string()),
            serial: const_hex::encode(without_zeros(tbs.serial_number().as_bytes())),
            not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
            key: KeyKind::of(&kind),
            identity: CertificateIdentity::of_public_key(&key).ok(),
            authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            self_issued: subject == issuer,
            raw_subject: subject,
            raw_issuer: issuer,
        })
    }
}

/// A number without the zero that keeps it positive in DER.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

impl fmt::Display for InspectedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "subject     {}", self.subject)?;
        writeln!(f, "issuer      {}", self.issuer)?;
        writeln!(f, "serial      {}", self.serial)?;
        writeln!(f, "valid from  {}", Date(self.not_before))?;
        writeln!(f, "valid to    {}", Date(self.not_after))?;
        let ca = if self.authority { ", of a CA" } else { "" };
        write!(f, "key         {} (X.509 v{}{ca})", self.key, self.version)?;
        if let Some(identity) = &self.identity {
            if let Some(id) = identity.peer_id() {
                write!(f, "\nid          {id}")?;
            }
            write!(f, "\nlong id     {}\nshort id    {}", identity.long(), identity.short())?;
        }
        Ok(())
    }
}

/// A moment for people, from seconds since 1970: `2026-11-21T06:32:20Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(pub u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(core::time::Duration::from_secs(self.0)) {
            Ok(date) => date.fmt(f),
            Err(_) => write!(f, "{} seconds after 1970", self.0),
        }
    }
}

/// Text from outside, fit to be shown in one line: control and invisible characters are escaped,
/// and what is longer than 120 characters is cut.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == MAX_SHOWN {
            shown.push('…');
            break;
        }
        if c.is_ascii_graphic() || c == ' ' || (c.is_alphanumeric() && !c.is_ascii()) {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    shown
}

#[cfg(test)]
mod tests;
