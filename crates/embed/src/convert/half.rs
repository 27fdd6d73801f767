//! IEEE 754 half precision.

/// Little-endian 32-bit floats as little-endian 16-bit ones, rounded to the nearest, ties to even.
pub fn narrow(floats: &[u8]) -> Vec<u8> {
    let (values, _) = floats.as_chunks::<4>();
    values
        .iter()
        .flat_map(|bytes| narrow_one(f32::from_le_bytes(*bytes)).to_le_bytes())
        .collect()
}

/// Little-endian 16-bit floats as little-endian 32-bit ones; exact.
pub fn widen(halves: &[u8]) -> Vec<u8> {
    let (pairs, _) = halves.as_chunks::<2>();
    pairs
        .iter()
        .flat_map(|pair| widen_one(u16::from_le_bytes(*pair)).to_le_bytes())
        .collect()
}

fn widen_one(bits: u16) -> f32 {
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

fn narrow_one(value: f32) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    if size.is_nan() {
        return sign | 0x7e00;
    }
    // Halfway between the largest half and the next power of two, which is rounded up.
    if size >= 65520.0 {
        return sign | 0x7c00;
    }
    // The step between halves near this one; a power of two, so that the quotient is exact.
    let exponent = ((size.to_bits() >> 23) as i32 - 127).max(-14);
    let steps = (size * ((10 - exponent) as f32).exp2()).round_ties_even();
    // Below 2048; where rounding carries into the next exponent, the sum does as well.
    let steps = steps as u16;
    let bits = if steps < 1024 {
        steps
    } else {
        (((exponent + 14) as u16) << 10) + steps
    };
    sign | bits
}

#[cfg(test)]
mod tests {
    use super::{narrow_one, widen_one};

    #[test]
    fn half_precision_widens_exactly() {
        let check = |bits: u16, expected: f32| assert_eq!(widen_one(bits).to_bits(), expected.to_bits(), "{bits:#06x}");
        check(0x0000, 0.0);
        check(0x8000, -0.0);
        check(0x3c00, 1.0);
        check(0xc000, -2.0);
        check(0x7bff, 65504.0);
        check(0x0400, 6.103_515_6e-5);
        check(0x0001, 5.960_464_5e-8);
        check(0x03ff, 6.097_555e-5);
        check(0x7c00, f32::INFINITY);
        assert!(widen_one(0x7e00).is_nan());
    }

    #[test]
    fn every_half_survives_the_way_there_and_back() {
        for bits in 0..=u16::MAX {
            let value = widen_one(bits);
            if !value.is_nan() {
                assert_eq!(narrow_one(value), bits, "{bits:#06x}");
            }
        }
        assert!(widen_one(narrow_one(f32::NAN)).is_nan());
    }

    #[test]
    fn what_lies_between_goes_to_the_nearest_and_ties_to_even() {
        let check = |value: f32, bits: u16| assert_eq!(narrow_one(value), bits, "{value}");
        check(1.0 + 2_f32.powi(-11), 0x3c00);
        check(1.0 + 3.0 * 2_f32.powi(-11), 0x3c02);
        check(1.0 + 2_f32.powi(-11) + 2_f32.powi(-20), 0x3c01);
        check(1.999_9, 0x4000);
        check(65519.9, 0x7bff);
        check(-65520.0, 0xfc00);
        check(2_f32.powi(-25), 0x0000);
        check(1.5 * 2_f32.powi(-25), 0x0001);
        check(f32::MIN_POSITIVE / 2.0, 0x0000);
    }
}
