//! One answer however it is run: every way of running a model on this machine, compared with the recorded roots.
//!
//! `kat/roots.txt` holds, for one tiny model of each family, the trace root after [`TOKENS`] tokens: past the contexts at which
//! engines with floating-point sums begin to depend on threads and chunks. A variant is one combination of kernels, threads and the
//! way in which tokens are fed; it passes when every model gives its recorded root and last logits.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use crate::{
    forward::{Kernels, Options, Session, SessionError},
    model::{
        Model,
        tiny::{Family, Mix},
    },
    trace::Hash,
};

#[cfg(feature = "std")]
mod company;

/// Tokens of each run.
pub const TOKENS: usize = 750;

/// The recorded roots, one line for each model.
pub const ROOTS: &str = include_str!("../kat/roots.txt");

/// The recorded answers of the default model, SmolLM2-135M-Instruct as `models.json` names it: tokens, then root and logits.
pub const DEFAULT_MODEL: &str = include_str!("../kat/smollm2.txt");

/// How tokens are fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// All of them in passes of at most this many.
    Chunks(usize),
    /// One by one, as a generation does.
    Decode,
    /// A part in chunks, the rest one by one.
    Mixed,
    /// All but the last in chunks, then the last: one step of a generation.
    Step,
    /// In a batch of this many sequences that come and go.
    Batch {
        /// How many, this one included.
        sequences: usize,
        /// Whether it begins with pages that an earlier sequence left.
        shared: bool,
    },
}

/// One way of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Which code computes.
    pub kernels: Kernels,
    /// Threads.
    pub threads: usize,
    /// How tokens are fed.
    pub feed: Feed,
}

impl Variant {
    /// Every variant of this machine, the plain reference first.
    pub fn all() -> Vec<Self> {
        let batch = |sequences, shared| Feed::Batch { sequences, shared };
        let feeds = [
            Feed::Chunks(1_024),
            Feed::Chunks(64),
            Feed::Chunks(7),
            Feed::Decode,
            Feed::Mixed,
            batch(1, true),
            batch(3, false),
            batch(3, true),
            batch(16, false),
            batch(16, true),
        ];
        let mut all = Vec::new();
        for kernels in Kernels::available() {
            // The reference has one thread and one way only.
            let (threads, feeds) = match kernels {
                Kernels::Reference => (&[1][..], &feeds[..1]),
                _ => (&[1, 2, 8][..], &feeds[..]),
            };
            for threads in threads.iter().copied() {
                all.extend(feeds.iter().map(|feed| Self {
                    kernels,
                    threads,
                    feed: *feed,
                }));
            }
        }
        all
    }

    /// For people: kernels, threads, feed.
    pub fn name(&self) -> String {
        let feed = match self.feed {
            Feed::Chunks(most) if most >= TOKENS => "whole prefill".into(),
            Feed::Chunks(most) => format!("prefill in chunks of {most}"),
            Feed::Decode => "token by token".into(),
            Feed::Mixed => "prefill, then token by token".into(),
            Feed::Step => "prefill, then one step".into(),
            Feed::Batch { sequences, shared } => {
                let prefix = if shared { "with" } else { "without" };
                format!("batch of {sequences} {prefix} prefix cache")
            }
        };
        let threads = self.threads;
        let noun = if threads == 1 { "thread" } else { "threads" };
        format!("{:?}, {threads} {noun}, {feed}", self.kernels)
    }

    /// What the tokens leave behind: the trace root, and a hash of the last logits.
    pub fn run(&self, model: &Model, tokens: &[u32]) -> Result<String, String> {
        let (chunk, by_chunks) = match self.feed {
            Feed::Chunks(chunk) => (chunk, tokens.len()),
            Feed::Decode | Feed::Batch { .. } => (64, 0),
            Feed::Mixed => (64, tokens.len() / 3),
            Feed::Step => (64, tokens.len().saturating_sub(1)),
        };
        let options = Options {
            threads: self.threads,
            prefill_chunk: chunk,
            kernels: self.kernels,
        };
        if let Feed::Batch { sequences, shared } = self.feed {
            #[cfg(feature = "std")]
            return company::run(model, tokens, &options, sequences, shared);
            #[cfg(not(feature = "std"))]
            return Err(format!(
                "a batch of {sequences}, shared {shared}: built without batches"
            ));
        }
        let run = || {
            let mut session = Session::new(model, tokens.len(), &options)?;
            let mut last = Vec::new();
            if by_chunks > 0 {
                last = session.prefill(&tokens[..by_chunks])?.to_vec();
            }
            for token in &tokens[by_chunks..] {
                last = session.decode(*token)?.to_vec();
            }
            Ok(answer(&session.trace().root(tokens.len()), &last))
        };
        run().map_err(|error: SessionError| error.to_string())
    }
}

/// What is compared: the root, and a hash of the last logits.
fn answer(root: &Hash, last: &[f32]) -> String {
    let mut logits = blake3::Hasher::new();
    for logit in last {
        logits.update(&logit.to_bits().to_le_bytes());
    }
    let logits = logits.finalize();
    format!("{} {}", hex(root), hex(&logits.as_bytes()[..16]))
}

