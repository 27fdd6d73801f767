//! The larger and the smaller of two numbers, as one comparison.
//!
//! `f32::max` and `f32::min` are calls of a library's function where the code is WebAssembly, whose own instructions treat what is not a
//! number otherwise: for each glyph that is dearer than all else that is done with it.

/// The larger one; `first` where `second` is not a number.
#[inline]
pub(crate) fn larger(first: f32, second: f32) -> f32 {
    if second > first { second } else { first }
}

/// The smaller one; `first` where `second` is not a number.
#[inline]
pub(crate) fn smaller(first: f32, second: f32) -> f32 {
    if second < first { second } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_counts_for_nothing() {
        assert_eq!((larger(1.0, 2.0), larger(2.0, 1.0), larger(1.0, f32::NAN)), (2.0, 2.0, 1.0));
        assert_eq!((smaller(1.0, 2.0), smaller(2.0, 1.0), smaller(1.0, f32::NAN)), (1.0, 1.0, 1.0));
        let widths = [f32::NAN, 3.0, -1.0];
        assert_eq!(widths.into_iter().fold(f32::MAX, smaller), -1.0);
        assert_eq!(widths.into_iter().fold(f32::MIN, larger), 3.0);
    }
}
