use std::fs;

use super::*;

/// The key of the third seed document, section 8.
const SEED_KEY: &str = "dc5ef21e7897d317d57cf5336f8be8d75123a8f075196ccec3c8693030fc20c0";

#[test]
fn a_key_is_made_once_and_loaded_ever_after() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/below/p2p_key");
    let made = load_or_create(&path, [7; 32]).unwrap();
    let loaded = load_or_create(&path, [8; 32]).unwrap();
    assert_eq!(made.peer_id(), loaded.peer_id());
    assert_eq!(fs::read_to_string(&path).unwrap(), *made.to_hex());
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left beside the key: {left:?}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_key() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(KEY_FILE_NAME);
    load_or_create(&path, [7; 32]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_seed_documents_key_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(KEY_FILE_NAME);
    for text in [SEED_KEY.to_owned(), format!("0x{SEED_KEY}"), format!("  {SEED_KEY}\n")] {
        fs::write(&path, text).unwrap();
        assert_eq!(*load(&path).unwrap().unwrap().to_hex(), SEED_KEY);
    }
}

#[test]
fn a_damaged_key_is_an_error_and_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(KEY_FILE_NAME);
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let damaged: Vec<Vec<u8>> = vec![
        Vec::new(),
        SEED_KEY.as_bytes()[..63].to_vec(),
        format!("{SEED_KEY}00").into_bytes(),
        SEED_KEY.replace('d', "g").into_bytes(),
        vec![0xff; 64],
        "0".repeat(64).into_bytes(),
        order.as_bytes().to_vec(),
        vec![b'a'; 100_000],
    ];
    for content in damaged {
        fs::write(&path, &content).unwrap();
        let error = load_or_create(&path, [7; 32]).unwrap_err();
        assert!(matches!(error, KeyFileError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("p2p_key"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn create_never_overwrites() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(KEY_FILE_NAME);
    fs::write(&path, "precious").unwrap();
    let error = create(&path, &NodeKey::from_entropy([1; 32])).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}
