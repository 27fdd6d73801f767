//! The settings of what computes embeddings. Which models are used is for the pipelines to say.

use super::{Device, Precision};
use ibid_settings::{AutoPath, choice, settings};
use std::path::PathBuf;

choice!(Device { "auto" => Auto, "cpu" => Cpu, "cuda" => Cuda, "required" => Required });
choice!(Precision { "auto" => Auto, "fp32" => Fp32, "int8" => Int8, "fp16" => Fp16 });

settings! {
    /// The processor, and the library that [`Runtime::find`](super::Runtime::find) takes.
    pub struct RuntimeChoice {
        keys {
            /// auto takes a GPU where one is found, and the GPU build of ONNX Runtime; cuda warns if it finds none, required refuses to
            /// start.
            "embedder.device" => device: Device = Device::Auto,
            /// ONNX Runtime's library; auto takes lib/cuda/ of the share directory for a GPU if it is there, or lib/.
            "embedder.runtime" as AutoPath => library: Option<PathBuf> = None,
            /// Directories with CUDA's libraries (or above them), besides those where the system looks.
            "embedder.cuda_libraries" => cuda_libraries: Vec<PathBuf> = Vec::new(),
        }
    }
}
