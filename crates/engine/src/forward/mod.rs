//! Sessions: a model, the keys and values of the tokens seen so far, and the trace.
//!
//! Invariant: logits and trace depend on the tokens only. One call per token, a call for all of them, chunks of any size, any
//! number of threads and any kernels give the same bits.

use alloc::vec::Vec;

use crate::{
    bounds::{self, BoundsError},
    model::Model,
    sampler::Draw,
    trace::{KvRows, Trace},
};

#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "std")]
mod fast;
mod reference;
#[cfg(test)]
mod tests;

/// Which code computes. All of it gives the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// The fastest that this machine has.
    #[default]
    Auto,
    /// The plain operators: one token, one thread, slow.
    Reference,
    /// Blocked loops that any compiler vectorises.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
    /// x86-64 with AVX-512 as above and AMX tiles of bytes.
    Amx,
    /// 64-bit Arm with NEON.
    Neon,
    /// 64-bit Arm with NEON and its dot products.
    NeonDot,
    /// WebAssembly compiled with SIMD128.
    Simd128,
}

impl Kernels {
    /// Every kind but the reference that some processor of this architecture can run, slowest first.
    pub fn of_this_architecture() -> &'static [Self] {
        if cfg!(target_arch = "x86_64") {
            &[Self::Portable, Self::Avx2, Self::Avx512, Self::Amx]
        } else if cfg!(target_arch = "aarch64") {
            &[Self::Portable, Self::Neon, Self::NeonDot]
        } else if cfg!(target_arch = "wasm32") {
            &[Self::Portable, Self::Simd128]
        } else {
            &[Self::Portable]
        }
    }

    /// Every kind that this machine can run, slowest first, without `Auto`.
    pub fn available() -> Vec<Self> {
        #[cfg(feature = "std")]
        let fast = crate::kernels::Level::available()
            .into_iter()
            .map(Self::from);
        #[cfg(not(feature = "std"))]
        let fast = [];
        [Self::Reference].into_iter().chain(fast).collect()
    }
}

/// How to run; nothing here can change a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Threads that compute, this one included; at least one, at most [`THREADS_MAX`].
    pub threads: usize,
    /// Tokens that one pass over the weights takes in prefill; at least one, at most [`PREFILL_CHUNK_MAX`].
    pub prefill_chunk: usize,
    /// Which code computes.
    pub kernels: Kernels,
}

/// Most threads of one session.
pub const THREADS_MAX: usize = 256;
/// Most tokens per pass over the weights.
pub const PREFILL_CHUNK_MAX: usize = 1_024;

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 1,
            prefill_chunk: 96,
            kernels: Kernels::Auto,
        }
    }
}

/// What a session refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The model cannot be run at all.
    #[error(transparent)]
    Model(#[from] BoundsError),
    /// More positions than were asked for or than the model has.
    #[error(
        "context of {capacity} tokens cannot take {wanted}; shorten the input or ask for fewer tokens"
    )]
    Context {
        /// Positions that there are.
        capacity: usize,
        /// Positions that would be needed.
        wanted: usize,
    },
    /// A token that the model does not have.
    #[error(
        "token {token} is outside the vocabulary of {vocab}; the input was made with another tokenizer"
    )]
    Token {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// Nothing to run.
    #[error("no tokens; give at least one")]
    NoTokens,
    /// An option out of range.
    #[error("{what} is {value}, must be 1 to {max}")]
    Option {
        /// Which option.
        what: &'static str,
        /// What was asked for.
        value: usize,
        /// The limit.
        max: usize,
    },
    /// Code that this machine cannot run.
    #[error("kernels {0:?} cannot run on this machine; use Auto")]
    Kernels(Kernels),
}

/// Hears what every layer leaves behind, layer after layer, of each the positions in order.
pub trait Watch {
    /// Takes what the trace's leaf of this position and layer hashes.
    fn layer(&mut self, position: usize, layer: usize, residual: &[f32], rows: &KvRows<'_>);
}

/// For which tokens of a pass logits are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    None,
    Last,
    All,
}

