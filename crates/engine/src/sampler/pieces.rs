//! The bytes that each token adds to an answer, for stop strings and constraints.
//!
//! It does not know where the bytes come from: a tokenizer fills the table, or a test. A token that adds nothing, as control tokens do,
//! has no bytes.

use alloc::{sync::Arc, vec::Vec};

/// Most bytes of one token.
pub const PIECE_BYTES_MAX: usize = 1 << 12;

/// Why there is no such table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PiecesError {
    /// Too long.
    #[error("token {token} stands for {found} bytes, more than the limit of {PIECE_BYTES_MAX}")]
    Length {
        /// The token.
        token: usize,
        /// Its bytes.
        found: usize,
    },
    /// More than can be addressed.
    #[error("tokens stand for more than 4294967295 bytes together")]
    Total,
}

/// Bytes by token id. Copies share one table.
#[derive(Clone, PartialEq, Eq)]
pub struct Pieces(Arc<Table>);

#[derive(PartialEq, Eq)]
struct Table {
    ends: Vec<u32>, // token i is bytes[ends[i - 1]..ends[i]]
    bytes: Vec<u8>,
    sorted: Vec<u32>, // tokens that have bytes, ascending by them, then by id
    shared: Vec<u16>, // how many leading bytes each has in common with the one before
}

impl Pieces {
    /// A table of the bytes of tokens 0, 1, ..
    pub fn new<B: AsRef<[u8]>>(pieces: impl IntoIterator<Item = B>) -> Result<Self, PiecesError> {
        let (mut ends, mut bytes) = (Vec::new(), Vec::new());
        for (token, piece) in pieces.into_iter().enumerate() {
            let piece = piece.as_ref();
            if piece.len() > PIECE_BYTES_MAX {
                return Err(PiecesError::Length {
                    token,
                    found: piece.len(),
                });
            }
            bytes.extend_from_slice(piece);
            ends.push(u32::try_from(bytes.len()).map_err(|_| PiecesError::Total)?);
        }
        let mut table = Table {
            ends,
            bytes,
            sorted: Vec::new(),
            shared: Vec::new(),
        };
        let mut sorted: Vec<u32> = (0..table.ends.len() as u32)
            .filter(|token| !table.get(*token).is_empty())
            .collect();
        sorted.sort_unstable_by_key(|token| (table.get(*token), *token));
        let mut before: &[u8] = &[];
        for token in &sorted {
            let piece = table.get(*token);
            let common = before.iter().zip(piece).take_while(|(a, b)| a == b);
            table.shared.push(common.count() as u16);
            before = table.get(*token);
        }
        table.sorted = sorted;
        Ok(Self(Arc::new(table)))
    }

    /// The bytes of a token; none for one outside the table.
    pub fn get(&self, token: u32) -> &[u8] {
        self.0.get(token)
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// Tokens that have bytes, ascending by them; each with how many leading bytes it has in common with the one before.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = (u32, usize)> {
        let shared = self.0.shared.iter().map(|n| usize::from(*n));
        self.0.sorted.iter().copied().zip(shared)
    }
}

impl Table {
    fn get(&self, token: u32) -> &[u8] {
        let at = token as usize;
        let begin = match at.checked_sub(1) {
            Some(before) => self.ends.get(before).copied(),
            None => Some(0),
        };
        match (begin, self.ends.get(at)) {
            (Some(begin), Some(end)) => &self.bytes[begin as usize..*end as usize],
            _ => &[],
        }
    }
}

impl core::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pieces of {} tokens", self.len())
    }
}
