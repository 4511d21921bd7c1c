use alloc::vec;

use super::*;
use crate::model::tiny::Mix;

const SAMPLING: Sampling = Sampling {
    temperature_milli: 1_000,
    top_p_ppm: TOP_P_PPM_MAX,
    top_k: 0,
    seed: 11,
    ..Sampling::GREEDY
};

fn sampler(sampling: Sampling) -> Sampler {
    Sampler::new(sampling).unwrap()
}

/// How often each of four tokens was drawn in 10,000 positions.
fn counts(sampling: Sampling, logits: &[f32]) -> Vec<u32> {
    let sampler = sampler(sampling);
    let mut counts = vec![0; logits.len()];
    for position in 0..10_000 {
        counts[sampler.draw(logits, position) as usize] += 1;
    }
    counts
}

#[test]
fn greedy_takes_the_lowest_id_among_equals() {
    assert_eq!(sampler(Sampling::GREEDY).draw(&[-1.0, 2.0, 0.0, 2.0], 0), 1);
    assert_eq!(sampler(Sampling::GREEDY).draw(&[-3.0, -2.0, -2.0], 0), 1);
}

#[test]
fn parameters_are_refused_just_past_their_limits() {
    let check = |sampling| Sampler::new(sampling).map(|_| ());
    let widest = Sampling {
        temperature_milli: TEMPERATURE_MILLI_MAX,
        top_p_ppm: TOP_P_PPM_MAX,
        top_k: u32::MAX,
        min_p_ppm: MIN_P_PPM_MAX,
        repetition_penalty_milli: REPETITION_PENALTY_MILLI_MAX,
        repetition_window: REPETITION_WINDOW_MAX,
        presence_penalty_milli: PENALTY_MILLI_MAX as i32,
        frequency_penalty_milli: -(PENALTY_MILLI_MAX as i32),
        seed: u64::MAX,
    };
    assert_eq!(check(widest), Ok(()));
    let narrow = Sampling {
        repetition_penalty_milli: 1,
        presence_penalty_milli: -2_000,
        frequency_penalty_milli: 2_000,
        ..Sampling::GREEDY
    };
    assert_eq!(check(narrow), Ok(()));
    type Change = fn(&mut Sampling);
    let changes: [(Change, SamplingError); 10] = [
        (
            |s| s.temperature_milli += 1,
            SamplingError::Temperature(100_001),
        ),
        (|s| s.top_p_ppm += 1, SamplingError::TopP(1_000_001)),
        (|s| s.min_p_ppm += 1, SamplingError::MinP(1_000_001)),
        (
            |s| s.repetition_penalty_milli += 1,
            SamplingError::RepetitionPenalty(100_001),
        ),
        (
            |s| s.repetition_penalty_milli = 0,
            SamplingError::RepetitionPenalty(0),
        ),
        (
            |s| s.repetition_window += 1,
            SamplingError::RepetitionWindow(1_048_577),
        ),
        (
            |s| s.presence_penalty_milli += 1,
            SamplingError::PresencePenalty(2_001),
        ),
        (
            |s| s.presence_penalty_milli = i32::MIN,
            SamplingError::PresencePenalty(i32::MIN),
        ),
        (
            |s| s.frequency_penalty_milli -= 1,
            SamplingError::FrequencyPenalty(-2_001),
        ),
        (
            |s| s.frequency_penalty_milli = 2_001,
            SamplingError::FrequencyPenalty(2_001),
        ),
    ];
    for (change, error) in changes {
        let mut sampling = widest;
        change(&mut sampling);
        assert_eq!(check(sampling), Err(error));
    }
}

