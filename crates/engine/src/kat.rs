//! Known answers: what every machine must compute before it may take part.
//!
//! `kat/cis1.txt` holds one answer per line: single F32Z operations, operators on ordinary and extreme vectors (a hash of the bits), and whole
//! transcripts of tiny models, one of each family, and vectors of a tiny encoder. [`run`] computes them again with the kernels that a worker is about to use. The file is part of the
//! semantics: a change to it is a change of what CIS-1 means.

use alloc::{boxed::Box, format, string::String, vec, vec::Vec};
use core::{fmt::Write as _, ops::ControlFlow};

#[cfg(feature = "std")]
use crate::kernels::known::Fast;
use crate::{
    accelerator::{Accelerator, AcceleratorError, PlaneBatch},
    bounds::TERMS_MAX,
    encoder::{self, Embedding},
    f32z,
    forward::{Kernels, Options, SessionError},
    model::{
        Bytes, Encoder, Matrix, Model, Rope,
        tiny::{Family, Mix},
    },
    ops::{self, HeadCache, Planes},
    run::{self as job, Checked, Request},
    sampler::{Sampler, Sampling},
};

/// The answers of CIS-1.
pub const ANSWERS: &str = include_str!("../kat/cis1.txt");

/// A machine that must not compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KatFailure {
    /// A wrong answer.
    #[error(
        "known answer {name:?} came out as {found}, must be {expected}; do not compute with this on this machine"
    )]
    Wrong {
        /// What was computed.
        name: String,
        /// The right answer.
        expected: String,
        /// This machine's answer.
        found: String,
    },
    /// Kernels that cannot run here at all.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A device that failed before it answered.
    #[error(transparent)]
    Accelerator(#[from] AcceleratorError),
}

/// Computes every known answer with these kernels.
pub fn run(kernels: Kernels) -> Result<(), KatFailure> {
    let found = answers(kernels)?;
    let mut found = found.lines();
    for line in ANSWERS.lines() {
        let (name, expected) = line.split_once(" = ").unwrap_or((line, ""));
        let other = found.next().unwrap_or_default();
        if other != line {
            let other = other.split_once(" = ").map_or(other, |(_, answer)| answer);
            return Err(KatFailure::Wrong {
                name: name.into(),
                expected: expected.into(),
                found: other.into(),
            });
        }
    }
    match found.next() {
        None => Ok(()),
        Some(line) => Err(KatFailure::Wrong {
            name: line.into(),
            expected: "absent".into(),
            found: "present".into(),
        }),
    }
}

/// Tests a device: exact sums of random and of extreme vectors, for widths from one to `widest`, at most [`TERMS_MAX`]. A device that
/// serves models is tested to the widest of their matrices; to the most that is allowed where time is no matter.
pub fn run_accelerator(device: &mut dyn Accelerator, widest: usize) -> Result<(), KatFailure> {
    let mut mix = Mix::new(0xc154);
    let widest = widest.min(TERMS_MAX);
    let narrower = [
        (1, 1, 1),
        (5, 63, 3),
        (33, 64, 7),
        (40, 577, 2),
        (3, 28_672, 2),
    ]
    .into_iter()
    .filter(|(_, cols, _)| *cols < widest);
    for (rows, cols, tokens) in narrower.chain([(2, widest, 2)]) {
        for extreme in [false, true] {
            let weights: Vec<i8> = (0..rows * cols)
                .map(|i| {
                    if extreme {
                        [127, -127][i / cols % 2]
                    } else {
                        mix.weight()
                    }
                })
                .collect();
            let pick = |mix: &mut Mix| match extreme {
                true => 16_319,
                false => mix.below(2 * 16_319 + 1) as i32 - 16_319,
            };
            let values: Vec<i32> = (0..tokens * cols).map(|_| pick(&mut mix)).collect();
            let high: Vec<i8> = values.iter().map(|q| ((q + 64) >> 7) as i8).collect();
            let low: Vec<i8> = values
                .iter()
                .zip(&high)
                .map(|(q, h)| (q - 128 * i32::from(*h)) as i8)
                .collect();
            let matrix = device.load(rows, cols, &weights)?;
            let mut sums = vec![0; tokens * rows];
            device.multiply(
                matrix,
                &PlaneBatch {
                    tokens,
                    high: &high,
                    low: &low,
                },
                &mut sums,
            )?;
            for (i, sum) in sums.iter().enumerate() {
                let (token, row) = (i / rows, i % rows);
                let terms = values[token * cols..][..cols]
                    .iter()
                    .zip(&weights[row * cols..][..cols]);
                let exact: i64 = terms.map(|(q, w)| i64::from(*q) * i64::from(*w)).sum();
                if exact != *sum {
                    let name = format!("product of {rows} x {cols}, token {token}, row {row}");
                    return Err(KatFailure::Wrong {
                        name,
                        expected: format!("{exact}"),
                        found: format!("{sum}"),
                    });
                }
            }
        }
    }
    Ok(())
}

