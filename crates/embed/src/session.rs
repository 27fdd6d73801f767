//! One ONNX session that many threads run at the same time.
//!
//! The only module here with `unsafe`: see [`SharedSession::run_raw`].
#![allow(unsafe_code, reason = "concurrent runs of one session go through the C interface")]

use std::{
    ffi::CString,
    path::Path,
    ptr,
    sync::{Mutex, PoisonError},
};

use ort::{
    AsPointer,
    ep::{ArbitrarilyConfigurableExecutionProvider, CUDA},
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
    value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType},
};

use super::{
    EmbedError, ModelInfo, ModelKind, Pooling, Runtime,
    convert::{ATTENTION_MASK, INPUT_IDS, LOGITS, OFFSETS, OUTPUT, POSITIONS, SHARES, STARTS, TOKEN_TYPES, TOKENS},
};

/// The processor that a session runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

/// The source of a session's graph.
pub enum Graph<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

/// A loaded model. Its weights are in memory once, however many threads run it.
pub struct SharedSession {
    session: Session,
    processor: Processor,
    inputs: Vec<Input>,
    input_names: Vec<CString>,
    output_name: CString,
    output: Output,
    dimension: usize,
    /// Pinned memory, which a GPU copies from and to directly; one user at a time.
    pinned: Option<Mutex<Allocator>>,
}

/// The content of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ids,
    Mask,
    Types,
    Tokens,
    Positions,
    Offsets,
    Starts,
    Shares,
}

#[derive(Clone, Copy, Debug)]
struct Input {
    role: Role,
    kind: TensorElementType,
}

/// The content of the output, which determines what is left to do.
#[derive(Clone, Copy, Debug)]
enum Output {
    /// Texts' vectors, ready.
    Vectors,
    /// Texts' vectors of a ready model, to be normalised if set.
    Raw { normalize: bool },
    /// Tokens' vectors of a ready model.
    Tokens { pooling: Pooling, normalize: bool },
}

/// Rows of equal length, one after the other: `rows * length` token ids, 1 for a token or 0 for padding, and 1 for the tokens of a second
/// text or 0.
pub struct Rows {
    pub rows: usize,
    pub length: usize,
    pub ids: Vec<i64>,
    pub mask: Vec<i64>,
    pub types: Vec<i64>,
}

