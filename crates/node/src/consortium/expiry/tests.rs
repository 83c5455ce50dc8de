use super::*;

#[test]
fn each_mark_is_said_once_and_again_for_another_certificate() {
    let mut watch = ExpiryWatch::default();
    let end = 1_000 * DAY;
    let said: Vec<_> = (960 * 24..=1_001 * 24)
        .filter_map(|hour| watch.mark(end, hour * 3600).map(|mark| (hour / 24, mark)))
        .collect();
    let days = [(970, 30), (986, 14), (993, 7), (997, 3), (998, 2), (999, 1), (1_000, 0)];
    assert_eq!(said, days);
    assert_eq!(watch.mark(end + 5 * DAY, end), Some(7), "the next one is nearly over, too");
    assert_eq!(watch.mark(end + 400 * DAY, end), None);
}
