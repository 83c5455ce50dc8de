//! Keys in a file that needs a password: version 3 of the Web3 Secret Storage, as go-ethereum's
//! keystore and most wallets write it.
//!
//! The password makes 32 bytes by scrypt or PBKDF2. The first 16 of them are the key of
//! AES-128-CTR, by which the secret is encrypted; the others are hashed with the ciphertext
//! (keccak256), which tells a wrong password from a right one.
//!
//! The file says how much work that is, so it is limited: a file may not take all memory, nor
//! hours.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use alloy_primitives::{Address, keccak256};
use ctr::Ctr128BE;
use pbkdf2::pbkdf2_hmac;
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{NodeKey, NodeKeyError};

/// Longest keystore or password file that is read, bytes; a keystore has about 500.
pub const MAX_KEYSTORE_FILE: u64 = 64 << 10;

/// Most memory that scrypt may take, bytes: go-ethereum's files want a half of it.
pub const MAX_SCRYPT_MEMORY: u64 = 512 << 20;

/// Most work of scrypt, `n * r * p`: four times that of go-ethereum's files.
pub const MAX_SCRYPT_WORK: u64 = 1 << 23;

/// Most rounds of PBKDF2. Wallets have 262,144.
pub const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

/// Bytes that are made from the password.
const DERIVED_LENGTH: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is longer than [`MAX_KEYSTORE_FILE`].
    #[error("{} is longer than {MAX_KEYSTORE_FILE} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is no keystore.
    #[error("this is no keystore file (Web3 Secret Storage): {0}")]
    Json(#[source] serde_json::Error),
    /// Another version than 3.
    #[error("the keystore file has version {0}; version 3 is known")]
    Version(u64),
    /// Another cipher than AES-128-CTR.
    #[error("the cipher of the keystore file is not aes-128-ctr")]
    Cipher,
    /// A field that is hexadecimal has another length.
    #[error("\"{field}\" in the keystore file is not {expected} bytes in hexadecimal")]
    Hex {
        /// The field.
        field: &'static str,
        /// How many bytes it must have.
        expected: usize,
    },
    /// The salt is not hexadecimal, or endless.
    #[error("\"salt\" in the keystore file is not hexadecimal, or longer than 1024 bytes")]
    Salt,
    /// Neither scrypt, nor PBKDF2 with HMAC-SHA256.
    #[error(
        "the key derivation of the keystore file is neither scrypt nor pbkdf2 with hmac-sha256"
    )]
    Derivation,
    /// The numbers of scrypt are none that scrypt allows, or ask for too much.
    #[error(
        "the scrypt parameters n={n}, r={r}, p={p} are not valid, or need more than \
         {MAX_SCRYPT_MEMORY} bytes or too much time"
    )]
    Scrypt {
        /// Cost.
        n: u64,
        /// Size of a block.
        r: u32,
        /// Parallelism.
        p: u32,
    },
    /// The rounds of PBKDF2 are none, or too many.
    #[error("{0} rounds of pbkdf2 are asked for; 1 to {MAX_PBKDF2_ROUNDS} are allowed")]
    Rounds(u32),
    /// The password is wrong, or the file was altered.
    #[error("the password does not open the keystore file")]
    WrongPassword,
    /// What was encrypted is no key.
    #[error("the keystore file does not hold a key: {0}")]
    Key(#[from] NodeKeyError),
    /// The key has another address than the file says.
    #[error("the keystore file says address {expected}, but its key is that of {found}")]
    Address {
        /// In the file.
        expected: Address,
        /// Of the key.
        found: Address,
    },
}

