//! Stop strings: text that ends a generation, found in the bytes of the tokens as they come.
//!
//! The search is over the bytes of all output tokens one after another, so where tokens begin and end does not matter: the generation
//! stops at the first byte that completes a stop string, and of several completed there the longest counts. The answer is what comes
//! before the first byte of that string. Bytes that may still become a stop string are known at any time, so that a stream can hold
//! them back.

use alloc::{vec, vec::Vec};

/// Most stop strings of one request.
pub const STOP_STRINGS_MAX: usize = 16;
/// Longest stop string, in bytes.
pub const STOP_BYTES_MAX: usize = 256;

/// Why stop strings are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// Too many.
    #[error("{0} stop strings, more than the limit of {STOP_STRINGS_MAX}; name fewer")]
    Count(usize),
    /// Nothing to look for.
    #[error("stop string {0} is empty; leave it out")]
    Empty(usize),
    /// Too long.
    #[error(
        "stop string {index} is {found} bytes long, more than the limit of {STOP_BYTES_MAX}; shorten it"
    )]
    Length {
        /// Which one, from zero.
        index: usize,
        /// Its bytes.
        found: usize,
    },
}

/// Checked stop strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopStrings {
    texts: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Text {
    bytes: Vec<u8>,
    /// For each length matched, the longest shorter one that is matched as well (Knuth, Morris and Pratt).
    falls: Vec<u16>,
}

/// A stop string in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopFound {
    /// Which stop string, from zero.
    pub index: usize,
    /// Where it begins: how many bytes of the output are the answer.
    pub begin: usize,
}

/// A search in progress.
#[derive(Clone, Debug)]
pub struct StopScanner {
    matched: Vec<u16>, // by stop string
    seen: usize,
    found: Option<StopFound>,
}

impl StopStrings {
    /// Checks stop strings.
    pub fn new<S: AsRef<str>>(texts: &[S]) -> Result<Self, StopError> {
        if texts.len() > STOP_STRINGS_MAX {
            return Err(StopError::Count(texts.len()));
        }
        let text = |(index, text): (usize, &S)| match text.as_ref().as_bytes() {
            [] => Err(StopError::Empty(index)),
            bytes if bytes.len() > STOP_BYTES_MAX => Err(StopError::Length {
                index,
                found: bytes.len(),
            }),
            bytes => Ok(Text::new(bytes)),
        };
        Ok(Self {
            texts: texts
                .iter()
                .enumerate()
                .map(text)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Begins a search.
    pub fn scan(&self) -> StopScanner {
        StopScanner {
            matched: vec![0; self.texts.len()],
            seen: 0,
            found: None,
        }
    }
}

impl Text {
    fn new(bytes: &[u8]) -> Self {
        let mut text = Self {
            bytes: bytes.to_vec(),
            falls: vec![0; bytes.len() + 1],
        };
        for (len, byte) in bytes.iter().enumerate().skip(1) {
            text.falls[len + 1] = text.step(text.falls[len], *byte);
        }
        text
    }

    /// The length matched after one more byte.
    fn step(&self, mut matched: u16, byte: u8) -> u16 {
        loop {
            if self.bytes.get(usize::from(matched)) == Some(&byte) {
                return matched + 1;
            }
            if matched == 0 {
                return 0;
            }
            matched = self.falls[usize::from(matched)];
        }
    }
}

impl StopScanner {
    /// Looks at some more bytes; true once a stop string is complete, and then nothing more is looked at.
    pub fn push(&mut self, stops: &StopStrings, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.found.is_some() {
                break;
            }
            self.seen += 1;
            for (index, (matched, text)) in self.matched.iter_mut().zip(&stops.texts).enumerate() {
                *matched = text.step(*matched, *byte);
                let begin = self.seen - usize::from(*matched);
                let complete = usize::from(*matched) == text.bytes.len();
                if complete && self.found.is_none_or(|found| begin < found.begin) {
                    self.found = Some(StopFound { index, begin });
                }
            }
        }
        self.found.is_some()
    }

    /// The stop string that was found.
    pub fn found(&self) -> Option<StopFound> {
        self.found
    }

    /// How many of the bytes seen belong to the answer whatever follows.
    pub fn settled(&self) -> usize {
        match self.found {
            Some(found) => found.begin,
            None => self.seen - usize::from(self.matched.iter().copied().max().unwrap_or(0)),
        }
    }
}
