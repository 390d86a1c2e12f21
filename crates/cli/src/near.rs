//! What a person may have meant by a word that is not known.

/// The candidate that differs least, if it differs by no more than so many letters.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>, most: usize) -> Option<&'a str> {
    let near = candidates.map(|one| (distance(word, one), one)).min()?;
    (near.0 <= most).then_some(near.1)
}

/// How many letters must be put in, taken out or replaced to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut left = at + 1;
        let mut next = vec![left];
        for (pair, wanted) in row.windows(2).zip(other.chars()) {
            let [diagonal, above] = pair else { continue };
            left = (diagonal + usize::from(letter != wanted)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_words_counts_their_letters() {
        for (one, other, expected) in [("", "ABC", 3), ("ABC", "ABC", 0), ("ABC", "AXC", 1), ("ABC", "BC", 1)] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let agents = ["research", "code"];
        assert_eq!(nearest("reserch", agents.into_iter(), 2), Some("research"));
        assert_eq!(nearest("billing", agents.into_iter(), 2), None);
        assert_eq!(nearest("x", std::iter::empty(), 2), None);
    }
}
