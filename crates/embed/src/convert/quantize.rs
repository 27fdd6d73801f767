//! Quantises weights to 8 bits.

/// Quantises the matrix `[inputs, outputs]` of little-endian 32-bit floats. Returns signed bytes, and each column's scale as little-endian
/// floats. Symmetric: a column's largest weight becomes 127 or -127.
pub fn quantize(matrix: &[u8], outputs: usize) -> (Vec<u8>, Vec<u8>) {
    let (values, _) = matrix.as_chunks::<4>();
    let value = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
    let mut peaks = vec![0_f32; outputs];
    for row in values.chunks_exact(outputs.max(1)) {
        for (peak, weight) in peaks.iter_mut().zip(row) {
            *peak = peak.max(value(weight).abs());
        }
    }
    // A column of zeros may have any scale.
    let steps: Vec<f32> = peaks.iter().map(|peak| if *peak > 0.0 { peak / 127.0 } else { 1.0 }).collect();
    let mut bytes = Vec::with_capacity(values.len());
    for row in values.chunks_exact(outputs.max(1)) {
        bytes.extend(row.iter().zip(&steps).map(|(weight, step)| {
            // In -127..=127, except for weights that are not numbers, which become 0.
            let steps = (value(weight) / step).round_ties_even() as i8;
            steps.to_le_bytes()[0]
        }));
    }
    (bytes, steps.iter().flat_map(|step| step.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::quantize;

    #[test]
    fn each_column_has_its_own_step() {
        let floats = [127.0_f32, 0.5, 0.0, -63.4, -1.0, 0.0];
        let bytes: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (values, steps) = quantize(&bytes, 3);
        let steps: Vec<f32> = steps.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(
            values.iter().map(|byte| *byte as i8).collect::<Vec<_>>(),
            [127, 64, 0, -63, -127, 0]
        );
        assert_eq!(steps, [1.0, 1.0 / 127.0, 1.0]);
    }
}
