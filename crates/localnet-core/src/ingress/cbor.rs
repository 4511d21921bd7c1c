//! Reading CBOR that strangers send: strict, bounded and without copies.
//!
//! Accepted is what requests are made of: natural numbers, byte strings, texts, arrays and maps with text keys. Tags other
//! than self-describe and bignum, negative numbers, floats and simple values mean nothing in a request and are refused, as
//! are duplicate keys, strings in pieces, bytes after the end, and more nesting or items than any request has.

use thiserror::Error;

/// Levels of arrays and maps inside each other.
pub const DEPTH_MAX: usize = 16;

/// Values in one text, keys included.
pub const ITEMS_MAX: usize = 200_000;

/// A CBOR value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A natural number.
    Nat(u128),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// An array.
    Array(Vec<Value<'a>>),
    /// A map, in the order in which it came; no key comes twice.
    Map(Vec<(&'a str, Value<'a>)>),
}

/// Why bytes are no acceptable CBOR. Offsets count from the first byte.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CborError {
    /// The bytes end inside a value.
    #[error("the CBOR ends at byte {at}, inside a value")]
    Truncated {
        /// The length of the input.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("the CBOR value ends at byte {at}, but {extra} bytes follow")]
    Trailing {
        /// The end of the value.
        at: usize,
        /// How many bytes follow.
        extra: usize,
    },
    /// A kind of value that no request has.
    #[error("byte {at} begins {what}, which no request may contain")]
    Unsupported {
        /// Where it begins.
        at: usize,
        /// What it is.
        what: &'static str,
    },
    /// A malformed head byte.
    #[error("byte {at} is not valid CBOR")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// A text that is not UTF-8.
    #[error("the text at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where it begins.
        at: usize,
    },
    /// A key that is there already.
    #[error("the map key `{key}` appears twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A number above 128 bits.
    #[error("the number at byte {at} has more than 128 bits")]
    TooBig {
        /// Where it begins.
        at: usize,
    },
    /// Too many levels.
    #[error("arrays and maps are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    /// Too many values.
    #[error("the CBOR has more than {ITEMS_MAX} values")]
    TooMany,
}

/// Reads one value that fills the bytes.
///
/// # Errors
/// Where the bytes are anything else.
pub fn read(bytes: &[u8]) -> Result<Value<'_>, CborError> {
    let mut reader = Reader {
        bytes,
        at: 0,
        items: 0,
    };
    let value = reader.value(0)?;
    match bytes.len() - reader.at {
        0 => Ok(value),
        extra => Err(CborError::Trailing {
            at: reader.at,
            extra,
        }),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

/// The length in a head: known, or open until a break byte.
enum Length {
    Known(u64),
    Open,
}

const BREAK: u8 = 0xff;
const SELF_DESCRIBE: u64 = 55_799;
const BIGNUM: u64 = 2;

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, CborError> {
        if depth > DEPTH_MAX {
            return Err(CborError::TooDeep);
        }
        self.items += 1;
        if self.items > ITEMS_MAX {
            return Err(CborError::TooMany);
        }
        let begin = self.at;
        let (major, length) = self.head()?;
        match (major, length) {
            (0, Length::Known(value)) => Ok(Value::Nat(value.into())),
            (1, Length::Known(_)) => Err(CborError::Unsupported {
                at: begin,
                what: "a negative number",
            }),
            (2, Length::Known(length)) => Ok(Value::Bytes(self.take(length)?)),
            (3, Length::Known(length)) => Ok(Value::Text(self.text(begin, length)?)),
            (2 | 3, Length::Open) => Err(CborError::Unsupported {
                at: begin,
                what: "a string in pieces",
            }),
            (4, length) => self.array(length, depth),
            (5, length) => self.map(length, depth),
            (6, Length::Known(SELF_DESCRIBE)) => self.value(depth + 1),
            (6, Length::Known(BIGNUM)) => self.bignum(),
            (6, Length::Known(_)) => Err(CborError::Unsupported {
                at: begin,
                what: "a tagged value",
            }),
            (7, Length::Known(_)) => Err(CborError::Unsupported {
                at: begin,
                what: "a float or simple value",
            }),
            _ => Err(CborError::Malformed { at: begin }),
        }
    }

    fn array(&mut self, length: Length, depth: usize) -> Result<Value<'a>, CborError> {
        let mut items = Vec::new();
        let mut more = self.counter(length);
        while more(self)? {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, length: Length, depth: usize) -> Result<Value<'a>, CborError> {
        let mut pairs: Vec<(&str, Value<'_>)> = Vec::new();
        let mut more = self.counter(length);
        while more(self)? {
            let at = self.at;
            let Value::Text(key) = self.value(depth + 1)? else {
                return Err(CborError::Unsupported {
                    at,
                    what: "a map key that is not text",
                });
            };
            pairs.push((key, self.value(depth + 1)?));
        }
        let mut keys: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(CborError::DuplicateKey {
                key: pair[0].chars().take(64).collect(),
            }),
            None => Ok(Value::Map(pairs)),
        }
    }

    /// Says before each element whether there is one.
    fn counter(
        &self,
        length: Length,
    ) -> impl FnMut(&mut Self) -> Result<bool, CborError> + use<'a> {
        let mut left = match length {
            Length::Known(count) => Some(count),
            Length::Open => None,
        };
        move |reader| match &mut left {
            Some(0) => Ok(false),
            Some(count) => {
                *count -= 1;
                Ok(true)
            }
            None => match reader.bytes.get(reader.at) {
                Some(&BREAK) => {
                    reader.at += 1;
                    Ok(false)
                }
                Some(_) => Ok(true),
                None => Err(CborError::Truncated {
                    at: reader.bytes.len(),
                }),
            },
        }
    }

    fn bignum(&mut self) -> Result<Value<'a>, CborError> {
        let at = self.at;
        let (2, Length::Known(length)) = self.head()? else {
            return Err(CborError::Malformed { at });
        };
        let digits = self.take(length)?;
        let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
        if digits.len() > 16 {
            return Err(CborError::TooBig { at });
        }
        Ok(Value::Nat(
            digits
                .iter()
                .fold(0, |number, digit| number << 8 | u128::from(*digit)),
        ))
    }

    fn text(&mut self, begin: usize, length: u64) -> Result<&'a str, CborError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| CborError::NotUtf8 { at: begin })
    }

    fn head(&mut self) -> Result<(u8, Length), CborError> {
        let at = self.at;
        let first = self.take(1)?[0];
        let length = match first & 0x1f {
            short @ 0..24 => Length::Known(short.into()),
            wide @ 24..28 => {
                let digits = self.take(1 << (wide - 24))?;
                Length::Known(
                    digits
                        .iter()
                        .fold(0, |number, digit| number << 8 | u64::from(*digit)),
                )
            }
            31 => Length::Open,
            _ => return Err(CborError::Malformed { at }),
        };
        Ok((first >> 5, length))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length));
        let taken = taken.ok_or(CborError::Truncated {
            at: self.bytes.len(),
        })?;
        self.at += taken.len();
        Ok(taken)
    }
}
