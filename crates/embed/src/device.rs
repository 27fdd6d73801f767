//! Where and in which numbers a model is run: what the settings ask for, what the machine has, and what that makes.

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
    session::{Graph, Place, SharedSession},
};

/// The processor that runs the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A GPU if there is one and the GPU build of ONNX Runtime is there, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU by CUDA; without one, the CPU, with a warning.
    Cuda,
    /// A GPU by CUDA; without one, the embedder does not open.
    Required,
}

/// The numbers that the model computes in.
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
    pub(super) fn on(self, place: Place) -> Self {
        match (self, place) {
            (Self::Auto | Self::Int8, Place::Cuda(_)) => Self::Fp16,
            (Self::Auto | Self::Fp16, Place::Cpu) => Self::Fp32,
            (asked, _) => asked,
        }
    }

    /// Its name in the settings.
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

/// What came of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// `cpu`, or `cuda` with the number of GPUs.
    pub device: String,
    /// Never [`Precision::Auto`].
    pub precision: Precision,
    /// Why no GPU is used although one was asked for or found.
    pub why_not_gpu: Option<String>,
}

/// The engines of a model: one on the CPU, or one for each GPU.
pub struct Engines {
    pub engines: Vec<Engine>,
    pub placement: Placement,
}

/// Cosine that a GPU's vectors must have with the CPU's.
const AGREEMENT: f32 = 0.999;
/// What a reranker's score on a GPU may be off from the CPU's, of its size or of 1.
const DIFFERENCE: f32 = 0.02;

/// Opens a model on the CPU. Blocks.
pub type OnCpu = fn(&Runtime, &Path, &ModelInfo, Precision) -> Result<Engine, EmbedError>;

/// Opens the model in `directory`: on GPUs, or as `on_cpu` does. Blocks.
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
                    precision: precision.on(Place::Cuda(0)),
                    why_not_gpu: None,
                };
                return Ok(Engines { engines, placement });
            }
            // What does not load on a GPU may be well on the CPU: converting it anew would not help.
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
    let precision = match precision.on(Place::Cpu) {
        // A ready model is in the numbers that its maker chose.
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

/// What is fastest on this CPU.
pub fn fastest(runtime: &Runtime, directory: &Path, info: &ModelInfo, precision: Precision) -> Result<Engine, EmbedError> {
    match Level::widest() {
        Some(level) if precision == Precision::Fp32 && info.architecture.is_some() => {
            let invalid = |reason: String| EmbedError::ModelInvalid {
                path: directory.join(MODEL_FILE),
                reason,
            };
            let encoder = convert::encoder(directory, info, level).map_err(|error| invalid(error.to_string()))?;
            let engine = Engine::Own(Box::new(encoder));
            // A weight that is no number shows here instead of in the middle of a document.
            let rows = vec![vec![0_u32; 3]];
            engine
                .run(&Batch { length: None, rows })
                .map_err(|error| invalid(error.to_string()))?;
            Ok(engine)
        }
        _ => onnx(runtime, directory, info, precision),
    }
}

/// ONNX Runtime on the CPU.
pub fn onnx(runtime: &Runtime, directory: &Path, info: &ModelInfo, precision: Precision) -> Result<Engine, EmbedError> {
    let form = (precision == Precision::Int8).then_some(Form::Eight);
    open_form(runtime, directory, info, form, Place::Cpu).map(Engine::Onnx)
}

/// One engine for each GPU, each seen to agree with the CPU.
fn open_gpus(runtime: &Runtime, directory: &Path, info: &ModelInfo, precision: Precision, gpus: usize) -> Result<Vec<Engine>, EmbedError> {
    let probe = Probe::of(&fastest(runtime, directory, info, Precision::Fp32)?, info.max_tokens)?;
    let mut engines = Vec::with_capacity(gpus);
    for gpu in 0..gpus.max(1) {
        match open_gpu(runtime, directory, info, precision, Place::Cuda(gpu), &probe) {
            Ok(engine) => engines.push(engine),
            Err(error) if engines.is_empty() => return Err(error),
            Err(error) => tracing::warn!(gpu, %error, "a GPU is left out"),
        }
    }
    Ok(engines)
}

/// The fastest graph that loads on this GPU and gives the right vectors.
fn open_gpu(
    runtime: &Runtime,
    directory: &Path,
    info: &ModelInfo,
    precision: Precision,
    place: Place,
    probe: &Probe,
) -> Result<Engine, EmbedError> {
    let is_reranker = info.kind == ModelKind::Reranker;
    let mut forms = vec![None];
    if precision.on(place) == Precision::Fp16 && info.architecture.is_some() {
        forms = vec![Some(Form::Packed), Some(Form::Half), None];
        // Pairs are not packed.
        forms.retain(|form| !(is_reranker && *form == Some(Form::Packed)));
    }
    let mut last = None;
    for form in forms {
        let opened = open_form(runtime, directory, info, form, place).and_then(|session| {
            let engine = Engine::Onnx(session);
            probe.check(&engine)?;
            Ok(engine)
        });
        match opened {
            Ok(engine) => return Ok(engine),
            Err(error) => {
                tracing::debug!(?form, ?place, %error, "a graph does not run");
                // The first is what there is to say: the others would fail for the same reason, or later.
                last.get_or_insert(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| EmbedError::compute("no graph runs")))
}

/// Opens the graph on disk, or one that is made of it.
pub fn open_form(
    runtime: &Runtime,
    directory: &Path,
    info: &ModelInfo,
    form: Option<Form>,
    place: Place,
) -> Result<SharedSession, EmbedError> {
    let path = directory.join(MODEL_FILE);
    let Some(form) = form else {
        return SharedSession::open(runtime, &path, &Graph::File(&path), info, place);
    };
    let bytes = rebuild(directory, info, form).map_err(|error| EmbedError::ModelInvalid {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    SharedSession::open(runtime, &path, &Graph::Bytes(&bytes), info, place)
}

/// Texts with the vectors that they should have. A kernel that is wrong on one kind of GPU would spoil a collection
/// without anybody noticing.
struct Probe {
    texts: Vec<Vec<u32>>,
    expected: Vec<Vec<f32>>,
}

impl Probe {
    /// The token ids mean nothing; they are in every vocabulary.
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
                // A score has a size and no direction. Not a number is no agreement either.
                if (found - expected).abs() <= DIFFERENCE * expected.abs().max(1.0) {
                    continue;
                }
                return Err(EmbedError::compute(format!("it scores {found:.3} where the CPU has {expected:.3}")));
            }
            let agreement = cosine(found, expected);
            // Not a number is no agreement either.
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
