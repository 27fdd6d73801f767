//! The known name that a mistyped one is most like.

/// The candidate within reach of `name`: the fewest single-character slips (insert, delete, replace,
/// swap of neighbours) away, at most a third of its length. `None` when nothing is that close.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let reach = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(slips, _)| *slips <= reach)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
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