/// One sequence in progress.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model,
    pass: Pass,
    chunk: usize,
    capacity: usize,
    logits: Vec<f32>, // (token of the last pass that wanted them, vocab)
}

#[derive(Debug)]
enum Pass {
    Reference(reference::ReferencePass, Trace),
    #[cfg(feature = "std")]
    Fast(Box<fast::FastPass>, fast::Sequence),
}

impl<'m> Session<'m> {
    /// An empty session with room for `capacity` tokens.
    pub fn new(model: &'m Model, capacity: usize, options: &Options) -> Result<Self, SessionError> {
        let level = checked_level(model, options)?;
        if capacity > model.shape.context_max {
            return Err(SessionError::Context {
                capacity: model.shape.context_max,
                wanted: capacity,
            });
        }
        let pass = match level {
            None => Pass::Reference(reference::ReferencePass::new(model), Trace::default()),
            #[cfg(feature = "std")]
            Some(level) => {
                let tokens = options.prefill_chunk.min(capacity.max(1));
                let pass = fast::FastPass::new(model, tokens, options.threads, level);
                Pass::Fast(Box::new(pass), fast::Sequence::new(model))
            }
        };
        Ok(Self {
            model,
            pass,
            chunk: options.prefill_chunk,
            capacity,
            logits: Vec::new(),
        })
    }

    /// Runs one token and returns the logits for the next.
    pub fn decode(&mut self, token: u32) -> Result<&[f32], SessionError> {
        self.admit(&[token])?;
        self.advance(&[token], Wanted::Last, None);
        Ok(&self.logits)
    }

    /// Runs tokens in chunks and returns the logits after the last.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError> {
        self.admit(tokens)?;
        let last = (tokens.len() - 1) / self.chunk;
        for (i, chunk) in tokens.chunks(self.chunk).enumerate() {
            self.advance(
                chunk,
                if i == last {
                    Wanted::Last
                } else {
                    Wanted::None
                },
                None,
            );
        }
        Ok(&self.logits)
    }

    /// Runs tokens in chunks, and draws nothing.
    pub(crate) fn run(&mut self, tokens: &[u32]) -> Result<(), SessionError> {
        self.admit(tokens)?;
        for chunk in tokens.chunks(self.chunk) {
            self.advance(chunk, Wanted::None, None);
        }
        Ok(())
    }

    /// Runs tokens in chunks for what they leave behind.
    pub fn watch(&mut self, tokens: &[u32], watch: &mut dyn Watch) -> Result<(), SessionError> {
        self.admit(tokens)?;
        for chunk in tokens.chunks(self.chunk) {
            self.advance(chunk, Wanted::None, Some(&mut *watch));
        }
        Ok(())
    }

    /// Runs tokens in chunks and returns what is drawn after each: element `i` is drawn from the logits of `tokens[i]`.
    pub fn draw_each<D: Draw>(
        &mut self,
        tokens: &[u32],
        sampler: &D,
    ) -> Result<Vec<D::Drawn>, SessionError> {
        self.draw_from(0, tokens, sampler)
    }

    /// Runs tokens in chunks and returns what is drawn after each from the one at `start` on: element `i` is drawn from the logits of
    /// `tokens[start + i]`.
    pub fn draw_from<D: Draw>(
        &mut self,
        start: usize,
        tokens: &[u32],
        sampler: &D,
    ) -> Result<Vec<D::Drawn>, SessionError> {
        self.admit(tokens)?;
        let mut drawn = Vec::with_capacity(tokens.len().saturating_sub(start));
        for (c, chunk) in tokens.chunks(self.chunk).enumerate() {
            // Tokens of this chunk after which nothing is drawn.
            let silent = start.saturating_sub(c * self.chunk).min(chunk.len());
            let first = self.positions() + silent + 1;
            match &mut self.pass {
                Pass::Reference(..) => {
                    self.advance(&chunk[..silent], Wanted::None, None);
                    self.advance(&chunk[silent..], Wanted::All, None);
                    drawn.extend(
                        self.logits
                            .chunks_exact(self.model.shape.vocab)
                            .enumerate()
                            .map(|(i, logits)| sampler.draw(logits, (first + i) as u64)),
                    );
                }
                #[cfg(feature = "std")]
                Pass::Fast(pass, sequence) => {
                    let span = fast::Span {
                        sequence,
                        tokens: chunk,
                        wanted: Wanted::None,
                    };
                    let logits = &mut self.logits;
                    pass.advance(self.model, &mut [span], logits, None);
                    pass.draw_all(
                        self.model,
                        silent..chunk.len(),
                        sampler,
                        first as u64,
                        logits,
                        &mut drawn,
                    );
                }
            }
        }
        Ok(drawn)
    }

    /// Runs tokens in chunks and shows the logits after each: `show(i, logits)` for `tokens[i]`.
    pub fn show_each(
        &mut self,
        tokens: &[u32],
        show: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), SessionError> {
        self.admit(tokens)?;
        let vocab = self.model.shape.vocab;
        for (c, chunk) in tokens.chunks(self.chunk).enumerate() {
            self.advance(chunk, Wanted::All, None);
            for (i, logits) in self.logits.chunks_exact(vocab).enumerate() {
                show(c * self.chunk + i, logits);
            }
        }
        Ok(())
    }

    /// Positions computed.
    pub fn positions(&self) -> usize {
        self.trace().positions()
    }

    /// What was passed through so far.
    pub fn trace(&self) -> &Trace {
        match &self.pass {
            Pass::Reference(_, trace) => trace,
            #[cfg(feature = "std")]
            Pass::Fast(_, sequence) => &sequence.trace,
        }
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Refuses tokens for which there is no room, or that the model does not have.
    pub(crate) fn admit(&self, tokens: &[u32]) -> Result<(), SessionError> {
        admit(self.model, self.positions(), self.capacity, tokens)
    }

    fn advance(&mut self, tokens: &[u32], wanted: Wanted, watch: Option<&mut dyn Watch>) {
        match &mut self.pass {
            Pass::Reference(pass, trace) => {
                pass.advance(self.model, tokens, wanted, &mut self.logits, trace, watch);
            }
            #[cfg(feature = "std")]
            Pass::Fast(pass, sequence) => {
                let span = fast::Span {
                    sequence,
                    tokens,
                    wanted,
                };
                pass.advance(self.model, &mut [span], &mut self.logits, watch);
            }
        }
    }
}