/// The models by name.
pub fn models() -> Vec<(&'static str, Model)> {
    let mut models = Vec::new();
    models.push(("llama interleaved tied", Model::tiny(31)));
    models.push(("llama half-split untied", Model::tiny_half_split(32)));
    for (i, family) in Family::ALL.into_iter().enumerate() {
        models.push((family.name(), Model::tiny_of(family, 33 + i as u64)));
    }
    models
}

/// The tokens that a model of this vocabulary is given.
pub fn tokens(count: usize, vocab: usize) -> Vec<u32> {
    let mut mix = Mix::new(0xc156);
    (0..count).map(|_| mix.below(vocab as u64) as u32).collect()
}

/// Runs models in one way; the first that differs from its recorded answer is the error.
pub fn check<'m>(
    variant: &Variant,
    models: impl IntoIterator<Item = &'m (&'static str, Model)>,
) -> Result<(), String> {
    for (name, model) in models {
        let recorded = ROOTS.lines().find_map(|line| {
            let (of, answer) = line.split_once(" = ")?;
            (of == *name).then_some(answer)
        });
        let found = variant
            .run(model, &tokens(TOKENS, model.shape.vocab))
            .map_err(|error| format!("{name}: {error}"))?;
        if Some(&found[..]) != recorded {
            return Err(format!(
                "{name} came out as {found}, recorded is {recorded:?}"
            ));
        }
    }
    Ok(())
}

/// Runs every variant and tells a line for each: `ok`, `fail` or `skip`, then what. Where a machine is slow each variant takes only some of
/// the models, in turn: all of them meet all kernels, feeds and numbers of threads, if not every combination.
pub fn tell_variants(models_each: Option<usize>, tell: &mut dyn FnMut(&str)) {
    let models = models();
    if ROOTS.lines().count() != models.len() {
        tell("fail  as many roots as models must be recorded");
    }
    let some = models_each.unwrap_or(models.len()).clamp(1, models.len());
    let extent = match some == models.len() {
        true => String::new(),
        false => format!(", {some} of {} tiny models", models.len()),
    };
    for (number, variant) in Variant::all().iter().enumerate() {
        // One further in each round, so that a feed does not always meet the same models.
        let first = (number + number / models.len()) * some % models.len();
        let taken = models.iter().cycle().skip(first).take(some);
        let name = variant.name();
        match check(variant, taken) {
            Ok(()) => tell(&format!("ok    {name}{extent}")),
            Err(why) => tell(&format!("fail  {name}{extent}: {why}")),
        }
    }
    for kernels in Kernels::of_this_architecture() {
        if !Kernels::available().contains(kernels) {
            tell(&format!("skip  {kernels:?}: this processor lacks it"));
        }
    }
}

/// Runs tokens of the default model with every kind of kernels but the reference, and compares with what is recorded.
pub fn tell_model(model: &Model, count: usize, tell: &mut dyn FnMut(&str)) {
    for kernels in Kernels::available().into_iter().skip(1) {
        let variant = Variant {
            kernels,
            threads: 2,
            feed: Feed::Mixed,
        };
        let what = format!("{kernels:?}, {count} tokens of the default model");
        match check_model(&variant, model, count) {
            Ok(()) => tell(&format!("ok    {what}")),
            Err(why) => tell(&format!("fail  {what}: {why}")),
        }
    }
}

/// Runs tokens of the default model in one way, and compares trace and logits with what is recorded.
pub fn check_model(variant: &Variant, model: &Model, count: usize) -> Result<(), String> {
    let recorded = DEFAULT_MODEL.lines().find_map(|line| {
        let (tokens, answer) = line.split_once(" = ")?;
        (tokens.parse() == Ok(count)).then_some(answer)
    });
    let recorded = recorded.ok_or_else(|| format!("nothing is recorded of {count} tokens"))?;
    let found = variant.run(model, &tokens(count, model.shape.vocab))?;
    if found == recorded {
        return Ok(());
    }
    Err(format!("{found}, recorded is {recorded}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_roots_are_those_of_the_reference() {
        let reference = Variant::all()[0];
        assert_eq!(reference.kernels, Kernels::Reference);
        let lines: String = models()
            .iter()
            .map(|(name, model)| {
                let tokens = tokens(TOKENS, model.shape.vocab);
                format!("{name} = {}\n", reference.run(model, &tokens).unwrap())
            })
            .collect();
        expect_test::expect_file!["../kat/roots.txt"].assert_eq(&lines);
    }

    #[test]
    fn a_model_with_one_other_weight_is_not_conforming() {
        let mut models = models();
        models[1].1.layers[1].ffn_norm[3] = 0.5;
        let variant = Variant {
            kernels: Kernels::Auto,
            threads: 1,
            feed: Feed::Chunks(1_024),
        };
        let error = check(&variant, &models).unwrap_err();
        assert!(
            error.starts_with("llama half-split untied came out as"),
            "{error}"
        );
    }
}
