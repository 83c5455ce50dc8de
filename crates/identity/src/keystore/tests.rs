//! The two vectors are those of the Web3 Secret Storage definition.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

const PBKDF2: &str = r#"{
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144, "dklen": 32, "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3
}"#;

const SCRYPT: &str = r#"{
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": { "iv": "83dbcc02d8ccb40e466191a123791e0e" },
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf": "scrypt",
        "kdfparams": {
            "dklen": 32, "n": 262144, "p": 8, "r": 1,
            "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"
        },
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3
}"#;

fn secret(text: &str, password: &str) -> Result<String, KeystoreError> {
    decrypt(text.as_bytes(), password.as_bytes()).map(|key| key.to_hex().to_string())
}

#[test]
fn the_vectors_of_the_definition() {
    assert_eq!(secret(PBKDF2, "testpassword").expect("pbkdf2"), SECRET);
    assert_eq!(secret(SCRYPT, "testpassword").expect("scrypt"), SECRET);
}

#[test]
fn a_wrong_password_is_said_to_be_one() {
    for password in ["testpassword\n", "Testpassword", ""] {
        let refused = secret(PBKDF2, password);
        assert!(matches!(refused, Err(KeystoreError::WrongPassword)), "{refused:?}");
    }
    // A ciphertext that was altered is not used.
    let altered = PBKDF2.replace("5318b4d5", "5318b4d4");
    assert!(matches!(secret(&altered, "testpassword"), Err(KeystoreError::WrongPassword)));
}

#[test]
fn the_address_is_compared() {
    let with = |address: &str| {
        let field = format!("\"address\": \"{address}\", \"version\": 3");
        secret(&PBKDF2.replace("\"version\": 3", &field), "testpassword")
    };
    assert_eq!(with("008aeeda4d805471df9b2a5b0f38a0c3bcba786b").expect("its own"), SECRET);
    let other = with("108aeeda4d805471df9b2a5b0f38a0c3bcba786b");
    assert!(matches!(other, Err(KeystoreError::Address { .. })), "{other:?}");
    let short = with("08aeeda4d805471df9b2a5b0f38a0c3bcba786b");
    assert!(matches!(short, Err(KeystoreError::Hex { field: "address", .. })), "{short:?}");
}

/// Each of them is refused before any work is done.
#[test]
fn a_file_may_not_take_all_memory_or_time() {
    let scrypt = |n: &str, r: &str, p: &str| {
        let text = SCRYPT
            .replace("\"n\": 262144", &format!("\"n\": {n}"))
            .replace("\"r\": 1", &format!("\"r\": {r}"))
            .replace("\"p\": 8", &format!("\"p\": {p}"));
        let refused = secret(&text, "testpassword");
        assert!(matches!(refused, Err(KeystoreError::Scrypt { .. })), "{n} {r} {p}: {refused:?}");
    };
    scrypt("0", "1", "1");
    scrypt("1", "1", "1");
    scrypt("262145", "1", "1");
    scrypt("262144", "0", "1");
    scrypt("262144", "8", "0");
    scrypt("1048576", "8", "1");
    scrypt("262144", "8", "16");
    scrypt("2", "4294967295", "4294967295");
    scrypt("9223372036854775808", "4294967295", "4294967295");
    for rounds in ["0", "10000001", "4294967295"] {
        let text = PBKDF2.replace("\"c\": 262144", &format!("\"c\": {rounds}"));
        let refused = secret(&text, "testpassword");
        assert!(matches!(refused, Err(KeystoreError::Rounds(_))), "{rounds}: {refused:?}");
    }
}

#[test]
fn what_is_no_keystore() {
    let refused = |from: &str, to: &str| {
        assert!(PBKDF2.contains(from), "{from}");
        secret(&PBKDF2.replace(from, to), "testpassword").expect_err(to)
    };
    assert!(matches!(refused("\"version\": 3", "\"version\": 1"), KeystoreError::Version(1)));
    assert!(matches!(refused("aes-128-ctr", "aes-128-cbc"), KeystoreError::Cipher));
    assert!(matches!(refused("\"pbkdf2\"", "\"argon2\""), KeystoreError::Derivation));
    assert!(matches!(refused("hmac-sha256", "hmac-md5"), KeystoreError::Derivation));
    assert!(matches!(refused("\"dklen\": 32", "\"dklen\": 16"), KeystoreError::Derivation));
    assert!(matches!(refused("6087", "60"), KeystoreError::Hex { field: "iv", expected: 16 }));
    assert!(matches!(refused("ae3cd4e7", "x"), KeystoreError::Salt));
    assert!(matches!(refused("\"crypto\"", "\"secret\""), KeystoreError::Json(_)));
    assert!(matches!(secret("", "x"), Err(KeystoreError::Json(_))));
}

#[test]
fn files() {
    let dir = tempfile::tempdir().expect("directory");
    let (path, password) = (dir.path().join("UTC--key"), dir.path().join("password"));
    let missing = open(&path, &password);
    assert!(matches!(missing, Err(KeystoreError::Read { .. })), "{missing:?}");
    std::fs::write(&path, PBKDF2).expect("write");
    for line in ["testpassword", "testpassword\n", "testpassword\r\nmore\n"] {
        std::fs::write(&password, line).expect("write");
        assert_eq!(*open(&path, &password).expect("key").to_hex(), SECRET);
    }
    std::fs::write(&path, vec![b' '; MAX_KEYSTORE_FILE as usize + 1]).expect("write");
    assert!(matches!(open(&path, &password), Err(KeystoreError::TooLong { .. })));
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>) {
        prop_assert!(decrypt(&bytes, b"x").is_err());
    }
}