/// What kernels run by; none for the reference.
#[cfg(feature = "std")]
type Level = crate::kernels::Level;
#[cfg(not(feature = "std"))]
type Level = core::convert::Infallible;

/// Checks model and options; gives what the kernels run by.
fn checked_level(model: &Model, options: &Options) -> Result<Option<Level>, SessionError> {
    bounds::check(model)?;
    let Options {
        threads,
        prefill_chunk,
        kernels,
    } = *options;
    for (what, value, max) in [
        ("threads", threads, THREADS_MAX),
        ("prefill_chunk", prefill_chunk, PREFILL_CHUNK_MAX),
    ] {
        if value == 0 || value > max {
            return Err(SessionError::Option { what, value, max });
        }
    }
    match kernels {
        Kernels::Reference => Ok(None),
        #[cfg(not(feature = "std"))]
        Kernels::Auto => Ok(None),
        #[cfg(not(feature = "std"))]
        other => Err(SessionError::Kernels(other)),
        #[cfg(feature = "std")]
        other => Level::choose(other)
            .map(Some)
            .ok_or(SessionError::Kernels(other)),
    }
}

/// Refuses tokens before anything is computed.
fn admit(
    model: &Model,
    positions: usize,
    capacity: usize,
    tokens: &[u32],
) -> Result<(), SessionError> {
    if tokens.is_empty() {
        return Err(SessionError::NoTokens);
    }
    let wanted = positions + tokens.len();
    if wanted > capacity {
        return Err(SessionError::Context { capacity, wanted });
    }
    let vocab = model.shape.vocab;
    match tokens.iter().find(|t| **t as usize >= vocab) {
        Some(token) => Err(SessionError::Token {
            token: *token,
            vocab,
        }),
        None => Ok(()),
    }
}
