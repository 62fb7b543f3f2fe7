//! Which known word was probably meant?

/// The candidate most like `word`, if one is like it: at most a third of its letters wrong, left out, added or swapped.
///
/// Case does not count. Of several equally near the first wins.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.chars().take(LONGEST + 1).collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let allowed = (word.len() / 3).max(1);
    let own = letters_of(word.iter().copied());
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        // Most candidates need no comparison: a change brings one other letter at most.
        if (letters_of(candidate.chars()) & !own).count_ones() as usize > allowed {
            continue;
        }
        let letters: Vec<char> = candidate.chars().take(LONGEST + 1).collect();
        if letters.len() > LONGEST || letters.len().abs_diff(word.len()) > allowed {
            continue;
        }
        let Some(distance) = distance(&word, &letters, allowed) else { continue };
        // A word of two letters is one wrong letter away from every other: both must share one.
        if distance < letters.len().max(word.len()) && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longest word that is compared.
const LONGEST: usize = 64;

/// Which letters a word has, those that are equal but for 64 of their numbers taken for one.
fn letters_of(word: impl Iterator<Item = char>) -> u64 {
    word.take(LONGEST + 1).fold(0, |letters, letter| letters | 1 << (u32::from(letter.to_ascii_lowercase()) % 64))
}

/// Damerau-Levenshtein distance in its optimal-string-alignment form, ASCII case ignored; `None` beyond `allowed`.
fn distance(a: &[char], b: &[char], allowed: usize) -> Option<usize> {
    let same = |x: char, y: char| x.eq_ignore_ascii_case(&y);
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut row = above.clone();
    // A row is made of the two above it: once both are beyond, all that follow are.
    let mut beyond = false;
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(!same(a[i - 1], b[j - 1]));
            row[j] = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        let was_beyond = std::mem::replace(&mut beyond, row.iter().all(|distance| *distance > allowed));
        if beyond && was_beyond {
            return None;
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
    }
    Some(above[b.len()]).filter(|distance| *distance <= allowed)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KEYS: [&str; 5] = ["listen", "cores", "io", "header_timeout", "idle_timeout"];

    #[test]
    fn one_wrong_missing_added_or_swapped_letter_is_found() {
        for word in ["listan", "listn", "lissten", "lisetn", "LISTEN"] {
            assert_eq!(nearest(word, KEYS), Some("listen"), "{word}");
        }
        assert_eq!(nearest("headertimeout", KEYS), Some("header_timeout"));
        assert_eq!(nearest("header-timout", KEYS), Some("header_timeout"));
    }

    #[test]
    fn what_is_like_nothing_finds_nothing() {
        for word in ["", "xyz", "a", "upstream", &"l".repeat(10_000)] {
            assert_eq!(nearest(word, KEYS), None, "{word}");
        }
        assert_eq!(nearest("zz", ["io"]), None);
    }

    #[test]
    fn stopping_early_changes_no_distance() {
        let letters =
            |number: usize| -> Vec<char> { (0..number % 6).map(|at| b"abA"[number / (at + 1) % 3].into()).collect() };
        for one in 0..60 {
            for other in 0..60 {
                let (one, other) = (letters(one), letters(other));
                let exact = super::distance(&one, &other, usize::MAX).expect("no bound");
                for allowed in 0..5 {
                    let expected = (exact <= allowed).then_some(exact);
                    assert_eq!(super::distance(&one, &other, allowed), expected, "{one:?} {other:?} {allowed}");
                }
            }
        }
    }

    #[test]
    fn a_swap_counts_once_and_the_nearer_wins() {
        assert_eq!(nearest("GTE", ["GATES", "GET"]), Some("GET"));
        assert_eq!(nearest("FORBIDEN", ["FOUND", "FORBIDDEN"]), Some("FORBIDDEN"));
    }
}
