use alloc::vec;

use super::*;
use crate::model::tiny::Mix;

const SAMPLING: Sampling = Sampling {
    temperature_milli: 1_000,
    top_p_ppm: TOP_P_PPM_MAX,
    top_k: 0,
    seed: 11,
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
    let with = |temperature_milli, top_p_ppm| {
        Sampler::new(Sampling {
            temperature_milli,
            top_p_ppm,
            ..SAMPLING
        })
        .map(|_| ())
    };
    assert_eq!(with(TEMPERATURE_MILLI_MAX, TOP_P_PPM_MAX), Ok(()));
    assert_eq!(
        with(TEMPERATURE_MILLI_MAX + 1, 0),
        Err(SamplingError::Temperature(100_001))
    );
    assert_eq!(
        with(0, TOP_P_PPM_MAX + 1),
        Err(SamplingError::TopP(1_000_001))
    );
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
