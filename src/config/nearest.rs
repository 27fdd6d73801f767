//! The known name that a mistyped one is most like.

/// The candidate within reach of `name`: the fewest single-character slips (insert, delete, replace,
/// swap of neighbours) away, at most a third of its length. `None` when nothing is that close.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let reach = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                distance(&wanted, &candidate.chars().flat_map(char::to_lowercase).collect::<Vec<_>>()),
                candidate,
            )
        })
        .filter(|(slips, _)| *slips <= reach)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance, by rows.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (i, &ca) in a.iter().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = i + 1;
        next.push(left);
        let mut last_b = None;
        for (j, &cb) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&row, j) + usize::from(ca != cb)).min(at(&row, j + 1) + 1).min(left + 1);
            if last_a == Some(cb)
                && last_b == Some(ca)
                && let Some(k) = j.checked_sub(1)
            {
                best = best.min(at(&before, k) + 1);
            }
            next.push(best);
            left = best;
            last_b = Some(cb);
        }
        before = std::mem::replace(&mut row, next);
        last_a = Some(ca);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_the_name_that_was_meant() {
        let names = ["server.listen", "server.max_connections", "data_dir", "log.level"];
        for (typed, meant) in [
            ("server.lisen", Some("server.listen")),
            ("server.lsiten", Some("server.listen")),
            ("SERVER.LISTEN", Some("server.listen")),
            ("datadir", Some("data_dir")),
            ("log.levels", Some("log.level")),
            ("server.max_connection", Some("server.max_connections")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }

    #[test]
    fn a_swap_of_neighbours_is_one_slip() {
        assert_eq!(nearest("abdc", ["xbcd", "abcd"]), Some("abcd"));
        assert_eq!(nearest("ba", ["ab"]), Some("ab"));
    }
}
