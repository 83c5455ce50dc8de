//! Vectors of FISCO BCOS: a certificate of 3.x and one of 2.x, and the IDs that belong to them.

use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::NodeKey;
use crate::certificate::{CertificateIdentity, IdentityError, KeyKind, ShortId, ShortIdError};

/// As FISCO BCOS 3.x's `build_chain.sh` issues it (RSA-2048).
pub(in crate::certificate) const FISCO_3: &str = "\
-----BEGIN CERTIFICATE-----
MIIDqDCCApCgAwIBAgIUAOQGY+MciomiV1Kgc9DsKuagbz0wDQYJKoZIhvcNAQEL
BQAwQjEXMBUGA1UEAwwORklTQ08tQkNPUy1hYmMxFzAVBgNVBAoMDkZJU0NPLUJD
T1MtYWJjMQ4wDAYDVQQLDAVjaGFpbjAgFw0yNjExMjEwNjMyMjBaGA8yMTI2MTAy
ODA2MzIyMFowPzEXMBUGA1UEAwwORklTQ08tQkNPUy1hYmMxEzARBgNVBAoMCmZp
c2NvLWJjb3MxDzANBgNVBAsMBmFnZW5jeTCCASIwDQYJKoZIhvcNAQEBBQADggEP
ADCCAQoCggEBAKn2WNQ71380BrRDZx8eulCrS3afuY9m0+zs87peN/ekSV2Ur1JN
5YQC+7wziMaf7ypIEozcqB+5yyJ/JCEK5xDRajZig4V1a3VFpJVyVuzwQctuiTJ1
8+4jLXO5asxZpwL9sSSk+KCrEulNu88QM1pAgmxxUSfwR09h18MKGaNrN6dOqoYS
lgy0dikHmHKJoAxSwbQBniPv+C04gY5qhc3hWet3SCSMGtSwzP6lgJJxPTurtSxI
dp9ey1MtyM5loFYxLO7e6thzGG6ebR3UV1GHzwRFMb+dr/msVVA8nzK8NuwMB0DJ
SEllzEMilCkOYatlrZUiU2g4i49+l4bRNocCAwEAAaOBljCBkzAJBgNVHRMEAjAA
MB0GA1UdDgQWBBQ010lqIJQSHtLF7SdORmtOyhJ3ZTBnBgNVHSMEYDBeoUakRDBC
MRcwFQYDVQQDDA5GSVNDTy1CQ09TLWFiYzEXMBUGA1UECgwORklTQ08tQkNPUy1h
YmMxDjAMBgNVBAsMBWNoYWlughRayd1eftuO3OREp6K9CvbQZuMx8zANBgkqhkiG
9w0BAQsFAAOCAQEAo0KfzgJCDzp/eekRram0HFICHAhvToceYbWT6NMGAhmUQMLu
EKNDYmD5VKyTGe1M2Uz0h3Nt1CpY7zhG2XWNiLW1hSCG8eukOVJFRW6jvBjnUnB/
ps6IFRNcrYi/EFsFi9ArLqmKViDaCMcTpQxV/HVR2O/DDGv/JZDqUeE1WPJ43FQl
iR3gwvxfQ9zgsx7lt21CkCpdnrorA/f5kDlmRjWzNCA8V+IawcaPcxFNz1OEFHRB
Bq7z0AgVVjHWysv6Y9KmXbi5zPcKaH6dya1EEDR4CC5GBDInsAsvpvuWox9jtbgC
vll9GCB3SpDdF8SNXdWpQksulemRs0rk8JW7sg==
-----END CERTIFICATE-----
";

/// As FISCO BCOS 2.x's `build_chain.sh` issues it (secp256k1).
pub(in crate::certificate) const FISCO_2: &str = "\
-----BEGIN CERTIFICATE-----
MIIBxzCCAW2gAwIBAgIUQU2uISl/4D2wkT931ZPqsK2Al+cwCgYIKoZIzj0EAwIw
ODEQMA4GA1UEAwwHYWdlbmN5QTETMBEGA1UECgwKZmlzY28tYmNvczEPMA0GA1UE
CwwGYWdlbmN5MCAXDTI2MTEyMTA2MzIyMFoYDzIxMjYxMDI4MDYzMjIwWjA0MQ4w
DAYDVQQDDAVub2RlMDETMBEGA1UECgwKZmlzY28tYmNvczENMAsGA1UECwwEbm9k
ZTBWMBAGByqGSM49AgEGBSuBBAAKA0IABIIsl36yaUlGLNttJb4mhWfN2YT9tM/m
O2jS/uZ0Nylc7m87pxGkBo+H8Vdbm/oYGvg/PokUtG7pcMejz016+EijWjBYMAkG
A1UdEwQCMAAwCwYDVR0PBAQDAgXgMB0GA1UdDgQWBBThXNx32vEpVze8mzxIg4cM
++mN3DAfBgNVHSMEGDAWgBSpk2hBDiXgDOTygKJL4LgdU8gmHzAKBggqhkjOPQQD
AgNIADBFAiEAygNH//l2ym6Yq4xiogybRcEaWAXq+vkCyEGETsxHoasCIF0KNI6l
USDPIio7aHptRSsAoDfc7YoXEmkLzB8EeRlx
-----END CERTIFICATE-----
";