/// The text of the answers as these kernels compute them.
fn answers(kernels: Kernels) -> Result<String, SessionError> {
    let mut out = String::new();
    let mut put = |name: &str, answer: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name} = {answer}");
    };
    arithmetic(&mut put);
    let mut operators = operators(kernels)?;
    for kind in Kind::ALL {
        vectors(&mut *operators, kind, &mut put);
    }
    draws(&mut put);
    transcripts(kernels, &mut put)?;
    for kind in Kind::ALL {
        family_vectors(&mut *operators, kind, &mut put);
    }
    family_transcripts(kernels, &mut put)?;
    crate::sampler::known::answers(&mut put);
    encoder_arithmetic(&mut put);
    for kind in Kind::ALL {
        encoder_vectors(&mut *operators, kind, &mut put);
    }
    encoder_transcripts(kernels, &mut put)?;
    Ok(out)
}

/// Operators as the kernels under test compute them.
pub(crate) trait Operators {
    fn quantise_a15(&mut self, v: &[f32]) -> Planes;
    fn quantise_a8(&mut self, v: &[f32]) -> (Vec<i8>, f32);
    fn norm_quantise(&mut self, v: &[f32], gain: &[f32], eps: f32) -> Planes;
    fn swiglu_quantise(&mut self, gate: &[f32], up: &[f32]) -> Planes;
    fn geglu_quantise(&mut self, gate: &[f32], up: &[f32]) -> Planes;
    fn norm_head(&mut self, head: &[f32], gain: &[f32], eps: f32) -> Vec<f32>;
    fn norm_add(&mut self, x: &[f32], given: &[f32], gain: &[f32], eps: f32) -> Vec<f32>;
    fn layer_norm(&mut self, x: &[f32], gain: &[f32], bias: &[f32], eps: f32) -> Vec<f32>;
    fn gelu_quantise(&mut self, v: &[f32], bias: &[f32]) -> Planes;
    fn mean_rows(&mut self, rows: &[f32], dim: usize) -> Vec<f32>;
    fn rotate(&mut self, head: &[f32], layout: Rope, cos: &[f32], sin: &[f32]) -> Vec<f32>;
    fn product(&mut self, matrix: &Matrix, v: &[f32]) -> Vec<f32>;
    fn attend_from(
        &mut self,
        query: &[f32],
        cache: &HeadCache,
        first: usize,
        factor: f32,
    ) -> Vec<f32>;
}

struct Plain;

impl Operators for Plain {
    fn quantise_a15(&mut self, v: &[f32]) -> Planes {
        ops::quantise_a15(v)
    }

    fn quantise_a8(&mut self, v: &[f32]) -> (Vec<i8>, f32) {
        ops::quantise_a8(v)
    }

    fn norm_quantise(&mut self, v: &[f32], gain: &[f32], eps: f32) -> Planes {
        ops::quantise_a15(&ops::rms_norm(v, gain, eps))
    }

    fn swiglu_quantise(&mut self, gate: &[f32], up: &[f32]) -> Planes {
        ops::quantise_a15(&ops::swiglu(gate, up))
    }

