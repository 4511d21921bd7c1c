//! How often a ring must be expected to get a wrong answer verified, if providers are drawn at random.
//!
//! The rules of the verdicts are written down here again, for a market in which nothing goes wrong, all
//! providers are equally likely and no provider works twice in a round; the ring always lies, agrees with
//! its own lies and rejects the truth in one voice. The result is exact: all draws are followed, with
//! their probabilities.

use assay_protocol::{limits, request::Assurance};

/// Providers that may still be drawn.
#[derive(Clone, Copy, Debug)]
struct Urn {
    honest: u32,
    ring: u32,
}

impl Urn {
    /// The chance that the next one is of the ring.
    fn ring(self) -> f64 {
        match self.honest + self.ring {
            0 => 0.0,
            all => f64::from(self.ring) / f64::from(all),
        }
    }

    fn without(self, of_ring: bool) -> Self {
        match of_ring {
            true => Self {
                ring: self.ring - 1,
                ..self
            },
            false => Self {
                honest: self.honest - 1,
                ..self
            },
        }
    }

    /// The expected value of what follows the next draw.
    fn draw(self, then: impl Fn(bool, Self) -> f64) -> f64 {
        let ring = self.ring();
        let mut sum = 0.0;
        for (chance, of_ring) in [(ring, true), (1.0 - ring, false)] {
            if chance > 0.0 && self.honest + self.ring > 0 {
                sum += chance * then(of_ring, self.without(of_ring));
            }
        }
        sum
    }
}

/// The chance that `ring` colluding of `providers` providers get a lie verified.
pub fn capture_bound(assurance: Assurance, providers: u32, ring: u32) -> f64 {
    let urn = Urn {
        honest: providers - ring,
        ring,
    };
    match assurance {
        Assurance::Single | Assurance::Refereed => urn.ring(),
        Assurance::Equality { total } => votes(urn, total.into(), total.into(), 0),
        Assurance::Threshold { total, min } => votes(urn, total.into(), min.into(), 0),
        Assurance::Checked { checkers } => generation(urn, checkers.into(), 1, 0),
    }
}

/// The chance of at least `min` of the ring among `total` draws.
fn votes(urn: Urn, total: u32, min: u32, found: u32) -> f64 {
    if total == 0 {
        return if found >= min { 1.0 } else { 0.0 };
    }
    urn.draw(|of_ring, urn| votes(urn, total - 1, min, found + u32::from(of_ring)))
}

/// A checked job's next round; `paid` checks have been earned in the rounds before.
fn generation(urn: Urn, asked: u32, round: u32, paid: u32) -> f64 {
    let most = asked + limits::EXTRA_CHECKS_MAX;
    if round > limits::ROUNDS_MAX || paid + asked > most {
        return 0.0;
    }
    urn.draw(|lies, rest| {
        let round = Round {
            lies,
            asked,
            round,
            paid,
            left: most - paid,
        };
        round.check(rest, 0, 0)
    })
}

/// A round whose generator is drawn.
#[derive(Clone, Copy, Debug)]
struct Round {
    lies: bool,
    asked: u32,
    round: u32,
    paid: u32,
    left: u32,
}

impl Round {
    /// Draws checkers until there is a verdict: so many honest ones and so many of the ring have been drawn.
    fn check(self, urn: Urn, honest: u32, ring: u32) -> f64 {
        let drawn = honest + ring;
        if drawn >= self.asked {
            let (agree, against) = match self.lies {
                true => (ring, honest),
                false => (honest, ring),
            };
            let right = if against == 0 {
                agree >= self.asked
            } else {
                agree >= self.asked.max(2) && agree > against
            };
            if right {
                return if self.lies { 1.0 } else { 0.0 };
            }
            if against >= 2 && against > agree {
                // Who lost stays out of the job; those who won may be drawn again.
                let urn = match self.lies {
                    true => Urn {
                        honest: urn.honest + honest,
                        ..urn
                    },
                    false => Urn {
                        ring: urn.ring + ring,
                        ..urn
                    },
                };
                return generation(urn, self.asked, self.round + 1, self.paid + against);
            }
            if drawn + 1 > self.left {
                return 0.0;
            }
        }
        urn.draw(|of_ring, urn| {
            self.check(urn, honest + u32::from(!of_ring), ring + u32::from(of_ring))
        })
    }
}

/// By how much a rate measured in `samples` independent tries may lie above its expectation, except in one
/// case of a million: Bernstein's inequality.
pub fn margin(expected: f64, samples: u64) -> f64 {
    // The natural logarithm of a million, rounded up.
    const LN_MILLION: f64 = 13.816;
    let n = samples as f64;
    let third = LN_MILLION / 3.0;
    (third + (third * third + 2.0 * n * LN_MILLION * expected * (1.0 - expected)).sqrt()) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-12,
            "{found}, expected {expected}"
        );
    }

    #[test]
    fn replicas_are_drawn_without_replacement() {
        let of = |assurance| capture_bound(assurance, 10, 4);
        close(of(Assurance::Single), 0.4);
        close(of(Assurance::Equality { total: 2 }), 4.0 / 10.0 * 3.0 / 9.0);
        // Two or three of three: the hypergeometric distribution.
        let two = 6.0 * 6.0 / 120.0;
        let three = 4.0 / 120.0;
        close(of(Assurance::Threshold { total: 3, min: 2 }), two + three);
    }

    #[test]
    fn one_liar_captures_nothing_that_is_compared() {
        for assurance in [
            Assurance::Checked { checkers: 1 },
            Assurance::Checked { checkers: 2 },
            Assurance::Equality { total: 2 },
            Assurance::Threshold { total: 3, min: 2 },
        ] {
            close(capture_bound(assurance, 10, 1), 0.0);
            close(capture_bound(assurance, 10, 10), 1.0);
        }
    }

    #[test]
    fn a_checked_job_is_captured_by_a_pair_or_by_outvoting_one_dissenter() {
        // Two liars of three providers. An honest generator is rejected by both of them and stays out; a lying
        // one finds its friend at once, or after the honest checker too late: two must agree with it then.
        let lies_first = 2.0 / 3.0 * 1.0 / 2.0;
        let honest_first = 1.0 / 3.0;
        close(
            capture_bound(Assurance::Checked { checkers: 1 }, 3, 2),
            lies_first + honest_first,
        );
    }

    #[test]
    fn more_samples_leave_less_margin() {
        assert!(margin(0.1, 100) > margin(0.1, 1_000));
        assert!(margin(0.0, 1_000_000) < 1e-4);
    }
}
