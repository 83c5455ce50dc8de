//! TLS records: sealed in the buffer that is sent, opened where they lie or into the place where
//! they are wanted.
//!
//! The handshake, the keys and their renewal are rustls's; only the records are ours, because
//! every layer between would copy each payload once more. RFC 8446 section 5 (TLS 1.3), RFC 5246
//! section 6.2, RFC 5288 and RFC 7905 (TLS 1.2).

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};
use bytes::{BufMut, BytesMut};
use chainmesh_identity::tls::rustls::{ConnectionTrafficSecrets, ProtocolVersion};

use super::TlsError;

/// Type, version, length.
pub(super) const HEADER: usize = 5;
/// Plaintext of one record, bytes (RFC 8446 section 5.1).
pub(super) const MAX_PLAIN: usize = 16 * 1024;
/// What follows the header of a record, bytes: TLS 1.3 allows 256 more than plaintext, TLS 1.2 2,048.
const MAX_BODY: usize = MAX_PLAIN + 2048;
/// All three AEADs have tags of this length.
pub(super) const TAG: usize = 16;
/// The part of a nonce that AES-GCM writes into a record of TLS 1.2.
const EXPLICIT: usize = 8;
/// Every record says that it is of TLS 1.2.
const VERSION: [u8; 2] = [3, 3];
/// Blocks of 16 bytes that may be sealed with one key: 2^24.5 full records (RFC 8446 section 5.5),
/// rounded down.
const MAX_BLOCKS: u64 = 1 << 34;

/// What is in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Alert,
    Handshake,
    Data,
}

impl Content {
    const fn number(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    const fn from_number(number: u8) -> Result<Self, TlsError> {
        match number {
            21 => Ok(Self::Alert),
            22 => Ok(Self::Handshake),
            23 => Ok(Self::Data),
            other => Err(TlsError::Content(other)),
        }
    }
}

/// How records look: by version and cipher suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The type is hidden behind the plaintext, the nonce is counted.
    Tls13,
    /// A part of the nonce stands before the ciphertext.
    Tls12Gcm,
    /// The nonce is counted.
    Tls12ChaCha,
}

/// One direction: key, nonces and their count.
struct Direction {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    seq: u64,
    form: Form,
}

impl Direction {
    fn new(
        version: ProtocolVersion,
        (seq, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, TlsError> {
        let tls13 = version == ProtocolVersion::TLSv1_3;
        let gcm = if tls13 { Form::Tls13 } else { Form::Tls12Gcm };
        let (algorithm, key, iv, form): (&'static Algorithm, _, _, _) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, gcm),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, gcm),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                let form = if tls13 { Form::Tls13 } else { Form::Tls12ChaCha };
                (&CHACHA20_POLY1305, key, iv, form)
            }
            _ => return Err(TlsError::Cipher),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| TlsError::Cipher)?;
        let iv = iv.as_ref().try_into().map_err(|_| TlsError::Cipher)?;
        Ok(Self { key: LessSafeKey::new(key), iv, seq, form })
    }

    /// Bytes of the nonce that stand in a record.
    fn explicit(&self) -> usize {
        if self.form == Form::Tls12Gcm { EXPLICIT } else { 0 }
    }

    fn counted_nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, count) in nonce.iter_mut().skip(NONCE_LEN - 8).zip(self.seq.to_be_bytes()) {
            *byte ^= count;
        }
        nonce
    }

    /// What is authenticated beside the content: for TLS 1.3 the header, for TLS 1.2 the count and
    /// a header with the length of the plaintext.
    fn aad(&self, content: u8, length: usize) -> ([u8; 13], usize) {
        let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        let header = [content, VERSION[0], VERSION[1], high, low];
        let mut aad = [0; 13];
        if self.form == Form::Tls13 {
            aad[..HEADER].copy_from_slice(&header);
            return (aad, HEADER);
        }
        aad[..8].copy_from_slice(&self.seq.to_be_bytes());
        aad[8..].copy_from_slice(&header);
        (aad, 13)
    }

    fn advance(&mut self) -> Result<(), TlsError> {
        self.seq = self.seq.checked_add(1).ok_or(TlsError::Worn)?;
        Ok(())
    }
}