    fn geglu_quantise(&mut self, gate: &[f32], up: &[f32]) -> Planes {
        ops::quantise_a15(&ops::geglu(gate, up))
    }

    fn norm_head(&mut self, head: &[f32], gain: &[f32], eps: f32) -> Vec<f32> {
        let mut head = head.to_vec();
        ops::norm_heads(&mut head, gain, eps);
        head
    }

    fn norm_add(&mut self, x: &[f32], given: &[f32], gain: &[f32], eps: f32) -> Vec<f32> {
        let mut x = x.to_vec();
        ops::add_to(&mut x, &ops::rms_norm(given, gain, eps));
        x
    }

    fn layer_norm(&mut self, x: &[f32], gain: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
        ops::layer_norm(x, gain, bias, eps)
    }

    fn gelu_quantise(&mut self, v: &[f32], bias: &[f32]) -> Planes {
        let mut v = v.to_vec();
        ops::add_to(&mut v, bias);
        ops::quantise_a15(&ops::gelu(&v))
    }

    fn mean_rows(&mut self, rows: &[f32], dim: usize) -> Vec<f32> {
        ops::mean_rows(rows, dim)
    }

    fn rotate(&mut self, head: &[f32], layout: Rope, cos: &[f32], sin: &[f32]) -> Vec<f32> {
        let mut head = head.to_vec();
        ops::rotate(&mut head, layout, cos, sin);
        head
    }

    fn product(&mut self, matrix: &Matrix, v: &[f32]) -> Vec<f32> {
        ops::matvec(matrix, &ops::quantise_a15(v))
    }

    fn attend_from(
        &mut self,
        query: &[f32],
        cache: &HeadCache,
        first: usize,
        factor: f32,
    ) -> Vec<f32> {
        ops::attend_from(query, cache, first, factor)
    }
}

fn operators(kernels: Kernels) -> Result<Box<dyn Operators>, SessionError> {
    match kernels {
        Kernels::Reference => Ok(Box::new(Plain)),
        #[cfg(feature = "std")]
        other => match Fast::new(other) {
            Some(fast) => Ok(Box::new(fast)),
            None => Err(SessionError::Kernels(other)),
        },
        #[cfg(not(feature = "std"))]
        Kernels::Auto => Ok(Box::new(Plain)),
        #[cfg(not(feature = "std"))]
        other => Err(SessionError::Kernels(other)),
    }
}

/// Inputs that stress different edges.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Ordinary,
    WideRange,
    Outlier,
    Extreme,
    Zero,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Ordinary,
        Self::WideRange,
        Self::Outlier,
        Self::Extreme,
        Self::Zero,
    ];

    fn vector(self, mix: &mut Mix, n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| match self {
                Self::Ordinary => mix.unit(),
                Self::WideRange => wide(mix),
                Self::Outlier if i == n / 2 => 24_737.0,
                Self::Outlier => f32z::mul(mix.unit(), f32::from_bits(0x3c00_0000)), // 2^-7
                Self::Extreme => f32::from_bits(
                    [0x7180_0000, 0xf180_0000, 0x0d80_0000, 0x8d80_0000, 0][mix.below(5) as usize],
                ),
                Self::Zero => 0.0,
            })
            .collect()
    }
}

/// Any F32Z value but zero.
fn wide(mix: &mut Mix) -> f32 {
    let exponent = 27 + mix.below(201) as u32;
    f32z::z(f32::from_bits(
        (mix.bits() as u32 & 0x807f_ffff) | exponent << 23,
    ))
}

/// A value near one in magnitude.
fn near_one(mix: &mut Mix) -> f32 {
    f32::from_bits((mix.bits() as u32 & 0x807f_ffff) | (120 + mix.below(14) as u32) << 23)
}

