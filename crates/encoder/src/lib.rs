//! The forward pass of encoders of the BERT family in 32-bit floats, on x86-64 processors.
//!
//! [`Encoder`] holds a model's weights in the layout that the processor's vector units need, and computes one vector, or one score, for
//! each text. A general runtime computes operator by operator. This crate saves memory traffic between matrix products: a bias or an
//! activation is applied to a tile that is still in the cache, attention keeps its scores there, and texts of all lengths are packed, so
//! that nothing is padded.
//!
//! This is a separate crate because it must be compiled with optimisation even where the rest of the program is not. It reaches the vector
//! units through `pulp`, without `unsafe`.
//!
//! A text always has the same vector, to the last bit: each number is the sum of the same products in the same order, whatever rows stand
//! beside it.

// The compiler keeps an array of sums in registers if constants index it, and in memory if an iterator does.
#![allow(clippy::needless_range_loop)]
// Lengths are checked once, when a model is built and when a text comes in; the loops index buffers of these lengths.
#![allow(clippy::indexing_slicing)]

mod attention;
mod encoder;
mod floats;
mod functions;
mod product;

pub use encoder::{Activation, BuildError, Encoder, Head, Output, Pooling, RunError, Shape, Text, Weights, mean, normalize};
pub use floats::Level;
