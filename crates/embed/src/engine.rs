//! What computes vectors: ONNX Runtime, or in 32 bits on x86-64 processors the encoder of [`ibid_encoder`].
//!
//! The latter takes models that the converter made; models that others made, 8 bits, GPUs and other processors have the runtime.

use ibid_encoder::{Encoder, Text};

use super::{
    EmbedError,
    batch::{Batch, Encoded},
    session::{Place, SharedSession},
};

/// A loaded model, for any number of threads at once.
pub enum Engine {
    /// A session of ONNX Runtime.
    Onnx(SharedSession),
    /// The encoder of our own.
    Own(Box<Encoder>),
}

impl Engine {
    /// Where it computes.
    pub fn place(&self) -> Place {
        match self {
            Self::Onnx(session) => session.place(),
            Self::Own(_) => Place::Cpu,
        }
    }

    /// Whether rows are padded to one length; else they stand one after the other.
    pub fn pads(&self) -> bool {
        match self {
            Self::Onnx(session) => !session.is_packed(),
            Self::Own(_) => false,
        }
    }

    /// One vector, or score, per row, row after row.
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
