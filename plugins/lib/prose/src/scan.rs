//! Searches for one of a few bytes, 64 at a time: in a sandbox each iteration of a loop also checks the clock.
//!
//! The searches are separate functions, so that their loops keep everything in registers.

/// The bytes of one iteration.
const STRIDE: usize = 4 * BLOCK;

/// The bytes of a register, and of the iterations for the rest.
const BLOCK: usize = 16;

/// Returns the first byte from `from` on that may begin a terminator.
#[inline(never)]
pub fn next_end(bytes: &[u8], from: usize) -> Option<usize> {
    next(bytes, from, marks::of_ends, may_end)
}

/// Returns the offset of the first line feed.
#[inline(never)]
pub fn next_line_feed(bytes: &[u8]) -> Option<usize> {
    next(bytes, 0, marks::of_line_feeds, |byte| byte == b'\n')
}

/// Returns whether this byte may begin a terminator. Most bytes of a text do not.
fn may_end(byte: u8) -> bool {
    // The most frequent one first.
    byte == b'.' || matches!(byte, b'!' | b'?' | 0xd8 | 0xdb | 0xe0..=0xe3 | 0xef)
}

/// Returns the first byte from `from` on that is `wanted`; `marks` returns a bit for each byte of a block that may be.
#[inline]
fn next(bytes: &[u8], from: usize, marks: impl Fn(&[u8; BLOCK]) -> u32, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let first = |bytes: &[u8], mut found: u64| {
        while found != 0 {
            let within = found.trailing_zeros() as usize;
            if bytes.get(within).is_some_and(|byte| wanted(*byte)) {
                return Some(within);
            }
            found &= found - 1;
        }
        None
    };
    let mut at = from;
    while let Some(stride) = bytes.get(at..)?.first_chunk::<STRIDE>() {
        let (blocks, _) = stride.as_chunks::<BLOCK>();
        let found = blocks.iter().rev().fold(0, |found, block| found << BLOCK | u64::from(marks(block)));
        if let Some(within) = first(stride, found) {
            return Some(at + within);
        }
        at += STRIDE;
    }
    while let Some(block) = bytes.get(at..)?.first_chunk::<BLOCK>() {
        if let Some(within) = first(block, u64::from(marks(block))) {
            return Some(at + within);
        }
        at += BLOCK;
    }
    let Some(block) = bytes.last_chunk::<BLOCK>() else {
        return Some(at + bytes.get(at..)?.iter().position(|byte| wanted(*byte))?);
    };
    // The rest is the end of a whole block, whose beginning was searched before.
    let start = bytes.len() - BLOCK;
    let seen = at.saturating_sub(start).min(BLOCK);
    first(block, u64::from(marks(block) >> seen << seen)).map(|within| start + within)
}

/// Returns a bit for each byte of a block, the first one lowest: WebAssembly's SIMD.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod marks {
    use super::BLOCK;
    use core::arch::wasm32::{i8x16_bitmask, u8x16_eq, u8x16_splat, v128, v128_load, v128_or};

    fn load(block: &[u8; BLOCK]) -> v128 {
        // SAFETY: the block has the 16 bytes that are read, and they need no alignment.
        unsafe { v128_load(block.as_ptr().cast()) }
    }

    /// Marks bytes that are not ASCII, or `.`, `!` or `?`.
    pub fn of_ends(block: &[u8; BLOCK]) -> u32 {
        let bytes = load(block);
        let is = |byte| u8x16_eq(bytes, u8x16_splat(byte));
        u32::from(i8x16_bitmask(v128_or(v128_or(bytes, is(b'.')), v128_or(is(b'!'), is(b'?')))))
    }

    pub fn of_line_feeds(block: &[u8; BLOCK]) -> u32 {
        u32::from(i8x16_bitmask(u8x16_eq(load(block), u8x16_splat(b'\n'))))
    }
}

/// The same with SSE2, which every processor of this architecture has.
#[cfg(target_arch = "x86_64")]
mod marks {
    use super::BLOCK;
    use core::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8};

    fn load(block: &[u8; BLOCK]) -> __m128i {
        // SAFETY: the block has the 16 bytes that are read, and they need no alignment.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }

    fn is(bytes: __m128i, byte: u8) -> __m128i {
        // SAFETY: every processor of this architecture has SSE2.
        unsafe { _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())) }
    }

    fn bits(lanes: __m128i) -> u32 {
        // SAFETY: as above.
        unsafe { _mm_movemask_epi8(lanes).cast_unsigned() }
    }

    /// Marks bytes that are not ASCII, or `.`, `!` or `?`.
    pub fn of_ends(block: &[u8; BLOCK]) -> u32 {
        let bytes = load(block);
        // SAFETY: as above.
        let or = |one, other| unsafe { _mm_or_si128(one, other) };
        bits(or(or(bytes, is(bytes, b'.')), or(is(bytes, b'!'), is(bytes, b'?'))))
    }

    pub fn of_line_feeds(block: &[u8; BLOCK]) -> u32 {
        bits(is(load(block), b'\n'))
    }
}

/// The same for any processor.
#[cfg(not(any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64")))]
mod marks {
    use super::BLOCK;

    fn bits(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u32 {
        block.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(is(*byte)))
    }

    /// Marks bytes that are not ASCII, or `.`, `!` or `?`.
    pub fn of_ends(block: &[u8; BLOCK]) -> u32 {
        bits(block, |byte| !byte.is_ascii() || matches!(byte, b'.' | b'!' | b'?'))
    }

    pub fn of_line_feeds(block: &[u8; BLOCK]) -> u32 {
        bits(block, |byte| byte == b'\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_found_is_the_first(text in "([a-z]{0,150}|[ .!?\n]|é|。|！|؟){0,12}", from in 0_usize..200) {
            let bytes = text.as_bytes();
            let from = from.min(bytes.len());
            let plainly = |wanted: &dyn Fn(u8) -> bool, from: usize| bytes[from..].iter().position(|byte| wanted(*byte)).map(|at| from + at);
            prop_assert_eq!(next_end(bytes, from), plainly(&may_end, from));
            prop_assert_eq!(next_line_feed(bytes), plainly(&|byte| byte == b'\n', 0));
        }
    }

    #[test]
    fn past_the_end_there_is_nothing() {
        assert_eq!(next_end(b"a.", 3), None);
        assert_eq!(next_end(&[b'.'; 16], 16), None);
        assert_eq!(next_end(&[b'.'; 17], 16), Some(16));
    }
}