const FISCO_3_LONG: &str = "3082010a0282010100a9f658d43bd77f3406b443671f1eba50ab4b769fb98f66d3ececf3ba5e37f7a4495d94\
     af524de58402fbbc3388c69fef2a48128cdca81fb9cb227f24210ae710d16a36628385756b7545a4957256ec\
     f041cb6e893275f3ee232d73b96acc59a702fdb124a4f8a0ab12e94dbbcf10335a40826c715127f0474f61d7\
     c30a19a36b37a74eaa8612960cb4762907987289a00c52c1b4019e23eff82d38818e6a85cde159eb7748248c\
     1ad4b0ccfea58092713d3babb52c48769f5ecb532dc8ce65a056312ceedeead873186e9e6d1dd4575187cf04\
     4531bf9daff9ac55503c9f32bc36ec0c0740c9484965cc432294290e61ab65ad95225368388b8f7e9786d136\
     870203010001";

const FISCO_3_SHORT: &str = "8aa149bacc42f6d7e359c573db866b69b7338be3bff4260881241a801f38f0c0";

const FISCO_2_ID: &str = "822C977EB26949462CDB6D25BE268567CDD984FDB4CFE63B68D2FEE67437295CEE6F3BA711A4068F87F1575B\
     9BFA181AF83F3E8914B46EE970C7A3CF4D7AF848";

pub(in crate::certificate) fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn identity(pem: &str) -> CertificateIdentity {
    CertificateIdentity::of_certificate(&certificate(pem)).unwrap()
}

#[test]
fn a_certificate_of_fisco_3_has_the_ids_that_fisco_gives_it() {
    let id = identity(FISCO_3);
    assert_eq!(id.key_kind(), KeyKind::Rsa { bits: 2048 });
    assert_eq!(id.long(), FISCO_3_LONG);
    assert_eq!(id.short().to_string(), FISCO_3_SHORT);
    assert_eq!(id.peer_id(), None);
    assert_eq!(id.to_string(), FISCO_3_SHORT);
}

#[test]
fn a_certificate_of_fisco_2_has_the_id_that_fisco_gives_it() {
    let id = identity(FISCO_2);
    assert_eq!(id.peer_id().unwrap().to_string(), FISCO_2_ID.to_lowercase());
    assert_eq!(id.long(), format!("04{}", FISCO_2_ID.to_lowercase()));
    assert_eq!(CertificateIdentity::from(id.peer_id().unwrap()), id);
}

#[test]
fn each_form_in_which_people_write_an_id_leads_to_the_same() {
    let (rsa, point) = (identity(FISCO_3), identity(FISCO_2));
    // FISCO's certificate_blacklist has the modulus alone, in upper case.
    let modulus = FISCO_3_LONG.get(18..18 + 512).unwrap().to_uppercase();
    for text in [FISCO_3_LONG, FISCO_3_SHORT, &modulus] {
        assert_eq!(text.parse::<ShortId>(), Ok(rsa.short()), "{text}");
    }
    for text in [FISCO_2_ID.to_owned(), point.long(), format!("0x{}", point.peer_id().unwrap())] {
        assert_eq!(text.parse::<ShortId>(), Ok(point.short()), "{text}");
    }
}

#[test]
fn what_is_no_id_is_not_taken_for_one() {
    assert_eq!("".parse::<ShortId>(), Err(ShortIdError::Length(0)));
    assert_eq!("12345678".parse::<ShortId>(), Err(ShortIdError::Length(8)));
    assert_eq!("node0".parse::<ShortId>(), Err(ShortIdError::NotHex));
    let not_a_point = format!("05{FISCO_2_ID}");
    assert_eq!(not_a_point.parse::<ShortId>(), Err(ShortIdError::Length(130)));
}

#[test]
fn a_compressed_point_would_be_a_second_name_of_the_same_key() {
    let key = NodeKey::from_entropy([7; 32]);
    let mut info = crate::certificate::encode::public_key(key.public_key()).unwrap();
    let compressed = key.public_key().serialize();
    info.subject_public_key = der::asn1::BitString::from_bytes(&compressed).unwrap();
    let info = der::Encode::to_der(&info).unwrap();
    assert_eq!(CertificateIdentity::of_public_key(&info), Err(IdentityError::NotUncompressed));
}

proptest! {
    #[test]
    fn bytes_from_outside_are_an_identity_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = CertificateIdentity::of_public_key(&bytes);
        let _ = CertificateIdentity::of_certificate(&bytes.into());
    }

    /// A byte changed in a real key, at each place: never a panic, and an unchanged key only if the
    /// change is outside of it.
    #[test]
    fn a_changed_certificate_is_read_or_refused(at in 0_usize..455, value in any::<u8>()) {
        let mut bytes = certificate(FISCO_2).to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        let changed = CertificateDer::from(bytes);
        let _ = CertificateIdentity::of_certificate(&changed);
        let _ = crate::certificate::InspectedCertificate::read(&changed);
    }

    #[test]
    fn ids_of_any_text(text in ".{0,80}|[0-9a-fA-F]{0,1100}") {
        let _ = text.parse::<ShortId>();
    }
}