#[test]
fn biases_are_refused_just_past_their_limits() {
    let check = |bias: &[Bias]| Sampler::with_bias(Sampling::GREEDY, bias).map(|_| ());
    let many: Vec<Bias> = (0..=LOGIT_BIAS_MAX as u32)
        .map(|token| Bias { token, milli: -1 })
        .collect();
    assert_eq!(check(&many[1..]), Ok(()));
    assert_eq!(check(&many), Err(SamplingError::BiasCount(301)));
    for milli in [-100_000, 100_000] {
        assert_eq!(check(&[Bias { token: 1, milli }]), Ok(()));
        let milli = milli + milli.signum();
        assert_eq!(
            check(&[Bias { token: 1, milli }]),
            Err(SamplingError::BiasSize { token: 1, milli })
        );
    }
    let twice = [5, 4, 5].map(|token| Bias { token, milli: 1 });
    assert_eq!(check(&twice), Err(SamplingError::BiasTwice(5)));
}

#[test]
fn min_p_keeps_what_is_likely_enough() {
    let logits = [1.386_294_4, core::f32::consts::LN_2, 0.0, 0.0];
    let kept = |min_p_ppm| {
        let sampling = Sampling {
            min_p_ppm,
            ..SAMPLING
        };
        counts(sampling, &logits).iter().filter(|n| **n > 0).count()
    };
    // Weights against the best: 1, 1/2, 1/4, 1/4.
    assert_eq!([kept(0), kept(249_990), kept(250_010)], [4, 4, 2]);
    assert_eq!([kept(499_990), kept(500_010), kept(1_000_000)], [2, 1, 1]);
    let tied = Sampling {
        min_p_ppm: 1_000_000,
        ..SAMPLING
    };
    assert!(
        counts(tied, &[2.0, 2.0, 1.0, 1.0])[..2]
            .iter()
            .all(|n| *n > 4_500)
    );
}

#[test]
fn greedy_honours_bias_penalties_and_mask() {
    let logits = [1.0, 3.0, 2.0, -1.0];
    let draw = |sampling, bias: &[Bias], tokens: &[u32], input, mask: Option<&Mask>| {
        let sampler = Sampler::with_bias(sampling, bias).unwrap();
        sampler.draw_after(&logits, Past { tokens, input }, mask)
    };
    let plain = Sampling::GREEDY;
    assert_eq!(draw(plain, &[], &[1, 1], 0, None), Some(1));
    let up = [Bias {
        token: 3,
        milli: 4_001,
    }];
    assert_eq!(draw(plain, &up, &[], 0, None), Some(3));
    let repetition = Sampling {
        repetition_penalty_milli: 2_000,
        repetition_window: 2,
        ..plain
    };
    // 3 / 2 is below 2; a negative logit is doubled instead.
    assert_eq!(draw(repetition, &[], &[1], 1, None), Some(2));
    assert_eq!(
        draw(repetition, &[], &[1, 2, 0], 3, None),
        Some(1),
        "out of the window"
    );
    let frequency = Sampling {
        frequency_penalty_milli: 400,
        ..plain
    };
    assert_eq!(draw(frequency, &[], &[1, 1], 0, None), Some(1));
    assert_eq!(draw(frequency, &[], &[1, 1, 1], 0, None), Some(2));
    assert_eq!(
        draw(frequency, &[], &[1, 1, 1], 1, None),
        Some(1),
        "input does not count"
    );
    let presence = Sampling {
        presence_penalty_milli: 1_001,
        ..plain
    };
    assert_eq!(draw(presence, &[], &[1], 0, None), Some(2));
    let mut mask = Mask::none(4);
    assert_eq!(draw(plain, &[], &[], 0, Some(&mask)), None);
    mask.allow(0);
    mask.allow(3);
    assert_eq!(draw(plain, &[], &[], 0, Some(&mask)), Some(0));
    assert_eq!(draw(plain, &up, &[], 0, Some(&mask)), Some(3));
}

