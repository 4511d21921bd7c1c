//! Draws against plain models of what they should be, and log-probabilities against the mathematics.

use alloc::{vec, vec::Vec};
use std::collections::BTreeMap;

use proptest::{collection::vec as list, prelude::*};

use super::*;
use crate::model::tiny::Mix;

/// Logits with many ties and some far away.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![
        4 => (-400i32..400).prop_map(|n| mul(cvt(n), 0.03125)),
        2 => (-4i32..4).prop_map(cvt),
        1 => (-90i32..90).prop_map(cvt),
    ];
    list(logit, 1..120)
}

fn sampling() -> impl Strategy<Value = Sampling> {
    let shape = (
        prop_oneof![Just(0u32), 1..3_000u32, Just(1_000)],
        prop_oneof![Just(TOP_P_PPM_MAX), 0..=TOP_P_PPM_MAX],
        prop_oneof![Just(0u32), 1..130u32],
        prop_oneof![Just(0u32), 0..=MIN_P_PPM_MAX, 0..1_000u32],
    );
    let penalties = (
        prop_oneof![Just(REPETITION_PENALTY_MILLI_NEUTRAL), 1..4_000u32],
        0..40u32,
        prop_oneof![Just(0i32), -2_000..=2_000i32],
        prop_oneof![Just(0i32), -2_000..=2_000i32],
        any::<u64>(),
    );
    (shape, penalties).prop_map(
        |(
            (temperature_milli, top_p_ppm, top_k, min_p_ppm),
            (repetition_penalty_milli, repetition_window, presence, frequency, seed),
        )| Sampling {
            temperature_milli,
            top_p_ppm,
            top_k,
            min_p_ppm,
            repetition_penalty_milli,
            repetition_window,
            presence_penalty_milli: presence,
            frequency_penalty_milli: frequency,
            seed,
        },
    )
}

/// The module's text, followed word by word over (token, logit) pairs in any order.
fn plain_draw(sampling: &Sampling, mut pairs: Vec<(u32, f32)>, position: u64) -> Option<u32> {
    pairs.sort_by_key(|(token, logit)| (core::cmp::Reverse(f32z::order(*logit)), *token));
    let (best, top) = *pairs.first()?;
    if sampling.temperature_milli == 0 {
        return Some(best);
    }
    let factor = mul(div(1_000.0, cvt(sampling.temperature_milli as i32)), LOG2_E);
    let mut weighed: Vec<(i32, u32, u128)> = pairs
        .iter()
        .map(|(token, logit)| {
            let t = mul(sub(top, *logit), factor);
            let u = rne(mul(if t > 31.0 { 31.0 } else { t }, 65_536.0));
            (u, *token, u128::from(weight(u)))
        })
        .collect();
    weighed.sort_by_key(|(u, token, _)| (*u, *token));
    if sampling.top_k > 0 {
        weighed.truncate(sampling.top_k as usize);
    }
    let total: u128 = weighed.iter().map(|(_, _, w)| w).sum();
    let mut kept = Vec::new();
    let mut sum = 0;
    for (_, token, w) in weighed {
        let reached = !kept.is_empty() && sum * 1_000_000 >= u128::from(sampling.top_p_ppm) * total;
        if reached || w * 1_000_000 < u128::from(sampling.min_p_ppm) * (1 << 30) {
            break;
        }
        sum += w;
        kept.push((token, w));
    }
    let r = u128::from(random(sampling.seed, position));
    let target = (r * kept.iter().map(|(_, w)| w).sum::<u128>()) >> 64;
    let mut sum = 0;
    kept.into_iter().find_map(|(token, w)| {
        sum += w;
        (sum > target).then_some(token)
    })
}

/// Bias and penalties, token by token, with a count of each.
fn plain_adjusted(sampling: &Sampling, bias: &[Bias], logits: &[f32], past: Past<'_>) -> Vec<f32> {
    let window = match sampling.repetition_window {
        0 => past.tokens.len(),
        n => n as usize,
    };
    let mut generated: BTreeMap<u32, i32> = BTreeMap::new();
    for token in &past.tokens[past.input..] {
        *generated.entry(*token).or_default() += 1;
    }
    let thousandths = |milli: i32| div(cvt(milli), 1_000.0);
    let adjusted = logits.iter().enumerate().map(|(token, logit)| {
        let token = token as u32;
        let mut l = *logit;
        if let Some(bias) = bias.iter().find(|bias| bias.token == token) {
            l = f32z::add(l, thousandths(bias.milli));
        }
        let recent = past.tokens.iter().rev().take(window).any(|t| *t == token);
        if recent && sampling.repetition_penalty_milli != 1_000 {
            let milli = sampling.repetition_penalty_milli as i32;
            l = match l > 0.0 {
                true => mul(l, div(1_000.0, cvt(milli))),
                false => mul(l, thousandths(milli)),
            };
        }
        if let Some(count) = generated.get(&token)
            && (
                sampling.presence_penalty_milli,
                sampling.frequency_penalty_milli,
            ) != (0, 0)
        {
            let frequency = mul(cvt(*count), thousandths(sampling.frequency_penalty_milli));
            let presence = thousandths(sampling.presence_penalty_milli);
            l = sub(l, f32z::add(frequency, presence));
        }
        l
    });
    adjusted.collect()
}

fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut mix = Mix::new(seed);
    for i in (1..items.len()).rev() {
        items.swap(i, mix.below(i as u64 + 1) as usize);
    }
    items
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn draws_are_those_of_the_plain_model_whatever_the_order_of_logits(
        sampling in sampling(),
        logits in logits(),
        banned in list(any::<prop::sample::Index>(), 0..40),
        position in any::<u64>(),
        order in any::<u64>(),
    ) {
        let sampler = Sampler::new(sampling).unwrap();
        let mut allowed = vec![true; logits.len()];
        for at in &banned {
            allowed[at.index(logits.len())] = false;
        }
        let mut mask = Mask::none(logits.len());
        for (token, allowed) in allowed.iter().enumerate() {
            if *allowed {
                mask.allow(token as u32);
            }
        }
        let pairs: Vec<(u32, f32)> = logits
            .iter()
            .enumerate()
            .filter(|(token, _)| allowed[*token])
            .map(|(token, logit)| (token as u32, *logit))
            .collect();
        let drawn = sampler.choose(&logits, Some(&mask), position);
        prop_assert_eq!(drawn, plain_draw(&sampling, shuffled(pairs, order), position));
        prop_assert_eq!(drawn, sampler.choose(&logits, Some(&mask), position), "repeated alone");
        if banned.is_empty() {
            prop_assert_eq!(drawn, Some(sampler.draw(&logits, position)), "no mask is the full mask");
        }
    }

    #[test]
    fn penalties_and_bias_are_those_of_the_plain_model(
        sampling in sampling(),
        logits in logits(),
        past in list(0u32..130, 0..60),
        input in any::<prop::sample::Index>(),
        bias in prop::collection::btree_map(0u32..130, -100_000i32..=100_000, 0..10),
    ) {
        let bias: Vec<Bias> = bias.into_iter().rev().map(|(token, milli)| Bias { token, milli }).collect();
        let sampler = Sampler::with_bias(sampling, &bias).unwrap();
        let past = Past { tokens: &past, input: input.index(past.len() + 1) };
        let adjusted = plain_adjusted(&sampling, &bias, &logits, past);
        let found = sampler.adjust.apply(&logits, past);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&found), bits(&adjusted));
        let drawn = sampler.draw_after(&logits, past, None);
        let pairs = (0..).zip(adjusted).collect();
        prop_assert_eq!(drawn, plain_draw(&sampling, pairs, past.tokens.len() as u64));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the mathematics to compare with")]
    fn log_probabilities_are_near_the_true_ones(logits in logits(), token in any::<prop::sample::Index>(), scale in 1i32..40) {
        let logits: Vec<f32> = logits.iter().map(|l| mul(*l, mul(cvt(scale), 0.0625))).collect();
        let token = token.index(logits.len()) as u32;
        near_the_true_ones(&logits, token);
    }
}

#[allow(clippy::disallowed_methods, reason = "the mathematics to compare with")]
fn near_the_true_ones(logits: &[f32], token: u32) {
    let found = Logprobs::new(logits, token, LOGPROBS_MAX);
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|l| (f64::from(*l) - f64::from(top)).exp())
        .sum();
    for Logprob { token, micro_nats } in found.top.iter().chain([&found.drawn]) {
        let distance = f64::from(top) - f64::from(logits[*token as usize]);
        let truth = -(distance + sum.ln()) * 1e6;
        let bound = 4.0 + distance * 1e6 / f64::from(1 << 22);
        assert!(
            (truth - *micro_nats as f64).abs() <= bound,
            "token {token}: {micro_nats}, truly {truth}"
        );
        assert!(*micro_nats <= 0);
    }
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by_key(|token| core::cmp::Reverse(f32z::order(logits[*token as usize])));
    order.truncate(usize::from(LOGPROBS_MAX));
    assert_eq!(found.top.iter().map(|l| l.token).collect::<Vec<_>>(), order);
}

#[test]
fn log_probabilities_of_a_large_vocabulary_are_near_the_true_ones() {
    let mut mix = Mix::new(8);
    for scale in [0.0, 0.5, 3.0, 12.0, 40.0] {
        let mut logits: Vec<f32> = (0..150_000).map(|_| mul(mix.unit(), scale)).collect();
        near_the_true_ones(&logits, 77_777);
        logits[500] = 25.0;
        near_the_true_ones(&logits, 500);
        near_the_true_ones(&logits, 0);
    }
    near_the_true_ones(&[3.0], 0);
    near_the_true_ones(&[0.0; 1 << 20], 9);
}

#[test]
fn log_probabilities_have_known_answers() {
    let found = Logprobs::new(&[0.0, 0.0, 0.0, 0.0], 2, 3);
    assert_eq!(
        found.drawn,
        Logprob {
            token: 2,
            micro_nats: -1_386_294
        }
    );
    let tokens: Vec<u32> = found.top.iter().map(|l| l.token).collect();
    assert_eq!(tokens, [0, 1, 2]);
    let far = Logprobs::new(&[0.0, f32::from_bits(0xf180_0000)], 1, 0);
    assert_eq!((far.drawn.micro_nats, far.top.len()), (-4_294_967_295, 0));
    let certain = Logprobs::new(&[50.0, 0.0], 0, 1);
    assert_eq!(certain.drawn.micro_nats, 0);
}
