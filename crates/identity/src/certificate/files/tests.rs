//! Certificate files: what is written is read, and what is there is not lost.

use std::fs;

use super::{
    CertificateFileError, certificates_to_pem, create, create_key, read_certificates, read_key,
    read_revocation_lists, replace, revocation_list_to_pem,
};
use crate::NodeKey;
use crate::certificate::identity::tests::{FISCO_2, FISCO_3, certificate};
use crate::certificate::{Authority, ValidityPeriod};

#[test]
fn a_key_file_is_private_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/node.key");
    let key = NodeKey::from_entropy([1; 32]);
    create_key(&path, &key).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = create_key(&path, &NodeKey::from_entropy([2; 32]));
    assert!(matches!(again, Err(CertificateFileError::Exists { .. })));
    assert_eq!(read_key(&path).unwrap().peer_id(), key.peer_id());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside");
}

#[test]
fn a_chain_of_certificates_keeps_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.crt");
    let chain = [certificate(FISCO_2), certificate(FISCO_3)];
    let text = certificates_to_pem(&chain).unwrap();
    assert_eq!(text, format!("{FISCO_2}{FISCO_3}"));
    create(&path, &text).unwrap();
    assert_eq!(read_certificates(&path).unwrap(), chain);
    assert!(matches!(create(&path, ""), Err(CertificateFileError::Exists { .. })));
    replace(&path, FISCO_3).unwrap();
    assert_eq!(read_certificates(&path).unwrap(), chain[1..]);
    replace(&path, "nothing\n").unwrap();
    let read = read_certificates(&path);
    assert!(matches!(read, Err(CertificateFileError::NoCertificate { .. })));
}

#[test]
fn no_revocation_list_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.crl");
    assert!(read_revocation_lists(&path).unwrap().is_empty());
    let validity = ValidityPeriod { not_before: 1, not_after: 1000 };
    let ca = Authority::create("ca", NodeKey::from_entropy([1; 32]), validity, [0; 16]).unwrap();
    let list = ca.revocation_list(1, validity, &[]).unwrap();
    replace(&path, &revocation_list_to_pem(&list).unwrap().repeat(2)).unwrap();
    assert_eq!(read_revocation_lists(&path).unwrap(), [list.clone(), list]);
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.crt");
    fs::File::create(&path).unwrap().set_len((8 << 20) + 1).unwrap();
    assert!(matches!(read_certificates(&path), Err(CertificateFileError::TooLong { .. })));
}
