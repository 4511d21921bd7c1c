//! Fidelity phases: how multipliers of 5 by 7 bits make exact products of int8 values.
//!
//! In each phase the matrix unit multiplies only a slice of each magnitude and adds the result, with its place value, to Dst. Phase
//! bit 0 picks the slice of SrcA (weights), bit 1 that of SrcB (activations). The slices do not overlap and together hold every bit,
//! so the four phases add up to the exact product, in any order.

/// A fidelity phase, 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase(u8);

impl Phase {
    /// All four, which are exact for every pair of int8 values.
    pub const FULL: [Self; 4] = [Self(0), Self(1), Self(2), Self(3)];
    /// The two that are exact for weights of magnitude 31 at most: the others multiply the weights' upper bits, which are zero.
    pub const NARROW: [Self; 2] = [Self(1), Self(3)];

    /// Bits of a weight's magnitude that take part.
    const fn weight_mask(self) -> u32 {
        if self.0 & 1 == 1 { 0x1F } else { 0xE0 }
    }

    /// Bits of an activation's magnitude that take part.
    const fn activation_mask(self) -> u32 {
        if self.0 & 2 == 2 { 0x00F } else { 0x3F0 }
    }

    /// What this phase adds for one pair.
    pub fn product(self, weight: i8, activation: i8) -> i32 {
        slice(weight, self.weight_mask()) * slice(activation, self.activation_mask())
    }
}

fn slice(value: i8, mask: u32) -> i32 {
    let magnitude = (u32::from(value.unsigned_abs()) & mask) as i32;
    if value < 0 { -magnitude } else { magnitude }
}

/// The unit's addition in Dst, which holds sign and magnitude: it saturates at both ends.
pub fn accumulate(sum: i32, term: i32) -> i32 {
    let exact = i64::from(sum) + i64::from(term);
    exact.clamp(-i64::from(i32::MAX), i64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operand::{NARROW_MAX, TERMS_MAX};

    fn product(phases: &[Phase], weight: i8, activation: i8) -> i32 {
        phases.iter().fold(0, |sum, phase| {
            accumulate(sum, phase.product(weight, activation))
        })
    }

    #[test]
    fn four_phases_are_exact_for_every_pair() {
        for weight in -127..=127i8 {
            for activation in -127..=127i8 {
                let exact = i32::from(weight) * i32::from(activation);
                assert_eq!(product(&Phase::FULL, weight, activation), exact);
            }
        }
    }

    #[test]
    fn two_phases_are_exact_for_narrow_weights_and_no_others() {
        for weight in -127..=127i8 {
            let exact = (-127..=127i8).all(|activation| {
                product(&Phase::NARROW, weight, activation)
                    == i32::from(weight) * i32::from(activation)
            });
            assert_eq!(exact, weight.unsigned_abs() <= NARROW_MAX, "{weight}");
        }
    }

    #[test]
    fn any_order_of_the_phases_is_the_same() {
        let mut backwards = Phase::FULL;
        backwards.reverse();
        for (weight, activation) in [(127, 127), (-127, 127), (-45, 99), (3, -64)] {
            assert_eq!(
                product(&backwards, weight, activation),
                product(&Phase::FULL, weight, activation)
            );
        }
    }

    #[test]
    fn the_longest_product_of_extremes_does_not_saturate() {
        let mut sum = 0;
        for _ in 0..TERMS_MAX {
            for phase in Phase::FULL {
                sum = accumulate(sum, phase.product(-127, 127));
            }
        }
        assert_eq!(i64::from(sum), -(TERMS_MAX as i64) * 127 * 127);
        let over = accumulate(sum, -127 * 127);
        assert_eq!(over, -i32::MAX, "one more term would");
    }
}
