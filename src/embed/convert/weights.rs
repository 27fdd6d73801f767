//! Reads weights by name from a safetensors file, as little-endian 32-bit floats.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::ConvertError;

/// The weights of one model file.
pub struct Weights<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
    /// Some publishers save the encoder inside a larger model, under `bert.`.
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    /// Parses the file's header; the weights themselves stay where they are.
    pub fn parse(path: &Path, bytes: &'a [u8]) -> Result<Self, ConvertError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| ConvertError::weight(path, "*", error.to_string()))?;
        let prefix = ["", "bert."]
            .into_iter()
            .find(|prefix| tensors.tensor(&format!("{prefix}embeddings.word_embeddings.weight")).is_ok())
            .ok_or_else(|| ConvertError::weight(path, "embeddings.word_embeddings.weight", "there is none"))?;
        Ok(Self {
            path: path.to_owned(),
            tensors,
            prefix,
        })
    }

    /// The weight `name` as little-endian `f32` bytes in row-major order; its shape must be `shape`.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<u8>, ConvertError> {
        let full = format!("{}{name}", self.prefix);
        let refuse = |reason: String| ConvertError::weight(&self.path, &full, reason);
        let tensor = self.tensors.tensor(&full).map_err(|_| refuse("there is none".to_owned()))?;
        if tensor.shape() != shape {
            return Err(refuse(format!(
                "its shape is {:?}, but config.json asks for {shape:?}",
                tensor.shape()
            )));
        }
        let data = tensor.data();
        let halves = |widen: fn(u16) -> f32| {
            let (pairs, _) = data.as_chunks::<2>();
            pairs
                .iter()
                .flat_map(|pair| widen(u16::from_le_bytes(*pair)).to_le_bytes())
                .collect()
        };
        match tensor.dtype() {
            Dtype::F32 => Ok(data.to_vec()),
            Dtype::F16 => Ok(halves(widen_f16)),
            Dtype::BF16 => Ok(halves(|bits| f32::from_bits(u32::from(bits) << 16))),
            other => Err(refuse(format!("its type is {other:?}; F32, F16 and BF16 are converted"))),
        }
    }

    /// A linear layer's weight `name` of shape `[outputs, inputs]`, transposed to what MatMul multiplies by.
    pub fn transposed(&self, name: &str, outputs: usize, inputs: usize) -> Result<Vec<u8>, ConvertError> {
        let bytes = self.get(name, &[outputs, inputs])?;
        let (values, _) = bytes.as_chunks::<4>();
        let mut turned = Vec::with_capacity(bytes.len());
        for column in 0..inputs {
            for row in values.chunks_exact(inputs) {
                turned.extend_from_slice(row.get(column).unwrap_or(&[0; 4]));
            }
        }
        Ok(turned)
    }
}

/// IEEE 754 half precision to single; exact for every value.
fn widen_f16(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    sign * match exponent {
        0 => fraction * (-24_f32).exp2(),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
    }
}

#[cfg(test)]
mod tests {
    use super::widen_f16;

    #[test]
    fn half_precision_widens_exactly() {
        let check = |bits: u16, expected: f32| assert_eq!(widen_f16(bits).to_bits(), expected.to_bits(), "{bits:#06x}");
        check(0x0000, 0.0);
        check(0x8000, -0.0);
        check(0x3c00, 1.0);
        check(0xc000, -2.0);
        check(0x7bff, 65504.0);
        check(0x0400, 6.103_515_6e-5);
        check(0x0001, 5.960_464_5e-8);
        check(0x03ff, 6.097_555e-5);
        check(0x7c00, f32::INFINITY);
        assert!(widen_f16(0x7e00).is_nan());
    }
}
