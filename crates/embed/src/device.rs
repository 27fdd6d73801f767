//! Chooses the device and the precision that a model runs with, from the settings and the machine.

use std::path::Path;

use ibid_encoder::Level;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    EmbedError, ModelInfo, ModelKind, Runtime,
    batch::Batch,
    convert::{self, Form, rebuild},
    engine::Engine,
    model::{MODEL_FILE, verify},
    session::{Graph, Processor, SharedSession},
};

/// The processor that runs the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A GPU if the machine has one and the GPU build of ONNX Runtime is installed; otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU with CUDA; without one, the CPU, with a warning.
    Cuda,
    /// A GPU with CUDA; without one, the embedder does not open.
    Required,
}

/// The number format that the model computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// [`Precision::Fp32`] on a CPU, [`Precision::Fp16`] on a GPU.
    #[default]
    Auto,
    /// 32-bit floats.
    Fp32,
    /// Matrix products in 8 bits: faster on a CPU. On a GPU it is [`Precision::Fp16`].
    Int8,
    /// 16-bit floats, for GPUs. On a CPU it is [`Precision::Fp32`], which is faster there.
    Fp16,
}

impl Precision {
    pub(super) fn on(self, processor: Processor) -> Self {
        match (self, processor) {
            (Self::Auto | Self::Int8, Processor::Cuda(_)) => Self::Fp16,
            (Self::Auto | Self::Fp16, Processor::Cpu) => Self::Fp32,
            (asked, _) => asked,
        }
    }

    /// Returns its name in the settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fp32 => "fp32",
            Self::Int8 => "int8",
            Self::Fp16 => "fp16",
        }
    }
}

/// The device and the precision that were chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// `cpu`, or `cuda` with the number of GPUs.
    pub device: String,
    /// Never [`Precision::Auto`].
    pub precision: Precision,
    /// Why no GPU is used although the settings ask for one, or the machine has one.
    pub why_not_gpu: Option<String>,
}

/// The engines of a model: one on the CPU, or one for each GPU.
pub struct Engines {
    pub engines: Vec<Engine>,
    pub placement: Placement,
}

/// The least cosine similarity between a GPU's vectors and the CPU's.
const AGREEMENT: f32 = 0.999;
/// The largest difference between a reranker's score on a GPU and on the CPU, relative to the score, or to 1 if that is larger.
const DIFFERENCE: f32 = 0.02;

/// A function that opens a model on the CPU. Blocks.
pub type OnCpu = fn(&Runtime, &Path, &ModelInfo, Precision) -> Result<Engine, EmbedError>;

/// Opens the model in `directory` on GPUs, or with `on_cpu`. Blocks.
pub fn open(
    runtime: &Runtime,
    directory: &Path,
    info: &ModelInfo,
    device: Device,
    precision: Precision,
    on_cpu: OnCpu,
) -> Result<Engines, EmbedError> {
    let model = directory.join(MODEL_FILE);
    verify(&model, &info.model_sha256)?;
    for (name, sha256) in info.ready.iter().flat_map(|ready| &ready.external) {
        verify(&directory.join(name), sha256)?;
    }
    let why_not_gpu = match (device, runtime.gpu()) {
        (Device::Cpu, _) | (Device::Auto, Err(None)) => None,
        (_, Err(reason)) => Some(reason.unwrap_or_else(|| {
            format!(
                "{} is the build of ONNX Runtime for CPUs. `scripts/fetch-assets --gpu` fetches the one for GPUs",
                runtime.library().display()
            )
        })),
        (_, Ok(gpus)) => match open_gpus(runtime, directory, info, precision, gpus) {
            Ok(engines) => {
                let placement = Placement {
                    device: format!("cuda, {} GPU{}", engines.len(), if engines.len() == 1 { "" } else { "s" }),
                    precision: precision.on(Processor::Cuda(0)),
                    why_not_gpu: None,
                };
                return Ok(Engines { engines, placement });
            }
            // A model that does not load on a GPU may load on the CPU: converting it again would not help.
            Err(EmbedError::ModelInvalid { reason, .. }) => Some(reason),
            Err(error) => Some(error.to_string()),
        },
    };
    if let Some(reason) = &why_not_gpu {
        if device == Device::Required {
            return Err(EmbedError::GpuMissing { reason: reason.clone() });
        }
        tracing::warn!(reason, "no GPU can be used: texts are embedded on the CPU");
    }
    let precision = match precision.on(Processor::Cpu) {
        // A ready model keeps the number format of its producer.
        Precision::Int8 if info.ready.is_some() => Precision::Fp32,
        precision => precision,
    };
    Ok(Engines {
        engines: vec![on_cpu(runtime, directory, info, precision)?],
        placement: Placement {
            device: "cpu".to_owned(),
            precision,
            why_not_gpu,
        },
    })
}

/// Opens the engine that is fastest on this CPU.
pub fn fastest(runtime: &Runtime, directory: &Path, info: &ModelInfo, precision: Precision) -> Result<Engine, EmbedError> {
    match Level::widest() {
        Some(level) if precision == Precision::Fp32 && info.architecture.is_some() => {
            let invalid = |reason: String| EmbedError::ModelInvalid {
                path: directory.join(MODEL_FILE),
                reason,
            };
            let encoder = convert::encoder(directory, info, level).map_err(|error| invalid(error.to_string()))?;
            let engine = Engine::Own(Box::new(encoder));
            // Weights that are not numbers fail here instead of in the middle of a document.
            let rows = vec![vec![0_u32; 3]];
            engine
                .run(&Batch { length: None, rows })
                .map_err(|error| invalid(error.to_string()))?;
            Ok(engine)
        }
        _ => onnx(runtime, directory, info, precision),
    }
}

