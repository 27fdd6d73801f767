//! IEEE 754 half precision, as bytes of weights.

use ::half::f16;

/// Returns little-endian 32-bit floats as little-endian 16-bit ones, rounded to the nearest, ties to even.
pub fn narrow(floats: &[u8]) -> Vec<u8> {
    let (values, _) = floats.as_chunks::<4>();
    values
        .iter()
        .flat_map(|bytes| f16::from_f32(f32::from_le_bytes(*bytes)).to_le_bytes())
        .collect()
}

/// Returns little-endian 16-bit floats as little-endian 32-bit ones; exact.
pub fn widen(halves: &[u8]) -> Vec<u8> {
    let (pairs, _) = halves.as_chunks::<2>();
    pairs
        .iter()
        .flat_map(|pair| f16::from_le_bytes(*pair).to_f32().to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    fn widen_one(bits: u16) -> f32 {
        f32::from_le_bytes(super::widen(&bits.to_le_bytes()).try_into().expect("four bytes"))
    }

    fn narrow_one(value: f32) -> u16 {
        u16::from_le_bytes(super::narrow(&value.to_le_bytes()).try_into().expect("two bytes"))
    }

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