#[test]
fn a_penalty_may_name_tokens_that_have_no_logit() {
    let sampling = Sampling {
        repetition_penalty_milli: 1_500,
        presence_penalty_milli: 1,
        ..SAMPLING
    };
    let bias = [Bias {
        token: 900,
        milli: 5,
    }];
    let sampler = Sampler::with_bias(sampling, &bias).unwrap();
    let past = Past {
        tokens: &[u32::MAX, 7],
        input: 9,
    };
    assert!(sampler.draw_after(&[0.0, 1.0], past, None).is_some());
}

#[test]
fn frequencies_follow_the_softmax() {
    // ln 4, ln 2, ln 1, ln 1: shares 1/2, 1/4, 1/8, 1/8.
    let counts = counts(SAMPLING, &[1.386_294_4, core::f32::consts::LN_2, 0.0, 0.0]);
    for (count, share) in counts.iter().zip([5_000u32, 2_500, 1_250, 1_250]) {
        assert!(count.abs_diff(share) < 150, "{counts:?}");
    }
}

#[test]
fn top_k_and_top_p_keep_the_best() {
    let logits = [1.386_294_4, core::f32::consts::LN_2, 0.0, 0.0];
    assert_eq!(
        counts(
            Sampling {
                top_k: 1,
                ..SAMPLING
            },
            &logits
        ),
        [10_000, 0, 0, 0]
    );
    let two = counts(
        Sampling {
            top_k: 2,
            ..SAMPLING
        },
        &logits,
    );
    assert!(two[1] > 3_000 && two[2] == 0 && two[3] == 0, "{two:?}");
    // Exactly half of the weight is reached by the first alone; a millionth more takes the second.
    assert_eq!(
        counts(
            Sampling {
                top_p_ppm: 500_000,
                ..SAMPLING
            },
            &logits
        )[1..],
        [0, 0, 0]
    );
    assert!(
        counts(
            Sampling {
                top_p_ppm: 500_010,
                ..SAMPLING
            },
            &logits
        )[1] > 0
    );
    assert_eq!(
        counts(
            Sampling {
                top_p_ppm: 0,
                ..SAMPLING
            },
            &logits
        )[1..],
        [0, 0, 0]
    );
    // Of two equals the lower id is kept.
    assert_eq!(
        counts(
            Sampling {
                top_k: 3,
                ..SAMPLING
            },
            &logits
        )[3],
        0
    );
}

#[test]
fn a_low_temperature_sharpens_and_a_high_one_flattens() {
    let logits = [1.0, 0.0];
    let share = |temperature_milli| {
        counts(
            Sampling {
                temperature_milli,
                ..SAMPLING
            },
            &logits,
        )[0]
    };
    assert_eq!(share(1), 10_000);
    assert!(
        share(500) > share(1_000) && share(1_000) > share(2_000),
        "sharper when colder"
    );
    assert!(share(TEMPERATURE_MILLI_MAX).abs_diff(5_025) < 150);
}

#[test]
fn seed_and_position_change_the_draw_and_repeat_it() {
    let mut mix = Mix::new(5);
    let logits: Vec<f32> = (0..1_000).map(|_| mix.unit()).collect();
    let run = |seed| -> Vec<u32> {
        (0..50)
            .map(|position| sampler(Sampling { seed, ..SAMPLING }).draw(&logits, position))
            .collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn far_tokens_are_never_drawn() {
    let far = -31.0 * core::f32::consts::LN_2;
    assert_eq!(
        counts(SAMPLING, &[0.0, far, f32::from_bits(0xf180_0000)])[1..],
        [0, 0]
    );
    assert_eq!(
        [weight(0), weight(30 << 16), weight(31 << 16)],
        [1 << 30, 1, 0]
    );
}

#[test]
fn weights_are_rounded_to_the_nearest_integer() {
    let scale = (f32::from_bits(0x3780_0000), f32::from_bits(0x4e80_0000));
    for u in 0..=31 << 16 {
        let exact = mul(exp2n(mul(cvt(u), scale.0)), scale.1);
        assert_eq!(weight(u), f32z::round_u32(exact), "{u}");
    }
}