/// Seals records.
pub(super) struct Sealer {
    direction: Direction,
    blocks: u64,
}

impl Sealer {
    pub(super) fn new(
        version: ProtocolVersion,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, TlsError> {
        Ok(Self { direction: Direction::new(version, secrets)?, blocks: 0 })
    }

    /// Whether another key is due.
    pub(super) const fn is_worn(&self) -> bool {
        self.blocks >= MAX_BLOCKS
    }

    pub(super) fn is_tls13(&self) -> bool {
        self.direction.form == Form::Tls13
    }

    /// Begins a record at the end of `out`. The plaintext is appended after this.
    pub(super) fn begin(&self, out: &mut BytesMut) {
        out.put_slice(&[0; HEADER]);
        if self.direction.form == Form::Tls12Gcm {
            let nonce = self.direction.counted_nonce();
            out.put_slice(nonce.get(NONCE_LEN - EXPLICIT..).unwrap_or_default());
        }
    }

    /// Bytes that [`Sealer::begin`] writes.
    pub(super) fn prefix(&self) -> usize {
        HEADER + self.direction.explicit()
    }

    /// Seals the record that begins at `start` and ends with `out`.
    pub(super) fn finish(
        &mut self,
        content: Content,
        start: usize,
        out: &mut BytesMut,
    ) -> Result<(), TlsError> {
        let prefix = self.prefix();
        let direction = &mut self.direction;
        let tls13 = direction.form == Form::Tls13;
        if tls13 {
            out.put_u8(content.number());
        }
        let plain = out.len().saturating_sub(start + prefix);
        let outer = if tls13 { Content::Data.number() } else { content.number() };
        let body = prefix - HEADER + plain + TAG;
        let (aad, used) = direction.aad(outer, if tls13 { body } else { plain });
        let nonce = Nonce::assume_unique_for_key(direction.counted_nonce());
        let aad = Aad::from(aad.get(..used).unwrap_or_default());
        let record = out.get_mut(start..).ok_or(TlsError::Cipher)?;
        let (head, text) = record.split_at_mut_checked(prefix).ok_or(TlsError::Cipher)?;
        let tag = direction
            .key
            .seal_in_place_separate_tag(nonce, aad, text)
            .map_err(|_| TlsError::Cipher)?;
        let [high, low] = u16::try_from(body).unwrap_or(u16::MAX).to_be_bytes();
        for (place, byte) in head.iter_mut().zip([outer, VERSION[0], VERSION[1], high, low]) {
            *place = byte;
        }
        out.put_slice(tag.as_ref());
        self.blocks += plain.div_ceil(16) as u64 + 2;
        direction.advance()
    }

    /// A whole record of its own, of at most [`MAX_PLAIN`] bytes.
    pub(super) fn seal(
        &mut self,
        content: Content,
        plain: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), TlsError> {
        let start = out.len();
        self.begin(out);
        out.put_slice(plain);
        self.finish(content, start, out)
    }
}

/// The next record in a buffer, whole but still sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The type in the header.
    outer: u8,
    /// Bytes after the header.
    body: usize,
}

impl Record {
    /// Looks for a whole record at the beginning of `input`. Type and length are checked as soon
    /// as they are there.
    pub(super) fn peek(input: &[u8]) -> Result<Option<Self>, TlsError> {
        let Some([outer, major, _, high, low]) = input.first_chunk::<HEADER>().copied() else {
            return Ok(None);
        };
        let body = usize::from(u16::from_be_bytes([high, low]));
        if major != 3 || !(20..=23).contains(&outer) {
            return Err(TlsError::NoRecord);
        }
        if body > MAX_BODY {
            return Err(TlsError::RecordTooLarge(body));
        }
        Ok((input.len() >= HEADER + body).then_some(Self { outer, body }))
    }