fn arithmetic(put: &mut impl FnMut(&str, &str)) {
    let mut mix = Mix::new(0xc151);
    let hex = |x: f32| format!("{:08x}", x.to_bits());
    for i in 0..24 {
        let (a, b) = if i % 2 == 0 {
            (wide(&mut mix), wide(&mut mix))
        } else {
            (near_one(&mut mix), near_one(&mut mix))
        };
        for (name, result) in [
            ("add", f32z::add(a, b)),
            ("sub", f32z::sub(a, b)),
            ("mul", f32z::mul(a, b)),
            ("div", f32z::div(a, b)),
        ] {
            put(&format!("{name} {} {}", hex(a), hex(b)), &hex(result));
        }
        let magnitude = f32::from_bits(f32z::abs_bits(a));
        put(
            &format!("sqrt {}", hex(magnitude)),
            &hex(f32z::sqrt(magnitude)),
        );
        let t = f32z::mul(
            f32z::cvt(mix.below(64 << 18) as i32),
            f32::from_bits(0x3680_0000),
        ); // 2^-18
        put(&format!("exp2n {}", hex(t)), &hex(f32z::exp2n(t)));
        let d = f32::from_bits(0x3f80_0000 + mix.below(1 << 23) as u32);
        put(&format!("recip12 {}", hex(d)), &hex(f32z::recip12(d)));
        put(&format!("silu {}", hex(b)), &hex(f32z::silu(b)));
        let big = mix.bits() as i64 >> 20;
        put(&format!("cvt64 {big}"), &hex(f32z::cvt64(big)));
    }
}

fn vectors(operators: &mut dyn Operators, kind: Kind, put: &mut impl FnMut(&str, &str)) {
    let mut mix = Mix::new(0xc152);
    let eps = f32::from_bits(0x3727_c5ac);
    // Longer than any vector register and no multiple of one.
    let n = 331;
    let (v, other) = (kind.vector(&mut mix, n), Kind::Ordinary.vector(&mut mix, n));
    let mut digest = |name: &str, hash: Digest| put(&format!("{name} {kind:?}"), &hash.hex());
    digest(
        "quantise_a15",
        Digest::new().planes(&operators.quantise_a15(&v)),
    );
    let (q, scale) = operators.quantise_a8(&v);
    digest("quantise_a8", Digest::new().bytes(&q).floats(&[scale]));
    digest(
        "rms_norm",
        Digest::new().planes(&operators.norm_quantise(&v, &other, eps)),
    );
    digest(
        "swiglu",
        Digest::new()
            .planes(&operators.swiglu_quantise(&v, &other))
            .planes(&operators.swiglu_quantise(&other, &v)),
    );
    let (cos, sin) = (
        Kind::Ordinary.vector(&mut mix, 32),
        Kind::Ordinary.vector(&mut mix, 32),
    );
    for layout in [Rope::Interleaved, Rope::HalfSplit] {
        digest(
            &format!("rotate {layout:?}"),
            Digest::new().floats(&operators.rotate(&v[..64], layout, &cos, &sin)),
        );
    }
    let rows = 45;
    let weights = (0..rows * n).map(|_| mix.weight() as u8).collect();
    let matrix = Matrix::new(
        rows,
        n,
        Bytes::Owned(weights),
        Kind::Ordinary.vector(&mut mix, rows),
    )
    .expect("BUG: lengths are computed");
    digest(
        "product",
        Digest::new().floats(&operators.product(&matrix, &v)),
    );
    let mut cache = HeadCache::default();
    for _ in 0..85 {
        cache.push(&kind.vector(&mut mix, 64), &kind.vector(&mut mix, 64));
    }
    for query in [Kind::Ordinary, kind] {
        let query_name = format!("attend, query {query:?}, cache");
        let query = query.vector(&mut mix, 64);
        digest(
            &query_name,
            Digest::new().floats(&operators.attend_from(
                &query,
                &cache,
                0,
                ops::score_factor(query.len()),
            )),
        );
    }
}

