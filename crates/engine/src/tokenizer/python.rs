//! What chat templates expect of values because they were written for Python: maps that keep their order, methods of text and maps, and
//! JSON as Python writes it.

use std::{string::String, sync::Arc, vec::Vec};

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Enumerator, Kwargs, Object, ValueKind},
};

use crate::sampler::constraint::Json;

/// Deepest nesting of a value that is written as JSON.
const DEPTH_MAX: usize = 128;
/// Widest indentation of JSON.
const INDENT_MAX: usize = 16;

/// A map that keeps the order of its members.
#[derive(Debug)]
pub(super) struct Members(pub(super) Vec<(String, Value)>);

impl Members {
    pub(super) fn value(members: Vec<(String, Value)>) -> Value {
        Value::from_object(Self(members))
    }
}

impl Object for Members {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.0.iter().map(|(name, _)| Value::from(name.as_str()));
        Enumerator::Values(keys.collect())
    }
}

/// A value as a template sees it, with every text in it changed by `text`.
pub(super) fn value_of(json: &Json, text: &dyn Fn(&str) -> String) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match number.parse::<i64>() {
            Ok(integer) => Value::from(integer),
            // Every JSON number is one to Rust as well.
            Err(_) => Value::from(number.parse::<f64>().unwrap_or_default()),
        },
        Json::Text(value) => Value::from(text(value)),
        Json::List(items) => items.iter().map(|item| value_of(item, text)).collect(),
        Json::Object(members) => Members::value(
            members
                .iter()
                .map(|(name, value)| (text(name), value_of(value, text)))
                .collect(),
        ),
    }
}

/// The methods of text and maps that templates of this kind use.
pub(super) fn method(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let unknown = || {
        Error::new(
            ErrorKind::UnknownMethod,
            format!("no method {name} with these arguments"),
        )
    };
    if value.kind() == ValueKind::Map {
        return map_method(value, name, arguments).ok_or_else(unknown)?;
    }
    let text = value.as_str().ok_or_else(unknown)?;
    // A step pays for 64 bytes that are looked at; what comes out is charged by the engine.
    state.consume_fuel(text.len() as u64 / 64)?;
    text_method(text, name, arguments).ok_or_else(unknown)
}

fn map_method(map: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, Error>> {
    let pairs = |pick: &dyn Fn(Value, Value) -> Value| -> Result<Value, Error> {
        let keys: Vec<Value> = map.try_iter()?.collect();
        let picked = keys.into_iter().map(|key| {
            let value = map.get_item(&key)?;
            Ok(pick(key, value))
        });
        Ok(Value::from(picked.collect::<Result<Vec<_>, Error>>()?))
    };
    match (name, arguments) {
        ("items", []) => Some(pairs(&|key, value| Value::from(Vec::from([key, value])))),
        ("keys", []) => Some(pairs(&|key, _| key)),
        ("values", []) => Some(pairs(&|_, value| value)),
        ("get", [key] | [key, _]) => {
            Some(
                map.get_item(key)
                    .map(|found| match (found.is_undefined(), arguments.get(1)) {
                        (true, Some(other)) => other.clone(),
                        (true, None) => Value::from(()),
                        _ => found,
                    }),
            )
        }
        _ => None,
    }
}

fn any_of(set: &Value) -> Option<impl Fn(char) -> bool> {
    let set = set.as_str()?;
    Some(|c| set.contains(c))
}

fn text_method(text: &str, name: &str, arguments: &[Value]) -> Option<Value> {
    let value = match (name, arguments) {
        ("strip", []) => Value::from(text.trim()),
        ("lstrip", []) => Value::from(text.trim_start()),
        ("rstrip", []) => Value::from(text.trim_end()),
        ("strip", [set]) => Value::from(text.trim_matches(any_of(set)?)),
        ("lstrip", [set]) => Value::from(text.trim_start_matches(any_of(set)?)),
        ("rstrip", [set]) => Value::from(text.trim_end_matches(any_of(set)?)),
        ("startswith", [part]) => Value::from(text.starts_with(part.as_str()?)),
        ("endswith", [part]) => Value::from(text.ends_with(part.as_str()?)),
        ("upper", []) => Value::from(text.to_uppercase()),
        ("lower", []) => Value::from(text.to_lowercase()),
        ("replace", [from, to]) if !from.as_str()?.is_empty() => {
            // As long as the result may be, the engine is asked to pay before it is made.
            let (from, to) = (from.as_str()?, to.as_str()?);
            let count = text.matches(from).count();
            if count.saturating_mul(to.len()) > super::RENDERED_BYTES_MAX {
                return None;
            }
            Value::from(text.replace(from, to))
        }
        ("split", []) => text.split_whitespace().map(Value::from).collect(),
        ("split", [part]) if !part.as_str()?.is_empty() => {
            text.split(part.as_str()?).map(Value::from).collect()
        }
        ("split", [part, most]) if !part.as_str()?.is_empty() => {
            let most = usize::try_from(most.as_i64()?).ok()?;
            let parts = text.splitn(most.saturating_add(1), part.as_str()?);
            parts.map(Value::from).collect()
        }
        _ => return None,
    };
    Some(value)
}

/// The filter `tojson`, as the libraries that templates are written for define it: the separators of Python, no escapes but the
/// necessary ones, and an indentation on demand.
pub(super) fn to_json(
    state: &State<'_, '_>,
    value: &Value,
    options: Kwargs,
) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?;
    // These change nothing: other characters are never escaped, and members keep their order.
    let _ = options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let mut writer = JsonWriter {
        state,
        out: String::new(),
        indent: indent.map(|indent| indent.min(INDENT_MAX)),
        charged: 0,
    };
    writer.put(value, 0)?;
    Ok(writer.out)
}