/// Opens the model in ONNX Runtime on the CPU.
pub fn onnx(runtime: &Runtime, directory: &Path, info: &ModelInfo, precision: Precision) -> Result<Engine, EmbedError> {
    let form = (precision == Precision::Int8).then_some(Form::Eight);
    open_form(runtime, directory, info, form, Processor::Cpu).map(Engine::Onnx)
}

/// Opens one engine for each GPU, after a check that its results agree with the CPU's.
fn open_gpus(runtime: &Runtime, directory: &Path, info: &ModelInfo, precision: Precision, gpus: usize) -> Result<Vec<Engine>, EmbedError> {
    let probe = Probe::of(&fastest(runtime, directory, info, Precision::Fp32)?, info.max_tokens)?;
    let mut engines = Vec::with_capacity(gpus);
    for gpu in 0..gpus.max(1) {
        match open_gpu(runtime, directory, info, precision, Processor::Cuda(gpu), &probe) {
            Ok(engine) => engines.push(engine),
            Err(error) if engines.is_empty() => return Err(error),
            Err(error) => tracing::warn!(gpu, %error, "this GPU is not used: no graph runs on it correctly"),
        }
    }
    Ok(engines)
}

/// Opens the fastest graph that loads on this GPU and gives the right vectors.
fn open_gpu(
    runtime: &Runtime,
    directory: &Path,
    info: &ModelInfo,
    precision: Precision,
    processor: Processor,
    probe: &Probe,
) -> Result<Engine, EmbedError> {
    let is_reranker = info.kind == ModelKind::Reranker;
    let mut forms = vec![None];
    if precision.on(processor) == Precision::Fp16 && info.architecture.is_some() {
        forms = vec![Some(Form::Packed), Some(Form::Half), None];
        // There is no packed graph for pairs.
        forms.retain(|form| !(is_reranker && *form == Some(Form::Packed)));
    }
    let mut last = None;
    for form in forms {
        let opened = open_form(runtime, directory, info, form, processor).and_then(|session| {
            let engine = Engine::Onnx(session);
            probe.check(&engine)?;
            Ok(engine)
        });
        match opened {
            Ok(engine) => return Ok(engine),
            Err(error) => {
                tracing::debug!(?form, ?processor, %error, "a graph does not run");
                // Report the first error: the others would fail for the same reason, or later.
                last.get_or_insert(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| EmbedError::compute("no graph runs")))
}

/// Opens the graph on disk, or one that is built from it.
pub fn open_form(
    runtime: &Runtime,
    directory: &Path,
    info: &ModelInfo,
    form: Option<Form>,
    processor: Processor,
) -> Result<SharedSession, EmbedError> {
    let path = directory.join(MODEL_FILE);
    let Some(form) = form else {
        return SharedSession::open(runtime, &path, &Graph::File(&path), info, processor);
    };
    let bytes = rebuild(directory, info, form).map_err(|error| EmbedError::ModelInvalid {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    SharedSession::open(runtime, &path, &Graph::Bytes(&bytes), info, processor)
}

/// Inputs with the vectors that they must have. A kernel that is wrong on one kind of GPU would silently spoil a collection.
struct Probe {
    texts: Vec<Vec<u32>>,
    expected: Vec<Vec<f32>>,
}

impl Probe {
    /// Makes inputs of arbitrary token ids that are in every vocabulary.
    fn of(cpu: &Engine, longest: usize) -> Result<Self, EmbedError> {
        let text = |length: usize| (0..4).cycle().take(length.min(longest)).collect();
        let texts: Vec<Vec<u32>> = [3, 9, 2, 16].map(text).into();
        let alone = |ids: &Vec<u32>| {
            cpu.run(&Batch {
                length: None,
                rows: vec![ids.as_slice()],
            })
        };
        let expected = texts.iter().map(alone).collect::<Result<_, _>>()?;
        Ok(Self { texts, expected })
    }

    fn check(&self, engine: &Engine) -> Result<(), EmbedError> {
        let found = engine.run(&Batch {
            length: None,
            rows: self.texts.iter().map(Vec::as_slice).collect(),
        })?;
        let dimension = self.expected.first().map_or(1, Vec::len);
        for (found, expected) in found.chunks_exact(dimension.max(1)).zip(&self.expected) {
            if let ([found], [expected]) = (found, expected.as_slice()) {
                // A score has a size and no direction. NaN does not agree either.
                if (found - expected).abs() <= DIFFERENCE * expected.abs().max(1.0) {
                    continue;
                }
                return Err(EmbedError::compute(format!("it scores {found:.3} where the CPU has {expected:.3}")));
            }
            let agreement = cosine(found, expected);
            // NaN does not agree either.
            if agreement.is_nan() || agreement < AGREEMENT {
                return Err(EmbedError::compute(format!(
                    "its vectors have a cosine of {agreement:.4} with the CPU's, {AGREEMENT} is needed"
                )));
            }
        }
        Ok(())
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
