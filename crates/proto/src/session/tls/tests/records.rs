//! Records: sealed by us, opened by us, and damaged in between.

use bytes::BytesMut;
use chainmesh_identity::tls::rustls::crypto::cipher::{AeadKey, Iv};
use chainmesh_identity::tls::rustls::{ConnectionTrafficSecrets, ProtocolVersion};
use proptest::prelude::*;

use super::super::TlsError;
use super::super::record::{Content, HEADER, MAX_PLAIN, Opener, Record, Sealer};

const FORMS: [(ProtocolVersion, bool); 4] = [
    (ProtocolVersion::TLSv1_3, true),
    (ProtocolVersion::TLSv1_3, false),
    (ProtocolVersion::TLSv1_2, true),
    (ProtocolVersion::TLSv1_2, false),
];

fn secrets(gcm: bool) -> (u64, ConnectionTrafficSecrets) {
    let (key, iv) = (AeadKey::from([3; 32]), Iv::from([4; 12]));
    let secrets = match gcm {
        true => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        false => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
    };
    (1, secrets)
}

fn ends((version, gcm): (ProtocolVersion, bool)) -> (Sealer, Opener) {
    let sealer = Sealer::new(version, secrets(gcm)).unwrap();
    (sealer, Opener::new(version, secrets(gcm)).unwrap())
}

#[test]
fn what_is_sealed_opens_in_place_and_elsewhere() {
    for form in FORMS {
        let (mut sealer, mut opener) = ends(form);
        let mut wire = BytesMut::new();
        for size in [0, 1, 15, 16, 17, 1000, MAX_PLAIN] {
            for content in [Content::Data, Content::Handshake, Content::Alert] {
                sealer.seal(content, &vec![9; size], &mut wire).unwrap();
            }
        }
        let mut elsewhere = BytesMut::from(&b"before"[..]);
        for (number, size) in [0, 1, 15, 16, 17, 1000, MAX_PLAIN].into_iter().enumerate() {
            for (turn, content) in
                [Content::Data, Content::Handshake, Content::Alert].into_iter().enumerate()
            {
                let record = Record::peek(&wire).unwrap().unwrap();
                assert!(opener.most(record) >= size);
                if (number + turn) % 2 == 0 {
                    let (found, plain) = opener.open(record, &mut wire).unwrap();
                    assert_eq!((found, plain.len()), (content, size));
                } else {
                    let found = opener.open_into(record, &mut wire, &mut elsewhere).unwrap();
                    let plain = elsewhere.split_off(6);
                    assert_eq!((found, plain.len()), (content, size));
                    assert!(plain.iter().all(|byte| *byte == 9));
                }
            }
        }
        assert!(wire.is_empty());
        assert_eq!(elsewhere, &b"before"[..]);
    }
}

proptest! {
    #[test]
    fn a_damaged_record_never_opens(
        form in 0..4_usize,
        size in 0..300_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (mut sealer, mut opener) = ends(FORMS[form]);
        let mut wire = BytesMut::new();
        sealer.seal(Content::Data, &vec![1; size], &mut wire).unwrap();
        let at = at.index(wire.len());
        // The minor version is said and not looked at, as in rustls.
        prop_assume!(at != 2);
        wire[at] ^= 1 << bit;
        if let Ok(Some(record)) = Record::peek(&wire) {
            let opened = opener.open(record, &mut wire);
            prop_assert!(opened.is_err(), "byte {at} of {}", HEADER);
        }
    }
}

#[test]
fn a_record_that_is_repeated_or_left_out_does_not_open() {
    for form in FORMS {
        let (mut sealer, mut opener) = ends(form);
        let mut first = BytesMut::new();
        sealer.seal(Content::Data, b"first", &mut first).unwrap();
        let mut second = BytesMut::new();
        sealer.seal(Content::Data, b"second", &mut second).unwrap();
        let record = Record::peek(&second).unwrap().unwrap();
        assert_eq!(opener.open(record, &mut second.clone()).err(), Some(TlsError::Forged));
        let record = Record::peek(&first).unwrap().unwrap();
        opener.open(record, &mut first.clone()).unwrap();
        assert_eq!(opener.open(record, &mut first).err(), Some(TlsError::Forged));
    }
}

#[test]
fn lengths_beyond_the_limit_are_refused_before_they_come() {
    assert_eq!(Record::peek(&[23, 3, 3, 0xff, 0xff]), Err(TlsError::RecordTooLarge(0xffff)));
    assert_eq!(Record::peek(&[23, 3, 3, 0x40, 0x11]), Ok(None));
    assert_eq!(Record::peek(&[23, 3, 3]), Ok(None));
}