/// Operators that came with later families; apart, so that the answers before them keep their lines.
fn family_vectors(operators: &mut dyn Operators, kind: Kind, put: &mut impl FnMut(&str, &str)) {
    let mut mix = Mix::new(0xc155);
    let eps = f32::from_bits(0x3586_37bd);
    let n = 331;
    let (v, other) = (kind.vector(&mut mix, n), Kind::Ordinary.vector(&mut mix, n));
    let mut digest = |name: &str, hash: Digest| put(&format!("{name} {kind:?}"), &hash.hex());
    digest(
        "geglu",
        Digest::new()
            .planes(&operators.geglu_quantise(&v, &other))
            .planes(&operators.geglu_quantise(&other, &v)),
    );
    digest(
        "norm_head",
        Digest::new().floats(&operators.norm_head(&v[..70], &other[..70], eps)),
    );
    digest(
        "norm_add",
        Digest::new()
            .floats(&operators.norm_add(&v, &other, &other, eps))
            .floats(&operators.norm_add(&other, &v, &other, eps)),
    );
    let mut cache = HeadCache::default();
    for _ in 0..85 {
        cache.push(&kind.vector(&mut mix, 64), &kind.vector(&mut mix, 64));
    }
    let query = Kind::Ordinary.vector(&mut mix, 64);
    for first in [1, 15, 16, 17, 84] {
        let found = operators.attend_from(&query, &cache, first, ops::score_factor(100));
        digest(
            &format!("attend from {first}"),
            Digest::new().floats(&found),
        );
    }
}

/// What came with sentence encoders; after everything before it, for the same reason.
fn encoder_arithmetic(put: &mut impl FnMut(&str, &str)) {
    let mut mix = Mix::new(0xc156);
    let hex = |x: f32| format!("{:08x}", x.to_bits());
    for i in 0..24 {
        let x = if i % 4 == 0 {
            wide(&mut mix)
        } else {
            near_one(&mut mix)
        };
        put(&format!("gelu {}", hex(x)), &hex(f32z::gelu(x)));
    }
}

fn encoder_vectors(operators: &mut dyn Operators, kind: Kind, put: &mut impl FnMut(&str, &str)) {
    let mut mix = Mix::new(0xc157);
    let eps = f32::from_bits(0x2b8c_bccc);
    let n = 331;
    let (v, other) = (kind.vector(&mut mix, n), Kind::Ordinary.vector(&mut mix, n));
    let bias = Kind::Ordinary.vector(&mut mix, n);
    let mut digest = |name: &str, hash: Digest| put(&format!("{name} {kind:?}"), &hash.hex());
    digest(
        "layer_norm",
        Digest::new()
            .floats(&operators.layer_norm(&v, &other, &bias, eps))
            .floats(&operators.layer_norm(&other, &v, &v, eps)),
    );
    digest(
        "gelu",
        Digest::new()
            .planes(&operators.gelu_quantise(&v, &bias))
            .planes(&operators.gelu_quantise(&other, &v)),
    );
    let rows = kind.vector(&mut mix, 13 * 45);
    let mean = operators.mean_rows(&rows, 45);
    digest(
        "mean_rows",
        Digest::new()
            .floats(&mean)
            .floats(&ops::normalise(&mean))
            .floats(&ops::normalise(&v)),
    );
}

fn encoder_transcripts(
    kernels: Kernels,
    put: &mut impl FnMut(&str, &str),
) -> Result<(), SessionError> {
    let encoder = Encoder::tiny(31);
    let options = Options {
        threads: 2,
        prefill_chunk: 9,
        kernels,
    };
    for len in [1, 40] {
        let tokens: Vec<u32> = (0..len).map(|i| (3 + i * 11) % 211).collect();
        let Embedding { vector, trace_root } = encoder::embed(&encoder, &tokens, &options)?;
        let vector = Digest::new().floats(&vector).hex();
        let answer = format!("{vector} {}", hex(&trace_root));
        put(&format!("embedding of {len} tokens"), &answer);
    }
    Ok(())
}

fn draws(put: &mut impl FnMut(&str, &str)) {
    let mut mix = Mix::new(0xc153);
    let logits: Vec<f32> = (0..500).map(|_| f32z::mul(mix.unit(), 8.0)).collect();
    for (temperature_milli, top_p_ppm, top_k) in [
        (0, 0, 0),
        (1_000, 1_000_000, 0),
        (700, 900_000, 0),
        (1_500, 1_000_000, 20),
        (300, 500_000, 7),
    ] {
        let sampling = Sampling {
            temperature_milli,
            top_p_ppm,
            top_k,
            seed: 42,
            ..Sampling::GREEDY
        };
        let sampler = Sampler::new(sampling).expect("BUG: parameters are in range");
        let tokens: Vec<String> = (0..12)
            .map(|position| format!("{}", sampler.draw(&logits, position)))
            .collect();
        put(
            &format!("draw temperature {temperature_milli} top_p {top_p_ppm} top_k {top_k}"),
            &tokens.join(" "),
        );
    }
}

