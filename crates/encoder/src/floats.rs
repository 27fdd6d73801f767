//! The processor's vector units, and memory laid out for them.

use pulp::Arch;

/// The vector units to compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// AVX2 and FMA: 8 floats at a time. x86-64-v3.
    Avx2,
    /// AVX-512 (F, BW, CD, DQ, VL): 16 floats at a time. x86-64-v4.
    Avx512,
}

impl Level {
    /// Returns the widest that this processor has; none where a general runtime would be as fast.
    #[must_use]
    pub fn widest() -> Option<Self> {
        Self::all().last()
    }

    /// Returns all that this processor has, the widest last.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Avx2, Self::Avx512].into_iter().filter(|level| level.arch().is_some())
    }

    /// Returns the dispatcher for these units, if the processor has them.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn arch(self) -> Option<Arch> {
        use pulp::x86::{V3, V4};
        match self {
            Self::Avx2 => V3::try_new().map(Arch::V3),
            Self::Avx512 => V4::try_new().map(Arch::V4),
        }
    }

    /// Returns nothing: this processor has no such units.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn arch(self) -> Option<Arch> {
        None
    }

    /// Returns the number of floats in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }
}

/// Bytes of a cache line. A vector must not cross the boundary of a line.
const LINE: usize = 64;
/// Floats in a line.
const LINE_FLOATS: usize = LINE / size_of::<f32>();

/// Floats whose first one is aligned to a cache line.
#[derive(Debug, Default)]
pub struct Floats {
    memory: Vec<f32>,
    /// The number of floats before the aligned one.
    skipped: usize,
}

impl Floats {
    /// Allocates `length` zeros.
    pub fn zeros(length: usize) -> Self {
        let mut floats = Self::default();
        floats.grow(length);
        floats
    }

    /// Makes room for `length` floats, whose values are undefined.
    pub fn grow(&mut self, length: usize) {
        if self.memory.len() < length + LINE_FLOATS {
            self.memory = vec![0.0; length + LINE_FLOATS];
            // It can always be aligned, since a float's size divides a line's.
            self.skipped = self.memory.as_ptr().align_offset(LINE).min(LINE_FLOATS);
        }
    }

    /// Returns the first `length` floats; there must be room for them.
    pub fn first(&self, length: usize) -> &[f32] {
        &self.memory[self.skipped..][..length]
    }

    pub fn first_mut(&mut self, length: usize) -> &mut [f32] {
        &mut self.memory[self.skipped..][..length]
    }

    /// Returns how many floats there is room for.
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }
}

/// Divides floats into `count` parts of whole lines, as equal as possible; there may be fewer.
pub fn parts(floats: &[f32], count: usize) -> impl Iterator<Item = &[f32]> {
    floats.chunks(floats.len().div_ceil(count.max(1)).next_multiple_of(LINE_FLOATS).max(LINE_FLOATS))
}

/// Returns the first float of each line.
#[inline(always)]
pub fn lines(floats: &[f32]) -> impl ExactSizeIterator<Item = &f32> {
    floats.iter().step_by(LINE_FLOATS)
}

/// Prefetches a line into the processor's second-level cache.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "there is no other way to prefetch")]
pub fn prefetch(float: &f32) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: prefetching has no effect on the program's state, whatever the address; this one is a reference's.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(float).cast()) }
}

/// Does nothing: this processor has no vector units.
#[cfg(not(target_arch = "x86_64"))]
pub fn prefetch(_: &f32) {}
