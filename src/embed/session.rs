//! One ONNX session that many threads run at the same time.
//!
//! The only module here with `unsafe`: see [`SharedSession::run`].
#![allow(unsafe_code, reason = "concurrent runs of one session go through the C interface")]

use std::{ffi::CStr, path::Path, ptr};

use ort::{
    AsPointer,
    session::{Session, builder::GraphOptimizationLevel},
    value::{Tensor, TensorRef},
};

use super::{EmbedError, Runtime};

const INPUT_IDS: &CStr = c"input_ids";
const ATTENTION_MASK: &CStr = c"attention_mask";
const OUTPUT: &CStr = c"sentence_embedding";

/// A loaded model. Its weights are in memory once, however many threads run it.
pub struct SharedSession {
    session: Session,
    dimension: usize,
}

/// Rows of equal length, row after row: `rows * length` token ids, and 1 for a token or 0 for padding.
pub struct Rows {
    pub rows: usize,
    pub length: usize,
    pub ids: Vec<i64>,
    pub mask: Vec<i64>,
}

impl SharedSession {
    /// Loads a graph that the converter wrote. Blocks.
    pub fn open(runtime: &Runtime, path: &Path, dimension: usize) -> Result<Self, EmbedError> {
        let invalid = |reason: String| EmbedError::ModelInvalid {
            path: path.to_owned(),
            reason,
        };
        let session = open(runtime, path).map_err(|error| invalid(error.to_string()))?;
        let inputs: Vec<&str> = session.inputs().iter().map(|input| input.name()).collect();
        let outputs: Vec<&str> = session.outputs().iter().map(|output| output.name()).collect();
        if inputs.as_slice() != ["input_ids", "attention_mask"] || outputs.as_slice() != ["sentence_embedding"] {
            return Err(invalid(format!("its inputs are {inputs:?} and its outputs {outputs:?}")));
        }
        Ok(Self { session, dimension })
    }

    /// One vector per row, row after row: `rows * dimension` components. Called by any number of threads at once.
    pub fn run(&self, rows: &Rows) -> Result<Vec<f32>, EmbedError> {
        let shape = [rows.rows, rows.length];
        let ids = TensorRef::from_array_view((shape, rows.ids.as_slice())).map_err(EmbedError::compute)?;
        let mask = TensorRef::from_array_view((shape, rows.mask.as_slice())).map_err(EmbedError::compute)?;
        // The output is ours, so that nothing allocated by the session outlives this call.
        let vectors = vec![0_f32; rows.rows * self.dimension];
        let mut output = Tensor::from_array(([rows.rows, self.dimension], vectors)).map_err(EmbedError::compute)?;

        let input_names = [INPUT_IDS.as_ptr(), ATTENTION_MASK.as_ptr()];
        let inputs = [ids.ptr(), mask.ptr()];
        let output_names = [OUTPUT.as_ptr()];
        let mut outputs = [output.ptr_mut()];
        // SAFETY:
        // * `Session::run` of the `ort` crate wants `&mut self` because some execution providers are not safe to
        //   run concurrently. This session has the CPU provider and no other (`open` adds none, the
        //   environment has none), for which ONNX Runtime documents `Run` as thread-safe: executor state is per
        //   call, the arena allocator locks, and memory patterns, the one thing that calls would share and
        //   update, are off.
        // * Names and values are arrays of the lengths given beside them, alive until the call returns; names
        //   are NUL-terminated; the values are two int64 tensors and one float tensor that this call owns alone.
        // * The session lives as long as `self`. A null `OrtRunOptions` means the defaults.
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                input_names.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            )
        };
        // SAFETY: the status comes from the call above, and nobody else releases it.
        unsafe { ort::Error::result_from_status(status) }.map_err(EmbedError::compute)?;
        let (_, vectors) = output.try_extract_tensor::<f32>().map_err(EmbedError::compute)?;
        if vectors.iter().any(|component| !component.is_finite()) {
            return Err(EmbedError::compute("a vector has a component that is not a finite number"));
        }
        Ok(vectors.to_vec())
    }
}

fn open(runtime: &Runtime, path: &Path) -> ort::Result<Session> {
    Session::builder(&runtime.environment)?
        // Threads of the embedder run the session concurrently: dividing one run among threads would only add
        // hand-over between them.
        .with_intra_threads(1)?
        .with_intra_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        // Patterns are kept per input shape, without a bound, and pay only when shapes recur.
        .with_memory_pattern(false)?
        .with_no_environment_execution_providers()?
        .commit_from_file(path)
}
