//! Merges lists of scored hits.

use std::collections::HashMap;
use std::hash::Hash;

/// What one search found.
#[derive(Debug, Clone)]
pub struct Scored<T> {
    /// How much the search counts: more than 0.
    pub weight: f32,
    /// What it found, with scores; an item that comes twice has its best one.
    pub hits: Vec<(T, f32)>,
    /// The score that counts as 1: the best that can be had.
    pub scale: f32,
    /// The score of what it did not find.
    pub floor: f32,
}

/// Fuses searches by a convex combination of their scores, each as a share of the best that can be had, so that the
/// result lies in [0,1]. Unlike ranks, scores tell whether a search found anything good at all, which is why this beats
/// reciprocal rank fusion where one of two searches is beside the point (Bruch, Gai and Ingber, TOIS 2023; measured in
/// `docs/quality.md`). Ties are broken by the item, so that the order is determined.
pub fn combine<T: Clone + Eq + Hash + Ord>(searches: &[Scored<T>]) -> Vec<(T, f32)> {
    let all: f32 = searches.iter().map(|search| search.weight).sum();
    let share = |search: &Scored<T>, score: f32| {
        let share = search.weight * (score / search.scale.max(f32::EPSILON)).clamp(0.0, 1.0);
        share / all.max(f32::EPSILON)
    };
    let nothing: f32 = searches.iter().map(|search| share(search, search.floor)).sum();
    let mut sums: HashMap<&T, f32> = HashMap::new();
    for search in searches {
        let floor = share(search, search.floor);
        let mut best: HashMap<&T, f32> = HashMap::new();
        for (item, score) in &search.hits {
            let score = share(search, *score);
            best.entry(item).and_modify(|best| *best = best.max(score)).or_insert(score);
        }
        for (item, score) in best {
            *sums.entry(item).or_insert(nothing) += score - floor;
        }
    }
    let mut fused: Vec<(T, f32)> = sums.into_iter().map(|(item, sum)| (item.clone(), sum.clamp(0.0, 1.0))).collect();
    fused.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
    fused
}

#[cfg(test)]
mod tests {
    use super::{Scored, combine};
    use proptest::prelude::*;

    fn search(weight: f32, hits: &[(&'static str, f32)], scale: f32, floor: f32) -> Scored<&'static str> {
        Scored {
            weight,
            hits: hits.to_vec(),
            scale,
            floor,
        }
    }

    fn order(searches: &[Scored<&'static str>]) -> Vec<&'static str> {
        combine(searches).into_iter().map(|(item, _)| item).collect()
    }

    #[test]
    fn what_both_searches_find_comes_before_what_one_finds() {
        let searches = [
            search(1.0, &[("a", 0.8), ("b", 0.7)], 1.0, 0.0),
            search(1.0, &[("b", 8.0), ("c", 9.0)], 10.0, 0.0),
        ];
        assert_eq!(order(&searches), ["b", "c", "a"]);
    }

    #[test]
    fn a_search_that_found_nothing_good_says_little() {
        let searches = [
            search(1.0, &[("a", 0.8), ("b", 0.5)], 1.0, 0.0),
            // By rank, `b` would win this one.
            search(1.0, &[("b", 1.0)], 10.0, 0.0),
        ];
        assert_eq!(order(&searches), ["a", "b"]);
    }

    #[test]
    fn what_a_search_did_not_find_has_its_floor() {
        let fused = combine(&[search(1.0, &[("a", 1.0)], 1.0, 0.5), search(1.0, &[("b", 1.0)], 1.0, 0.0)]);
        assert_eq!(fused, [("b", 0.75), ("a", 0.5)]);
    }

    proptest! {
        #[test]
        fn every_item_comes_once_in_falling_order(
            lists in prop::collection::vec((0.1f32..3.0, prop::collection::vec((0u32..40, -1f32..9.0), 0..20), 0f32..8.0, 0f32..1.0), 1..4)
        ) {
            let searches: Vec<Scored<u32>> = lists.into_iter().map(|(weight, hits, scale, floor)| Scored { weight, hits, scale, floor }).collect();
            let fused = combine(&searches);
            let mut expected: Vec<u32> = searches.iter().flat_map(|search| search.hits.iter().map(|(item, _)| *item)).collect();
            expected.sort_unstable();
            expected.dedup();
            let mut items: Vec<u32> = fused.iter().map(|(item, _)| *item).collect();
            items.sort_unstable();
            prop_assert_eq!(items, expected);
            prop_assert!(fused.windows(2).all(|pair| pair[0].1 >= pair[1].1));
            prop_assert!(fused.iter().all(|(_, score)| (0.0..=1.0).contains(score)));
        }
    }
}