impl SharedSession {
    /// Loads a graph, and runs it once to check it against its description. Blocks.
    pub fn open(runtime: &Runtime, path: &Path, graph: &Graph, info: &ModelInfo, processor: Processor) -> Result<Self, EmbedError> {
        let opened = Self::open_untried(runtime, path, graph, info, processor)?;
        opened.try_out().map_err(|error| EmbedError::ModelInvalid {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(opened)
    }

    /// Loads a graph. Blocks.
    pub fn open_untried(runtime: &Runtime, path: &Path, graph: &Graph, info: &ModelInfo, processor: Processor) -> Result<Self, EmbedError> {
        let invalid = |reason: String| EmbedError::ModelInvalid {
            path: path.to_owned(),
            reason,
        };
        let session = load(runtime, graph, processor).map_err(|error| invalid(error.to_string()))?;
        let described = session.inputs().iter().map(|input| {
            let role = match input.name() {
                INPUT_IDS => Role::Ids,
                ATTENTION_MASK => Role::Mask,
                TOKEN_TYPES => Role::Types,
                TOKENS => Role::Tokens,
                POSITIONS => Role::Positions,
                OFFSETS => Role::Offsets,
                STARTS => Role::Starts,
                SHARES => Role::Shares,
                other => return Err(invalid(format!("it reads {other}"))),
            };
            let kind = input.dtype().tensor_type().unwrap_or(TensorElementType::Undefined);
            let expected = match role {
                Role::Ids | Role::Mask | Role::Types => [TensorElementType::Int64, TensorElementType::Int32].as_slice(),
                Role::Shares => &[TensorElementType::Float32],
                _ => &[TensorElementType::Int32],
            };
            if !expected.contains(&kind) {
                return Err(invalid(format!("its input {} is of type {kind:?}", input.name())));
            }
            Ok(Input { role, kind })
        });
        let inputs = described.collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&str> = session.inputs().iter().map(|input| input.name()).collect();
        let has = |role| inputs.iter().any(|input| input.role == role);
        let takes_rows = has(Role::Ids);
        let takes_texts = has(Role::Tokens) && has(Role::Starts);
        if !(takes_rows || takes_texts) {
            return Err(invalid(format!("its inputs are {names:?}")));
        }
        let (output_name, output) = match &info.ready {
            None if info.kind == ModelKind::Reranker => (LOGITS, Output::Vectors),
            None => (OUTPUT, Output::Vectors),
            Some(ready) if ready.pooled => (
                ready.output.as_str(),
                Output::Raw {
                    normalize: info.normalized,
                },
            ),
            Some(ready) => (
                ready.output.as_str(),
                Output::Tokens {
                    pooling: info.pooling,
                    normalize: info.normalized,
                },
            ),
        };
        let found = session.outputs().iter().find(|output| output.name() == output_name);
        if found.and_then(|output| output.dtype().tensor_type()) != Some(TensorElementType::Float32) {
            return Err(invalid(format!("it has no output {output_name} of 32-bit floats")));
        }
        let nul = |_| invalid("a name has a NUL character".to_owned());
        let input_names = names.into_iter().map(CString::new).collect::<Result<_, _>>().map_err(nul)?;
        let output_name = CString::new(output_name).map_err(nul)?;
        let pinned = match processor {
            Processor::Cpu => None,
            Processor::Cuda(device) => {
                let memory = i32::try_from(device).map_err(EmbedError::compute).and_then(|device| {
                    MemoryInfo::new(AllocationDevice::CUDA_PINNED, device, AllocatorType::Device, MemoryType::CPUInput)
                        .and_then(|memory| Allocator::new(&session, memory))
                        .map_err(EmbedError::compute)
                });
                Some(Mutex::new(memory?))
            }
        };
        Ok(Self {
            session,
            processor,
            inputs,
            input_names,
            output_name,
            output,
            dimension: info.dimension,
            pinned,
        })
    }

    /// Returns the processor that it runs on.
    pub fn processor(&self) -> Processor {
        self.processor
    }

    /// Returns whether it takes packed texts, without padding.
    pub fn is_packed(&self) -> bool {
        self.inputs.iter().any(|input| input.role == Role::Tokens)
    }

    /// Runs the model once, so that a wrong dimension fails here instead of in the middle of a document.
    fn try_out(&self) -> Result<(), EmbedError> {
        if self.is_packed() {
            return self.run_packed(&[&[0, 0, 0], &[0, 0]]).map(drop);
        }
        self.run(Rows {
            rows: 1,
            length: 3,
            ids: vec![0; 3],
            mask: vec![1; 3],
            types: vec![0; 3],
        })
        .map(drop)
    }

    /// Returns one vector per row, one after the other: `rows * dimension` components. Any number of threads may call it at once.
    pub fn run(&self, rows: Rows) -> Result<Vec<f32>, EmbedError> {
        let shape = [rows.rows, rows.length];
        let inputs = self.inputs.iter().map(|input| match (input.role, input.kind) {
            (Role::Ids, TensorElementType::Int64) => self.tensor(&shape, &rows.ids),
            (Role::Mask, TensorElementType::Int64) => self.tensor(&shape, &rows.mask),
            (Role::Types, TensorElementType::Int64) => self.tensor(&shape, &rows.types),
            (Role::Ids, _) => self.tensor(&shape, &narrow(&rows.ids)),
            (Role::Mask, _) => self.tensor(&shape, &narrow(&rows.mask)),
            (Role::Types, _) => self.tensor(&shape, &narrow(&rows.types)),
            (role, _) => Err(EmbedError::compute(format!("rows have no {role:?}"))),
        });
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        match self.output {
            Output::Vectors => self.run_raw(&inputs, &[rows.rows, self.dimension]),
            Output::Raw { normalize } => {
                let mut vectors = self.run_raw(&inputs, &[rows.rows, self.dimension])?;
                if normalize {
                    vectors.chunks_exact_mut(self.dimension).for_each(ibid_encoder::normalize);
                }
                Ok(vectors)
            }
            Output::Tokens { pooling, normalize } => {
                let tokens = self.run_raw(&inputs, &[rows.rows, rows.length, self.dimension])?;
                Ok(pool(&tokens, &rows, self.dimension, pooling, normalize))
            }
        }
    }

    /// Returns one vector per text, for a session that takes packed texts; each text has at least one token.
    pub fn run_packed(&self, texts: &[&[u32]]) -> Result<Vec<f32>, EmbedError> {
        let packed = Packed::of(texts)?;
        let inputs = self.inputs.iter().map(|input| match input.role {
            Role::Tokens => self.tensor(&[packed.tokens.len()], &packed.tokens),
            Role::Positions => self.tensor(&[packed.tokens.len()], &packed.positions),
            Role::Offsets => self.tensor(&[texts.len(), packed.longest], &packed.offsets),
            Role::Starts => self.tensor(&[packed.starts.len()], &packed.starts),
            Role::Shares => self.tensor(&[texts.len(), 1, packed.longest], &packed.shares),
            role => Err(EmbedError::compute(format!("packed texts have no {role:?}"))),
        });
        self.run_raw(&inputs.collect::<Result<Vec<_>, _>>()?, &[texts.len(), self.dimension])
    }

    /// Makes a tensor in the memory that the session copies from.
    fn tensor<T: PrimitiveTensorElementType + Copy + std::fmt::Debug + 'static>(
        &self,
        shape: &[usize],
        values: &[T],
    ) -> Result<DynValue, EmbedError> {
        let mut tensor = self.blank::<T>(shape)?;
        let (_, cells) = tensor.try_extract_tensor_mut::<T>().map_err(EmbedError::compute)?;
        if cells.len() != values.len() {
            return Err(EmbedError::compute("a tensor's values do not fill its shape"));
        }
        cells.copy_from_slice(values);
        Ok(tensor.into_dyn())
    }

    /// Makes a tensor whose values are not written yet.
    fn blank<T: PrimitiveTensorElementType + std::fmt::Debug + 'static>(&self, shape: &[usize]) -> Result<Tensor<T>, EmbedError> {
        match &self.pinned {
            Some(pinned) => Tensor::new(&pinned.lock().unwrap_or_else(PoisonError::into_inner), shape.to_vec()),
            None => Tensor::new(&Allocator::default(), shape.to_vec()),
        }
        .map_err(EmbedError::compute)
    }

