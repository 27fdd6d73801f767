//! Merges ranked lists. May depend on nothing of Ibid's.

use std::collections::HashMap;
use std::hash::Hash;

/// Constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): how little the
/// first ranks differ.
const K: f32 = 60.0;

/// Fuses ranked lists by weighted reciprocal rank: an item's score is the sum of
/// `weight / (K + rank)` over the lists that hold it, as a share of what the first of all lists
/// would get, so it lies in (0,1]. Ties are broken by the item, so that the order is determined.
pub fn reciprocal_rank_fusion<T: Clone + Eq + Hash + Ord>(lists: &[(f32, Vec<T>)]) -> Vec<(T, f32)> {
    let best: f32 = lists.iter().map(|(weight, _)| weight / (K + 1.0)).sum();
    let mut scores: HashMap<&T, f32> = HashMap::new();
    for (weight, items) in lists {
        for (rank, item) in items.iter().enumerate() {
            *scores.entry(item).or_default() += weight / (K + rank as f32 + 1.0);
        }
    }
    let mut fused: Vec<(T, f32)> = scores
        .into_iter()
        .map(|(item, score)| (item.clone(), score / best.max(f32::EPSILON)))
        .collect();
    fused.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
    fused
}

#[cfg(test)]
mod tests {
    use super::reciprocal_rank_fusion;
    use proptest::prelude::*;

    #[test]
    fn what_both_lists_hold_comes_before_what_one_holds() {
        let fused = reciprocal_rank_fusion(&[(1.0, vec!["a", "b"]), (1.0, vec!["b", "c"])]);
        assert_eq!(fused.iter().map(|(item, _)| *item).collect::<Vec<_>>(), ["b", "a", "c"]);
    }

    #[test]
    fn the_first_of_all_lists_scores_one() {
        let fused = reciprocal_rank_fusion(&[(2.0, vec!["a"]), (0.5, vec!["a", "b"])]);
        assert!((fused[0].1 - 1.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn every_item_comes_once_in_falling_order(
            lists in prop::collection::vec((0.1f32..3.0, prop::collection::btree_set(0u32..40, 0..20)), 1..4)
        ) {
            let lists: Vec<(f32, Vec<u32>)> = lists.into_iter().map(|(weight, items)| (weight, items.into_iter().collect())).collect();
            let fused = reciprocal_rank_fusion(&lists);
            let mut expected: Vec<u32> = lists.iter().flat_map(|(_, items)| items.clone()).collect();
            expected.sort();
            expected.dedup();
            let mut items: Vec<u32> = fused.iter().map(|(item, _)| *item).collect();
            items.sort();
            prop_assert_eq!(items, expected);
            prop_assert!(fused.windows(2).all(|pair| pair[0].1 >= pair[1].1));
            prop_assert!(fused.iter().all(|(_, score)| *score > 0.0 && *score <= 1.0 + 1e-5));
        }
    }
}