#[derive(Deserialize)]
struct Keystore {
    version: u64,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    address: Option<String>,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: Kdf,
    mac: String,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

/// The parameters of both derivations; each has some of them.
#[derive(Deserialize)]
struct Kdf {
    dklen: u64,
    salt: String,
    #[serde(default)]
    n: u64,
    #[serde(default)]
    r: u32,
    #[serde(default)]
    p: u32,
    #[serde(default)]
    c: u32,
    #[serde(default)]
    prf: String,
}

/// Reads a keystore file, and the password from the first line of another.
///
/// Takes about a second and up to [`MAX_SCRYPT_MEMORY`] bytes.
///
/// # Errors
/// See [`KeystoreError`].
pub fn open(path: &Path, password_file: &Path) -> Result<NodeKey, KeystoreError> {
    let text = read(path)?;
    let password = read(password_file)?;
    let line = password.split(|byte| *byte == b'\n').next().unwrap_or_default();
    decrypt(&text, line.strip_suffix(b"\r").unwrap_or(line))
}

/// The key in the text of a keystore file.
///
/// # Errors
/// See [`KeystoreError`].
pub fn decrypt(text: &[u8], password: &[u8]) -> Result<NodeKey, KeystoreError> {
    let file: Keystore = serde_json::from_slice(text).map_err(KeystoreError::Json)?;
    if file.version != 3 {
        return Err(KeystoreError::Version(file.version));
    }
    let crypto = &file.crypto;
    if crypto.cipher != "aes-128-ctr" {
        return Err(KeystoreError::Cipher);
    }
    let iv: [u8; 16] = hex("iv", &crypto.cipherparams.iv)?;
    let mut secret: Zeroizing<[u8; 32]> = Zeroizing::new(hex("ciphertext", &crypto.ciphertext)?);
    let mac: [u8; 32] = hex("mac", &crypto.mac)?;
    let derived = derive(&crypto.kdf, &crypto.kdfparams, password)?;
    let (key, check) = derived.split_at(16);
    let found = keccak256([check, secret.as_slice()].concat());
    if !bool::from(found.ct_eq(&mac)) {
        return Err(KeystoreError::WrongPassword);
    }
    let key: &[u8; 16] = key.first_chunk().ok_or(KeystoreError::WrongPassword)?;
    Ctr128BE::<Aes128>::new(key.into(), (&iv).into()).apply_keystream(secret.as_mut());
    let key = NodeKey::from_bytes(*secret)?;
    if let Some(address) = &file.address {
        let expected = Address::from(hex::<20>("address", address)?);
        let found = Address::from_raw_public_key(key.peer_id().as_bytes());
        if found != expected {
            return Err(KeystoreError::Address { expected, found });
        }
    }
    Ok(key)
}

fn derive(
    name: &str,
    kdf: &Kdf,
    password: &[u8],
) -> Result<Zeroizing<[u8; DERIVED_LENGTH]>, KeystoreError> {
    if kdf.dklen != DERIVED_LENGTH as u64 {
        return Err(KeystoreError::Derivation);
    }
    if kdf.salt.len() > 2048 {
        return Err(KeystoreError::Salt);
    }
    let salt = const_hex::decode(&kdf.salt).map_err(|_| KeystoreError::Salt)?;
    let mut derived = Zeroizing::new([0; DERIVED_LENGTH]);
    match name {
        "scrypt" => {
            let params = scrypt_params(kdf.n, kdf.r, kdf.p)?;
            scrypt::scrypt(password, &salt, &params, derived.as_mut())
                .map_err(|_| KeystoreError::Derivation)?;
        }
        "pbkdf2" if kdf.prf == "hmac-sha256" => {
            if !(1..=MAX_PBKDF2_ROUNDS).contains(&kdf.c) {
                return Err(KeystoreError::Rounds(kdf.c));
            }
            pbkdf2_hmac::<Sha256>(password, &salt, kdf.c, derived.as_mut());
        }
        _ => return Err(KeystoreError::Derivation),
    }
    Ok(derived)
}

fn scrypt_params(n: u64, r: u32, p: u32) -> Result<scrypt::Params, KeystoreError> {
    let refused = KeystoreError::Scrypt { n, r, p };
    let memory = n.checked_mul(128).and_then(|each| each.checked_mul(r.into()));
    let work = n.checked_mul(r.into()).and_then(|work| work.checked_mul(p.into()));
    let fits = memory.is_some_and(|memory| memory <= MAX_SCRYPT_MEMORY)
        && work.is_some_and(|work| work <= MAX_SCRYPT_WORK);
    if !fits || !n.is_power_of_two() || n < 2 || r == 0 || p == 0 {
        return Err(refused);
    }
    let log_n = u8::try_from(n.ilog2()).unwrap_or(u8::MAX);
    scrypt::Params::new(log_n, r, p).map_err(|_| refused)
}

fn hex<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], KeystoreError> {
    let mut bytes = [0; N];
    const_hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| KeystoreError::Hex { field, expected: N })?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let failed = |source| KeystoreError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    // With room for all of it: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEYSTORE_FILE as usize + 1));
    file.take(MAX_KEYSTORE_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_KEYSTORE_FILE {
        return Err(KeystoreError::TooLong { path: path.into() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
