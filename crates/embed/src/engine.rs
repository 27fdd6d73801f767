//! What computes vectors: ONNX Runtime, or in 32 bits on x86-64 processors the encoder of [`ibid_encoder`].
//!
//! The encoder runs models that the converter made. ONNX Runtime runs ready models, 8 bits, GPUs and other processors.

use ibid_encoder::{Encoder, Text};

use super::{
    EmbedError,
    batch::{Batch, Encoded},
    session::{Processor, SharedSession},
};

/// A loaded model, shared by any number of threads.
pub enum Engine {
    /// A session of ONNX Runtime.
    Onnx(SharedSession),
    /// Our own encoder.
    Own(Box<Encoder>),
}

impl Engine {
    /// Returns the processor that it runs on.
    pub fn processor(&self) -> Processor {
        match self {
            Self::Onnx(session) => session.processor(),
            Self::Own(_) => Processor::Cpu,
        }
    }

    /// Returns whether rows are padded to one length; otherwise they are packed.
    pub fn pads(&self) -> bool {
        match self {
            Self::Onnx(session) => !session.is_packed(),
            Self::Own(_) => false,
        }
    }

    /// Returns one vector, or score, per row, one row after the other.
    pub fn run<R: Encoded>(&self, batch: &Batch<R>) -> Result<Vec<f32>, EmbedError> {
        let rows = &batch.rows;
        match self {
            Self::Onnx(session) if session.is_packed() => {
                let texts: Vec<&[u32]> = rows.iter().map(AsRef::as_ref).collect();
                session.run_packed(&texts)
            }
            Self::Onnx(session) => session.run(batch.to_rows()),
            Self::Own(encoder) => {
                let text = |row| {
                    let ids = AsRef::<[u32]>::as_ref(row);
                    let second = Encoded::second(row);
                    Text { ids, second }
                };
                let texts: Vec<Text> = rows.iter().map(text).collect();
                let vectors = encoder.run(&texts).map_err(EmbedError::compute)?;
                if vectors.iter().any(|component| !component.is_finite()) {
                    return Err(EmbedError::compute("an output is not a finite number"));
                }
                Ok(vectors)
            }
        }
    }
}
