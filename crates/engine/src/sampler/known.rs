//! Known answers of draws that penalties, bias and constraints steer, of log-probabilities, and of the masks of constraints.

use alloc::{format, string::String, vec, vec::Vec};

use super::{Bias, Logprobs, Mask, Past, Pieces, Sampler, Sampling, constraint::Constraint};
use crate::{f32z, model::tiny::Mix};

/// Puts every answer with its name.
pub(crate) fn answers(put: &mut impl FnMut(&str, &str)) {
    let mut mix = Mix::new(0xc155);
    let logits: Vec<f32> = (0..500).map(|_| f32z::mul(mix.unit(), 8.0)).collect();
    draws(&logits, put);
    log_probabilities(&logits, put);
    masks(put);
}

fn draws(logits: &[f32], put: &mut impl FnMut(&str, &str)) {
    let warm = Sampling {
        temperature_milli: 900,
        seed: 42,
        ..Sampling::GREEDY
    };
    let penalties = Sampling {
        repetition_penalty_milli: 1_300,
        repetition_window: 6,
        presence_penalty_milli: 700,
        frequency_penalty_milli: -250,
        ..warm
    };
    let bias =
        [(7, 5_125), (300, -100_000), (499, 3_001)].map(|(token, milli)| Bias { token, milli });
    let mut odd = Mask::none(logits.len());
    (1..logits.len() as u32)
        .step_by(2)
        .for_each(|token| odd.allow(token));
    let cases: [(&str, Sampling, &[Bias], Option<&Mask>); 7] = [
        (
            "min_p 50000",
            Sampling {
                min_p_ppm: 50_000,
                ..warm
            },
            &[],
            None,
        ),
        ("penalties", penalties, &[], None),
        (
            "penalties greedy",
            Sampling {
                temperature_milli: 0,
                ..penalties
            },
            &[],
            None,
        ),
        ("bias", warm, &bias, None),
        ("odd tokens", warm, &[], Some(&odd)),
        ("odd tokens greedy", Sampling::GREEDY, &[], Some(&odd)),
        (
            "all",
            Sampling {
                min_p_ppm: 1_000,
                top_p_ppm: 900_000,
                top_k: 60,
                ..penalties
            },
            &bias,
            Some(&odd),
        ),
    ];
    for (name, sampling, bias, mask) in cases {
        let sampler = Sampler::with_bias(sampling, bias).expect("BUG: parameters are in range");
        let mut tokens = vec![453, 171, 10];
        for _ in 0..12 {
            let past = Past {
                tokens: &tokens,
                input: 3,
            };
            let token = sampler.draw_after(logits, past, mask);
            tokens.push(token.expect("BUG: the mask is not empty"));
        }
        put(&format!("draws {name}"), &joined(&tokens[3..]));
    }
}

fn log_probabilities(logits: &[f32], put: &mut impl FnMut(&str, &str)) {
    let Logprobs { drawn, top } = Logprobs::new(logits, 123, 5);
    let all: Vec<String> = [drawn]
        .iter()
        .chain(&top)
        .map(|logprob| format!("{} {}", logprob.token, logprob.micro_nats))
        .collect();
    put("log-probabilities", &all.join(", "));
}

/// Follows a text under a schema; the answer is a hash over the masks on the way, with one token for every byte and an end token.
fn masks(put: &mut impl FnMut(&str, &str)) {
    let bytes: Vec<Vec<u8>> = (0..=255)
        .map(|byte| vec![byte])
        .chain([Vec::new()])
        .collect();
    let pieces = Pieces::new(bytes).expect("BUG: single bytes are short");
    for (schema, text) in [
        ("true", r#" {"a": [1.5e3, "é\u00e9", null], "b": {}}"#),
        (
            r#"{"type":"object","properties":{"n":{"type":"integer","minimum":-20,"maximum":305},"e":{"enum":["x","y"]},
                "l":{"type":"array","items":{"type":"string","maxLength":2},"minItems":1}},"required":["n","l"]}"#,
            r#"{"n": 300, "l": ["ab", ""], "more":true}"#,
        ),
    ] {
        let constraint = Constraint::json_schema(schema).expect("BUG: the schema is valid");
        let mut state = constraint.start();
        let mut hasher = blake3::Hasher::new();
        for byte in text.bytes() {
            let mask = constraint.mask(&state, &pieces, &[256], 257);
            let allowed: Vec<u8> = (0..257).map(|token| u8::from(mask.allows(token))).collect();
            hasher.update(&allowed);
            let taken = constraint.advance(&mut state, &[byte]);
            assert!(taken, "BUG: the text follows the schema");
        }
        let digest = &hasher.finalize().to_hex()[..32];
        put(
            &format!("masks of {} bytes", text.len()),
            &format!("{digest} {:?}", state.must_end()),
        );
    }
}

fn joined(tokens: &[u32]) -> String {
    let tokens: Vec<String> = tokens.iter().map(|token| format!("{token}")).collect();
    tokens.join(" ")
}
