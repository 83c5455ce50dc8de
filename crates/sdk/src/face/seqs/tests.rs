use super::Seqs;

#[test]
fn a_number_comes_back_from_its_seq_and_from_no_other() {
    let seqs = Seqs::new(0x0123_4567_89ab_cdef);
    for number in [0, 1, 0xff, u64::MAX, 0x8000_0000_0000_0000] {
        assert_eq!(seqs.number(&seqs.of(number).0), Some(number));
        assert_eq!(Seqs::new(7).number(&seqs.of(number).0), None);
    }
    let own = seqs.of(5).0;
    assert_eq!(&own, b"0123456789abcdef0000000000000005");
    for strange in [&own[..31], b"", b"0123456789abcdef000000000000000G", b"x"] {
        assert_eq!(seqs.number(strange), None);
    }
    assert_eq!(seqs.number(b"0123456789ABCDEF0000000000000005"), None, "as we wrote it");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_seq_of_ours_or_none(prefix: u64, number: u64, other in "[0-9a-fA-F:]{0,40}") {
        let seqs = Seqs::new(prefix);
        proptest::prop_assert_eq!(seqs.number(&seqs.of(number).0), Some(number));
        if let Some(number) = seqs.number(other.as_bytes()) {
            proptest::prop_assert_eq!(&seqs.of(number).0[..], other.as_bytes());
        }
    }
}