    /// Bytes of all of it.
    pub(super) const fn len(&self) -> usize {
        HEADER + self.body
    }
}

/// Opens records.
pub(super) struct Opener(Direction);

impl Opener {
    pub(super) fn new(
        version: ProtocolVersion,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, TlsError> {
        Ok(Self(Direction::new(version, secrets)?))
    }

    /// Most bytes that the record can open to.
    pub(super) fn most(&self, record: Record) -> usize {
        record.body.saturating_sub(self.0.explicit() + TAG)
    }

    /// Opens the record that `input` begins with: takes it off `input` and appends the plaintext to
    /// `out`, without a copy between.
    pub(super) fn open_into(
        &mut self,
        record: Record,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Content, TlsError> {
        let sealed = input.split_to(record.len());
        let (nonce, aad, used) = self.prepare(record, &sealed)?;
        let at = HEADER + self.0.explicit();
        let (text, tag) = sealed
            .get(at..)
            .and_then(|rest| rest.split_at_checked(rest.len().checked_sub(TAG)?))
            .ok_or(TlsError::Forged)?;
        let before = out.len();
        out.resize(before + text.len(), 0);
        let place = out.get_mut(before..).ok_or(TlsError::Cipher)?;
        let aad = Aad::from(aad.get(..used).unwrap_or_default());
        let opened = self.0.key.open_separate_gather(nonce, aad, text, tag, place);
        opened.map_err(|_| TlsError::Forged)?;
        let (content, length) = self.content(record, place)?;
        out.truncate(before + length);
        self.0.advance()?;
        Ok(content)
    }

    /// Opens the record that `input` begins with where it lies, and takes it off.
    pub(super) fn open(
        &mut self,
        record: Record,
        input: &mut BytesMut,
    ) -> Result<(Content, BytesMut), TlsError> {
        let mut sealed = input.split_to(record.len());
        let (nonce, aad, used) = self.prepare(record, &sealed)?;
        let mut text = sealed.split_off(HEADER + self.0.explicit());
        let aad = Aad::from(aad.get(..used).unwrap_or_default());
        let opened = self.0.key.open_in_place(nonce, aad, &mut text);
        let plain = opened.map_err(|_| TlsError::Forged)?;
        let (content, length) = self.content(record, plain)?;
        text.truncate(length);
        self.0.advance()?;
        Ok((content, text))
    }

    fn prepare(&self, record: Record, sealed: &[u8]) -> Result<(Nonce, [u8; 13], usize), TlsError> {
        let plain = record.body.checked_sub(self.0.explicit() + TAG).ok_or(TlsError::Forged)?;
        let mut nonce = self.0.counted_nonce();
        if self.0.form == Form::Tls12Gcm {
            let explicit = sealed.get(HEADER..HEADER + EXPLICIT).ok_or(TlsError::Forged)?;
            for (place, byte) in nonce.iter_mut().skip(NONCE_LEN - EXPLICIT).zip(explicit) {
                *place = *byte;
            }
        }
        let tls13 = self.0.form == Form::Tls13;
        if tls13 && record.outer != Content::Data.number() {
            return Err(TlsError::Content(record.outer));
        }
        let (aad, used) = self.0.aad(record.outer, if tls13 { record.body } else { plain });
        Ok((Nonce::assume_unique_for_key(nonce), aad, used))
    }

    /// What is in an opened record, and how long that is without type and padding.
    fn content(&self, record: Record, plain: &[u8]) -> Result<(Content, usize), TlsError> {
        let (number, length) = match self.0.form {
            Form::Tls13 => {
                let at = plain.iter().rposition(|byte| *byte != 0).ok_or(TlsError::Empty)?;
                (plain.get(at).copied().unwrap_or_default(), at)
            }
            Form::Tls12Gcm | Form::Tls12ChaCha => (record.outer, plain.len()),
        };
        if length > MAX_PLAIN {
            return Err(TlsError::RecordTooLarge(length));
        }
        Ok((Content::from_number(number)?, length))
    }
}