    /// Runs the session, and fails if the output does not have this shape.
    fn run_raw(&self, inputs: &[DynValue], shape: &[usize]) -> Result<Vec<f32>, EmbedError> {
        // We own the output, so that nothing that the run allocates outlives this call.
        let mut output = self.blank::<f32>(shape)?;
        let input_names: Vec<_> = self.input_names.iter().map(|name| name.as_ptr()).collect();
        let inputs: Vec<_> = inputs.iter().map(|input| input.ptr()).collect();
        let output_names = [self.output_name.as_ptr()];
        let mut outputs = [output.ptr_mut()];
        // SAFETY:
        // * `Session::run` of the `ort` crate wants `&mut self` because some execution providers are not safe to
        //   run concurrently. This session has the CPU provider, or that of CUDA without CUDA graphs and without a stream of
        //   ours (`load` adds no other, the environment has none); for both, ONNX Runtime documents `Run` as thread-safe:
        //   executor state and streams are per call, the arena allocators lock, and memory patterns, the one thing that
        //   calls would share and update, are off.
        // * Names and values are arrays of the lengths given beside them (there is a value for each input, see `run` and
        //   `run_packed`), alive until the call returns; names are NUL-terminated; the values are tensors that this call
        //   owns alone, and stay alive until the call returns, by when ONNX Runtime has synchronised with the device.
        // * The session lives as long as `self`. A null `OrtRunOptions` means the defaults.
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                input_names.as_ptr(),
                inputs.as_ptr(),
                inputs.len().min(input_names.len()),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            )
        };
        // SAFETY: the status comes from the call above, and nothing else releases it.
        unsafe { ort::Error::result_from_status(status) }.map_err(EmbedError::compute)?;
        let (_, vectors) = output.try_extract_tensor::<f32>().map_err(EmbedError::compute)?;
        if vectors.iter().any(|component| !component.is_finite()) {
            return Err(EmbedError::compute("an output is not a finite number"));
        }
        Ok(vectors.to_vec())
    }
}

/// Converts to 32 bits. Ids and masks are far below 2^31, since vocabularies are bounded.
fn narrow(values: &[i64]) -> Vec<i32> {
    values.iter().map(|value| i32::try_from(*value).unwrap_or_default()).collect()
}

/// Packed texts, with the index at which each begins.
#[derive(Debug, PartialEq)]
struct Packed {
    longest: usize,
    tokens: Vec<i32>,
    positions: Vec<i32>,
    offsets: Vec<i32>,
    starts: Vec<i32>,
    shares: Vec<f32>,
}

impl Packed {
    fn of(texts: &[&[u32]]) -> Result<Self, EmbedError> {
        let longest = texts.iter().map(|ids| ids.len()).max().unwrap_or_default();
        let count: usize = texts.iter().map(|ids| ids.len()).sum();
        let number = |value: usize| i32::try_from(value).map_err(|_| EmbedError::compute("a batch has 2^31 tokens or more"));
        number(texts.len() * longest)?;
        let mut packed = Self {
            longest,
            tokens: Vec::with_capacity(count),
            positions: Vec::with_capacity(count),
            offsets: Vec::with_capacity(texts.len() * longest),
            starts: vec![0],
            shares: vec![0.0; texts.len() * longest],
        };
        let mut padding = Vec::with_capacity(texts.len() * longest - count);
        for (row, ids) in texts.iter().enumerate() {
            let share = (ids.len() as f32).recip();
            for (processor, id) in ids.iter().enumerate() {
                packed.tokens.push(i32::try_from(*id).map_err(EmbedError::compute)?);
                packed.positions.push(number(processor)?);
                packed.offsets.push(number(row * longest + processor)?);
                if let Some(cell) = packed.shares.get_mut(row * longest + processor) {
                    *cell = share;
                }
            }
            for processor in ids.len()..longest {
                padding.push(number(row * longest + processor)?);
            }
            packed.starts.push(number(packed.tokens.len())?);
        }
        packed.offsets.append(&mut padding);
        Ok(packed)
    }
}

