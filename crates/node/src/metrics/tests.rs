//! What Prometheus reads.

use super::Page;

#[test]
fn numbers_have_their_names_helps_and_labels() {
    let mut page = Page::new();
    page.gauge("head_number", "Number of the newest block", 7_u64);
    page.counter("dials", "Dials made", 3);
    let values = [(["timed out".to_owned()], 2), (["refused".to_owned()], 5)];
    page.counters("dial_failures", "Dials that led to no connection", &["reason"], values);
    let text = page.text();
    for line in [
        "# HELP chainmesh_head_number Number of the newest block.",
        "# TYPE chainmesh_head_number gauge",
        "chainmesh_head_number 7",
        "chainmesh_dials_total 3",
        "chainmesh_dial_failures_total{reason=\"timed out\"} 2",
        "chainmesh_dial_failures_total{reason=\"refused\"} 5",
        "# EOF",
    ] {
        assert!(text.lines().any(|it| it == line), "no line {line:?} in:\n{text}");
    }
}

/// Names of certificates are written by others.
#[test]
fn a_label_cannot_add_a_line() {
    let mut page = Page::new();
    let hostile = "CN=a\"} 1\nchainmesh_head_number 99\\".to_owned();
    page.gauges("certificate", "When it ends", &["subject"], [([hostile], 1)]);
    let text = page.text();
    assert!(!text.lines().any(|line| line.starts_with("chainmesh_head_number")), "{text}");
    let escaped = r#"chainmesh_certificate{subject="CN=a\"} 1\nchainmesh_head_number 99\\"} 1"#;
    assert!(text.lines().any(|line| line == escaped), "{text}");
}

#[test]
fn a_number_too_large_for_the_format_stays_the_largest() {
    let mut page = Page::new();
    page.gauge("bytes", "Bytes", u64::MAX);
    assert!(page.text().contains(&format!("chainmesh_bytes {}\n", i64::MAX)));
}