fn transcripts(kernels: Kernels, put: &mut impl FnMut(&str, &str)) -> Result<(), SessionError> {
    for (name, model) in [
        ("interleaved tied", Model::tiny(21)),
        ("half-split untied", Model::tiny_half_split(22)),
    ] {
        transcripts_of(kernels, name, &model, put)?;
    }
    Ok(())
}

fn family_transcripts(
    kernels: Kernels,
    put: &mut impl FnMut(&str, &str),
) -> Result<(), SessionError> {
    for (i, family) in Family::ALL.into_iter().enumerate() {
        let model = Model::tiny_of(family, 23 + i as u64);
        transcripts_of(kernels, family.name(), &model, put)?;
    }
    Ok(())
}

/// A greedy and a sampled transcript, each confirmed by its own check.
fn transcripts_of(
    kernels: Kernels,
    name: &str,
    model: &Model,
    put: &mut impl FnMut(&str, &str),
) -> Result<(), SessionError> {
    let options = Options {
        threads: 2,
        prefill_chunk: 9,
        kernels,
    };
    let warm = Sampling {
        temperature_milli: 800,
        top_p_ppm: 950_000,
        top_k: 40,
        seed: 7,
        ..Sampling::GREEDY
    };
    let input: Vec<u32> = (0..20).map(|i| 3 + i * 11).collect();
    for (drawn, sampling) in [("greedy", Sampling::GREEDY), ("sampled", warm)] {
        let request = Request {
            input: &input,
            max_tokens: 24,
            sampling,
            ..Request::default()
        };
        let session_error = |error| match error {
            job::RunError::Session(error) => error,
            other => unreachable!("BUG: the known request is refused: {other}"),
        };
        let transcript = job::generate(model, &request, &options, &mut |_, _| {
            ControlFlow::Continue(())
        })
        .map_err(session_error)?;
        let checked = job::check(
            model,
            &request,
            &transcript.output,
            transcript.finish,
            &options,
        )
        .map_err(session_error)?;
        let output: Vec<String> = transcript.output.iter().map(|t| format!("{t}")).collect();
        let agreed = if checked == Checked::Match(transcript.clone()) {
            "checked"
        } else {
            "not confirmed by its own check"
        };
        let answer = format!(
            "{:?} {} {agreed} {}",
            transcript.finish,
            hex(&transcript.trace_root),
            output.join(" ")
        );
        put(&format!("transcript {name} {drawn}"), &answer);
    }
    Ok(())
}

/// A hash over bits.
struct Digest(blake3::Hasher);

impl Digest {
    fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    fn floats(mut self, v: &[f32]) -> Self {
        v.iter().for_each(|x| {
            self.0.update(&x.to_bits().to_le_bytes());
        });
        self
    }

    fn bytes(mut self, v: &[i8]) -> Self {
        v.iter().for_each(|x| {
            self.0.update(&x.to_le_bytes());
        });
        self
    }

    fn planes(self, planes: &Planes) -> Self {
        self.bytes(&planes.high)
            .bytes(&planes.low)
            .floats(&[planes.scale])
    }

    fn hex(self) -> String {
        hex(&self.0.finalize().as_bytes()[..16])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_gives_the_known_answers() {
        expect_test::expect_file!["../kat/cis1.txt"]
            .assert_eq(&answers(Kernels::Reference).unwrap());
    }

    #[test]
    fn every_kernel_gives_the_known_answers() {
        for kernels in Kernels::available().into_iter().chain([Kernels::Auto]) {
            assert_eq!(run(kernels), Ok(()), "{kernels:?}");
        }
    }
}
