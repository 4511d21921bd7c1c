//! What the maps in an envelope hold, read as the types that they must have.

use candid::Principal;

use super::{cbor::Value, error::EnvelopeError};

/// Reads one value as a type.
pub(super) type As<'a, T> = fn(&'static str, &'a Value<'a>) -> Result<T, EnvelopeError>;

/// The fields of a map, by name.
pub(super) struct Fields<'a>(pub(super) &'a [(&'a str, Value<'a>)]);

impl<'a> Fields<'a> {
    pub(super) fn get<T>(
        &self,
        field: &'static str,
        read: As<'a, T>,
    ) -> Result<Option<T>, EnvelopeError> {
        self.0
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, value)| read(field, value))
            .transpose()
    }

    pub(super) fn need<T>(&self, field: &'static str, read: As<'a, T>) -> Result<T, EnvelopeError> {
        self.get(field, read)?
            .ok_or(EnvelopeError::Missing { field })
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == field)
    }

    pub(super) fn map(
        field: &'static str,
        value: &'a Value<'a>,
    ) -> Result<&'a [(&'a str, Value<'a>)], EnvelopeError> {
        match value {
            Value::Map(pairs) => Ok(pairs),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "a map",
            }),
        }
    }

    pub(super) fn array(
        field: &'static str,
        value: &'a Value<'a>,
    ) -> Result<&'a [Value<'a>], EnvelopeError> {
        match value {
            Value::Array(items) => Ok(items),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "an array",
            }),
        }
    }

    pub(super) fn text(
        field: &'static str,
        value: &'a Value<'a>,
    ) -> Result<&'a str, EnvelopeError> {
        match value {
            Value::Text(text) => Ok(text),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "a text",
            }),
        }
    }

    pub(super) fn bytes(
        field: &'static str,
        value: &'a Value<'a>,
    ) -> Result<&'a [u8], EnvelopeError> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "a byte string",
            }),
        }
    }

    pub(super) fn nat(field: &'static str, value: &'a Value<'a>) -> Result<u128, EnvelopeError> {
        match value {
            Value::Nat(number) => Ok(*number),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "a natural number",
            }),
        }
    }

    pub(super) fn principal(
        field: &'static str,
        value: &'a Value<'a>,
    ) -> Result<Principal, EnvelopeError> {
        Principal::try_from_slice(Self::bytes(field, value)?).map_err(|_| {
            EnvelopeError::WrongType {
                field,
                expected: "a principal of at most 29 bytes",
            }
        })
    }
}
