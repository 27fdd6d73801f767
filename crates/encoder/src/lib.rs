//! The forward pass of encoders of the BERT family in 32-bit floats, on x86-64 processors.
//!
//! [`Encoder`] holds a model's weights as the processor's vector units want them, and makes one vector, or one score, of each
//! text. A general runtime computes operator by operator; what is gained here is what lies between its matrix products: a bias or an
//! activation is applied to a tile that is still in the cache, attention keeps its scores there, and texts of all lengths stand one
//! after the other, so that nothing is padded.
//!
//! A crate of its own because it is of no use unless it is optimised, whatever is said of the program around it. The vector units are
//! reached through `pulp`, without `unsafe`.
//!
//! A text always has the same vector, to the last bit: each number is the sum of the same products in the same order,
//! whatever rows stand beside it. Knows nothing of files, tokenizers or threads.

// The compiler keeps an array of sums in registers if constants index it, and in memory if an iterator does.
#![allow(clippy::needless_range_loop)]
// Lengths are checked once, where a model is built and a text comes in; its loops index what was made by them.
#![allow(clippy::indexing_slicing)]

mod attention;
mod encoder;
mod floats;
mod functions;
mod product;

pub use encoder::{Activation, BuildError, Encoder, Head, Output, Pooling, RunError, Shape, Text, Weights, mean, normalize};
pub use floats::Level;