struct JsonWriter<'s, 'a, 'b> {
    state: &'s State<'a, 'b>,
    out: String,
    indent: Option<usize>,
    /// Bytes that were paid for.
    charged: usize,
}

impl JsonWriter<'_, '_, '_> {
    fn put(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "value is nested too deep for tojson",
            ));
        }
        let steps = 1 + (self.out.len() - self.charged) / 64;
        self.charged = self.out.len();
        self.state.consume_fuel(steps as u64)?;
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool if value.is_true() => self.out.push_str("true"),
            ValueKind::Bool => self.out.push_str("false"),
            ValueKind::Number => self.number(value),
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                self.text(text);
            }
            ValueKind::Seq | ValueKind::Iterable => {
                self.out.push('[');
                let mut first = true;
                for item in value.try_iter()? {
                    self.item(depth, first);
                    first = false;
                    self.put(&item, depth + 1)?;
                }
                self.end(depth, first, ']');
            }
            ValueKind::Map => {
                self.out.push('{');
                let mut first = true;
                for key in value.try_iter()? {
                    self.item(depth, first);
                    first = false;
                    match key.as_str() {
                        Some(name) => self.text(name),
                        None => self.text(&key.to_string()),
                    }
                    self.out.push_str(": ");
                    self.put(&value.get_item(&key)?, depth + 1)?;
                }
                self.end(depth, first, '}');
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "value cannot be written as JSON",
                ));
            }
        }
        Ok(())
    }

    fn number(&mut self, value: &Value) {
        let text = match (value.as_i64(), f64::try_from(value.clone())) {
            (Some(integer), _) if value.is_integer() => integer.to_string(),
            (_, Ok(number)) => serde_json::to_string(&number).unwrap_or_default(),
            _ => value.to_string(),
        };
        self.out.push_str(&text);
    }

    fn text(&mut self, text: &str) {
        // Text is always valid JSON.
        self.out += &serde_json::to_string(text).unwrap_or_default();
    }

    fn item(&mut self, depth: usize, first: bool) {
        match (self.indent, first) {
            (None, true) => {}
            (None, false) => self.out.push_str(", "),
            (Some(_), first) => {
                if !first {
                    self.out.push(',');
                }
                self.line(depth + 1);
            }
        }
    }

    fn end(&mut self, depth: usize, empty: bool, close: char) {
        if self.indent.is_some() && !empty {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        let spaces = depth * self.indent.unwrap_or_default();
        self.out.extend(std::iter::repeat_n(' ', spaces));
    }
}
