//! JSON whose objects name every key once, so that two readers cannot take it for two things.

use core::fmt;
use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

use super::ImportError;

/// Any JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Truth(bool),
    Count(u64),
    /// A number that is negative or has a fraction.
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Json {
    /// What kind of value this is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Truth(_) => "a truth value",
            Self::Count(_) => "a count",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Truth(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Count(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value as f64))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Number(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.into()))
            }

            fn visit_string<E>(self, value: String) -> Result<Json, E> {
                Ok(Json::Text(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut object = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Json>()? {
                    if object.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("key {key:?} is there twice")));
                    }
                    object.insert(key, value);
                }
                Ok(Json::Object(object))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// An object whose keys are taken out one by one, so that what nobody asked for is left.
#[derive(Debug)]
pub(super) struct Config {
    /// Where the object stands, for messages: empty, or a key and a dot.
    path: String,
    entries: BTreeMap<String, Json>,
}

impl Config {
    pub(super) fn new(entries: BTreeMap<String, Json>) -> Self {
        Self {
            path: String::new(),
            entries,
        }
    }

    /// The full name of a key.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// A value of any kind; `null` is as good as absent.
    pub(super) fn any(&mut self, key: &str) -> Option<Json> {
        self.entries.remove(key).filter(|json| *json != Json::Null)
    }

    fn typed<T>(
        &mut self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(Json) -> Result<T, Json>,
    ) -> Result<Option<T>, ImportError> {
        let Some(json) = self.any(key) else {
            return Ok(None);
        };
        match read(json) {
            Ok(value) => Ok(Some(value)),
            Err(json) => Err(ImportError::KeyType {
                key: self.name(key),
                expected,
                found: json.kind(),
            }),
        }
    }

    /// A whole number, not negative.
    pub(super) fn count(&mut self, key: &str) -> Result<Option<u64>, ImportError> {
        self.typed(key, "a count", |json| match json {
            Json::Count(count) => Ok(count),
            other => Err(other),
        })
    }

    /// A number, rounded to f32.
    pub(super) fn float(&mut self, key: &str) -> Result<Option<f32>, ImportError> {
        self.typed(key, "a number", |json| match json {
            Json::Count(count) => Ok(count as f32),
            Json::Number(number) => Ok(number as f32),
            other => Err(other),
        })
    }

    pub(super) fn truth(&mut self, key: &str) -> Result<Option<bool>, ImportError> {
        self.typed(key, "a truth value", |json| match json {
            Json::Truth(value) => Ok(value),
            other => Err(other),
        })
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, ImportError> {
        self.typed(key, "text", |json| match json {
            Json::Text(text) => Ok(text),
            other => Err(other),
        })
    }

    pub(super) fn list(&mut self, key: &str) -> Result<Option<Vec<Json>>, ImportError> {
        self.typed(key, "a list", |json| match json {
            Json::List(list) => Ok(list),
            other => Err(other),
        })
    }

    pub(super) fn object(&mut self, key: &str) -> Result<Option<Self>, ImportError> {
        let path = format!("{}.", self.name(key));
        let entries = self.typed(key, "an object", |json| match json {
            Json::Object(entries) => Ok(entries),
            other => Err(other),
        })?;
        Ok(entries.map(|entries| Self { path, entries }))
    }

    /// A value that must be there.
    pub(super) fn required<T>(&self, value: Option<T>, key: &str) -> Result<T, ImportError> {
        value.ok_or_else(|| ImportError::MissingKey {
            key: self.name(key),
        })
    }

    /// A size that must be there.
    pub(super) fn size(&mut self, key: &str) -> Result<usize, ImportError> {
        let size = self.optional_size(key)?;
        self.required(size, key)
    }

    /// A size; one that does not fit is larger than every limit anyway.
    pub(super) fn optional_size(&mut self, key: &str) -> Result<Option<usize>, ImportError> {
        let count = self.count(key)?;
        Ok(count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
    }

    /// Takes a text that may only be one of these, when it is there.
    pub(super) fn one_of(&mut self, key: &str, allowed: &[&str]) -> Result<(), ImportError> {
        match self.text(key)? {
            Some(found) if !allowed.contains(&found.as_str()) => Err(ImportError::Unsupported {
                key: self.name(key),
                found: found.chars().take(64).collect(),
            }),
            _ => Ok(()),
        }
    }

    /// Takes a truth value that may only be this one, when it is there.
    pub(super) fn always(&mut self, key: &str, expected: bool) -> Result<(), ImportError> {
        match self.truth(key)? {
            Some(found) if found != expected => Err(ImportError::Unsupported {
                key: self.name(key),
                found: found.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Takes a value that may only be absent.
    pub(super) fn absent(&mut self, key: &str) -> Result<(), ImportError> {
        match self.any(key) {
            None => Ok(()),
            Some(json) => Err(ImportError::Unsupported {
                key: self.name(key),
                found: json.kind().into(),
            }),
        }
    }

    /// Refuses what nobody has asked for, save keys that cannot change results.
    pub(super) fn finish(self, harmless: &[&str]) -> Result<(), ImportError> {
        let unknown = self
            .entries
            .keys()
            .find(|key| !harmless.contains(&key.as_str()));
        match unknown {
            Some(key) => Err(ImportError::UnknownKey {
                key: self.name(&key.chars().take(256).collect::<String>()),
            }),
            None => Ok(()),
        }
    }
}
