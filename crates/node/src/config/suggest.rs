//! The key that might have been meant by one that nobody knows.

/// Reads serde's `unknown field `x`, expected …`, and gives the known key that is nearest to the
/// unknown one, if it is near.
pub(super) fn meant(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let near = |known: &&str| {
        // A third of the letters may be wrong.
        let distance = distance(unknown, known);
        (distance <= (unknown.chars().count() / 3).max(1)).then_some(distance)
    };
    let best = names.filter_map(|known| Some((near(&known)?, known))).min()?;
    Some(best.1.to_owned())
}

/// How many letters have to be added, left out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, of_other) in row.iter_mut().skip(1).zip(&other) {
            let changed = diagonal + usize::from(letter != *of_other);
            diagonal = *cell;
            left = changed.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