/// Pools tokens' vectors to one vector for each row.
fn pool(tokens: &[f32], rows: &Rows, dimension: usize, pooling: Pooling, normalize: bool) -> Vec<f32> {
    let mut vectors = Vec::with_capacity(rows.rows * dimension);
    for (row, mask) in tokens
        .chunks_exact((rows.length * dimension).max(1))
        .zip(rows.mask.chunks_exact(rows.length.max(1)))
    {
        let mut vector = vec![0_f32; dimension];
        let kept = match pooling {
            Pooling::Mean => mask.iter().filter(|kept| **kept == 1).count(),
            Pooling::Cls => 1,
        };
        ibid_encoder::mean(row.chunks_exact(dimension.max(1)).take(kept), &mut vector);
        if normalize {
            ibid_encoder::normalize(&mut vector);
        }
        vectors.append(&mut vector);
    }
    vectors
}

fn load(runtime: &Runtime, graph: &Graph, processor: Processor) -> ort::Result<Session> {
    let commit = |mut builder: SessionBuilder| match graph {
        Graph::File(path) => builder.commit_from_file(path),
        Graph::Bytes(bytes) => builder.commit_from_memory(bytes),
    };
    let builder = || -> ort::Result<SessionBuilder> {
        Ok(Session::builder(&runtime.environment)?
            // Threads of the embedder run the session concurrently: dividing one run among threads would only add synchronisation.
            .with_intra_threads(1)?
            .with_intra_op_spinning(false)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            // Patterns are kept per input shape, without a limit, and pay only when shapes recur.
            .with_memory_pattern(false)?
            .with_no_environment_execution_providers()?)
    };
    match processor {
        Processor::Cpu => {
            // On a CPU, the sum and its normalisation are faster apart than fused, in 8 bits by a fifth.
            let builder = builder()?.with_disabled_optimizers("SkipLayerNormFusion")?;
            // Without VNNI, the runtime adds 8-bit products in 16 bits, which overflow, unless it is set to be precise. With that setting
            // it does not use VNNI and AMX, although they add in 32 bits and are several times as fast.
            commit(if sums_in_32_bits() { builder } else { builder.with_precise_qmm()? })
        }
        Processor::Cuda(device) => {
            let cuda = || {
                CUDA::default()
                    .with_device_id(i32::try_from(device).unwrap_or_default())
                    // Sums in 32 bits where a fused kernel normalises.
                    .with_skip_layer_norm_strict_mode(true)
                    .with_tf32(false)
            };
            // No graph of a text model needs cuDNN, and without it a library of 1 GB stays unloaded. Older runtimes do not know the option.
            let lean = cuda().with_arbitrary_config("enable_cudnn", "0").build().error_on_failure();
            let plain = cuda().build().error_on_failure();
            match builder()?.with_execution_providers([lean]) {
                Ok(builder) => commit(builder),
                Err(_) => commit(builder()?.with_execution_providers([plain])?),
            }
        }
    }
}

/// Returns whether the processor multiplies unsigned by signed bytes and adds the products in 32 bits.
fn sums_in_32_bits() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_texts_say_where_each_token_stands() {
        let packed = Packed::of(&[&[7, 8], &[1, 2, 3, 4], &[9]]).expect("small");
        let expected = Packed {
            longest: 4,
            tokens: vec![7, 8, 1, 2, 3, 4, 9],
            positions: vec![0, 1, 0, 1, 2, 3, 0],
            // The tokens' indices in three rows of four, then those of the padding.
            offsets: vec![0, 1, 4, 5, 6, 7, 8, 2, 3, 9, 10, 11],
            starts: vec![0, 2, 6, 7],
            shares: vec![0.5, 0.5, 0.0, 0.0, 0.25, 0.25, 0.25, 0.25, 1.0, 0.0, 0.0, 0.0],
        };
        assert_eq!(packed, expected);
    }

    #[test]
    fn pooling_passes_padding_over() {
        let rows = Rows {
            rows: 2,
            length: 2,
            ids: vec![0; 4],
            mask: vec![1, 0, 1, 1],
            types: vec![0; 4],
        };
        let tokens = [3.0, 4.0, 100.0, 100.0, 1.0, 0.0, 3.0, 2.0];
        assert_eq!(pool(&tokens, &rows, 2, Pooling::Mean, false), [3.0, 4.0, 2.0, 1.0]);
        assert_eq!(pool(&tokens, &rows, 2, Pooling::Cls, true), [0.6, 0.8, 1.0, 0.0]);
    }
}
