//! From JSON Schema to a network.
//!
//! What is understood is the part that structured output is asked for in: `type` (one or several), `properties`, `required`,
//! `additionalProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `minLength`, `maxLength`, bounds of integers, `enum`, `const`,
//! `anyOf`, `allOf` of one, and `$ref` into the schema itself. Annotations are passed over. Anything else is refused by name: a schema
//! that would be followed in part only is worse than none.
//!
//! The network admits valid texts only, though not all of them: members come in the order of `properties`, then additional ones, whose
//! names are written without escapes; names and constants are written in one way.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use super::{
    ConstraintError,
    common::{Common, Member, flat, one_character},
    json::Json,
    json::SCHEMA_DEPTH_MAX,
    names::{quoted, unlike},
    network::{Network, NodeId, Part},
    numbers,
    place::Place,
};

/// Keywords that say nothing about what is valid.
const ANNOTATIONS: &[&str] = &[
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];

/// Keywords by the type that they speak of.
const OBJECT: &[&str] = &["properties", "required", "additionalProperties"];
const LIST: &[&str] = &["items", "prefixItems", "minItems", "maxItems"];
const STRING: &[&str] = &["minLength", "maxLength"];
const INTEGER: &[&str] = &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];

/// Longest name of a member, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Compiles one schema.
pub(super) struct Compiler<'s> {
    root: &'s Json,
    pub(super) net: Network,
    pub(super) common: Common,
    references: BTreeMap<&'s str, Part>,
    depth: usize, // schemas being compiled
}

impl<'s> Compiler<'s> {
    pub(super) fn new(root: &'s Json) -> Self {
        let mut net = Network::default();
        let common = Common::build(&mut net);
        Self {
            root,
            net,
            common,
            references: BTreeMap::new(),
            depth: 0,
        }
    }

    /// The part for the whole schema.
    pub(super) fn compile(&mut self) -> Result<Part, ConstraintError> {
        let place = Place {
            above: None,
            name: "#",
        };
        self.reference("#", &place)
    }

    fn schema(&mut self, schema: &'s Json, place: &Place<'_>) -> Result<Part, ConstraintError> {
        if self.net.overfull() {
            return Err(ConstraintError::TooLarge);
        }
        if self.depth == SCHEMA_DEPTH_MAX {
            return Err(place.refuse(format!(
                "more than {SCHEMA_DEPTH_MAX} schemas deep; flatten it"
            )));
        }
        self.depth += 1;
        let part = self.one(schema, place);
        self.depth -= 1;
        part
    }

    fn one(&mut self, schema: &'s Json, place: &Place<'_>) -> Result<Part, ConstraintError> {
        let members = match schema {
            Json::Bool(true) => return Ok(self.common.value),
            Json::Object(members) => members,
            Json::Bool(false) => return Err(place.refuse("nothing is valid here")),
            _ => return Err(place.refuse("a schema is an object or a truth value")),
        };
        let speaking = || {
            members
                .iter()
                .map(|(key, _)| key.as_str())
                .filter(|key| !ANNOTATIONS.contains(key))
        };
        let only = |allowed: &[&[&str]]| {
            let known = |key: &&str| allowed.iter().any(|list| list.contains(key));
            match speaking().find(|key| !known(key)) {
                Some(key) => Err(place.refuse(format!("{key:?} is not supported here"))),
                None => Ok(()),
            }
        };
        if let Some(target) = schema.get("$ref") {
            only(&[&["$ref"]])?;
            let target = target
                .text()
                .ok_or_else(|| place.refuse("\"$ref\" is not a text"))?;
            return self.reference(target, place);
        }
        for key in ["anyOf", "allOf"] {
            if let Some(options) = schema.get(key) {
                only(&[&[key]])?;
                return self.options(key, options, &place.below(key));
            }
        }
        if let Some(value) = schema.get("const") {
            only(&[&["const", "type"]])?;
            return self.constants(schema, core::slice::from_ref(value), place);
        }
        if let Some(values) = schema.get("enum") {
            only(&[&["enum", "type"]])?;
            let Json::List(values) = values else {
                return Err(place.refuse("\"enum\" is not a list"));
            };
            return self.constants(schema, values, place);
        }
        only(&[&["type"], OBJECT, LIST, STRING, INTEGER])?;
        let speaks = |list: &[&str]| speaking().any(|key| list.contains(&key));
        let types: Vec<&str> = match schema.get("type") {
            Some(types) => type_names(types, place)?,
            None if speaks(OBJECT) => Vec::from(["object"]),
            None if speaks(LIST) => Vec::from(["array"]),
            None if speaks(STRING) => Vec::from(["string"]),
            None if speaks(INTEGER) => return Err(place.refuse("bounds need a \"type\"")),
            None => return Ok(self.common.value),
        };
        let parts = types
            .iter()
            .map(|name| match *name {
                "object" => self.object(schema, place),
                "array" => self.list(schema, place),
                "string" => self.string(schema, place),
                "integer" => self.integer(schema, place),
                "number" if speaks(INTEGER) => {
                    Err(place.refuse("bounds are supported for integers only"))
                }
                "number" => Ok(self.common.number),
                "boolean" => Ok(self.common.boolean),
                "null" => Ok(self.common.null),
                other => Err(place.refuse(format!("type {other:?} is not known"))),
            })
            .collect::<Result<Vec<Part>, _>>()?;
        Ok(self.any(&parts))
    }

    /// What one of several parts admits.
    fn any(&mut self, parts: &[Part]) -> Part {
        if let [part] = parts {
            return *part;
        }
        flat(&mut self.net, |net, begin| {
            let end = net.node();
            for part in parts {
                net.call_to(begin, *part, end);
            }
            net.returns(end);
        })
    }

    fn options(
        &mut self,
        key: &str,
        options: &'s Json,
        place: &Place<'_>,
    ) -> Result<Part, ConstraintError> {
        let options = match options {
            Json::List(options) if !options.is_empty() => options,
            _ => return Err(place.refuse("not a list of schemas")),
        };
        if key == "allOf" && options.len() > 1 {
            return Err(place.refuse("more than one schema is not supported here; merge them"));
        }
        let parts = options
            .iter()
            .enumerate()
            .map(|(i, option)| self.schema(option, &place.below(&i.to_string())))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(self.any(&parts))
    }

    fn reference(&mut self, target: &'s str, place: &Place<'_>) -> Result<Part, ConstraintError> {
        if let Some(part) = self.references.get(target) {
            return Ok(*part);
        }
        let missing = || place.refuse(format!("{target:?} is not in this schema"));
        let path = target.strip_prefix('#').ok_or_else(missing)?;
        let mut found = self.root;
        for name in path.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            found = match found {
                Json::List(items) => name.parse().ok().and_then(|at: usize| items.get(at)),
                other => other.get(&name),
            }
            .ok_or_else(missing)?;
        }
        if !path.is_empty() && !path.starts_with('/') {
            return Err(missing());
        }
        // Known before it is filled in, since it may speak of itself.
        let begin = self.net.node();
        let part = Part {
            begin,
            nests: false,
        };
        self.references.insert(target, part);
        let there = Place {
            above: None,
            name: target,
        };
        let inner = self.schema(found, &there)?;
        let end = self.net.call(begin, inner);
        self.net.returns(end);
        Ok(part)
    }

    fn constants(
        &mut self,
        schema: &'s Json,
        values: &'s [Json],
        place: &Place<'_>,
    ) -> Result<Part, ConstraintError> {
        let types = match schema.get("type") {
            Some(types) => Some(type_names(types, place)?),
            None => None,
        };
        let fits = |value: &&Json| {
            types.as_ref().is_none_or(|types| {
                types.iter().any(|name| match value {
                    Json::Null => *name == "null",
                    Json::Bool(_) => *name == "boolean",
                    Json::Number(_) if value.integer().is_some() => {
                        matches!(*name, "integer" | "number")
                    }
                    Json::Number(_) => *name == "number",
                    Json::Text(_) => *name == "string",
                    Json::List(_) => *name == "array",
                    Json::Object(_) => *name == "object",
                })
            })
        };
        let begin = self.net.node();
        let end = self.net.node();
        let mut any = false;
        for value in values.iter().filter(fits) {
            let last = self.constant(begin, value);
            self.net.skip(last, end);
            any = true;
        }
        if !any {
            return Err(place.refuse("nothing is valid here"));
        }
        self.net.returns(end);
        Ok(Part {
            begin,
            nests: false,
        })
    }

    /// A value as it stands, with white space where it is allowed in any other.
    fn constant(&mut self, from: NodeId, value: &Json) -> NodeId {
        let space = self.common.space;
        let mut at = from;
        match value {
            Json::Null => self.net.literal(at, b"null"),
            Json::Bool(true) => self.net.literal(at, b"true"),
            Json::Bool(false) => self.net.literal(at, b"false"),
            Json::Number(number) => self.net.literal(at, number.as_bytes()),
            Json::Text(text) => self.net.literal(at, &quoted(text)),
            Json::List(items) => {
                at = self.net.literal(at, b"[");
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        at = self.net.literal(at, b",");
                    }
                    at = self.net.call(at, space);
                    at = self.constant(at, item);
                }
                at = self.net.call(at, space);
                self.net.literal(at, b"]")
            }
            Json::Object(members) => {
                at = self.net.literal(at, b"{");
                for (i, (key, value)) in members.iter().enumerate() {
                    if i > 0 {
                        at = self.net.literal(at, b",");
                    }
                    at = self.net.call(at, space);
                    at = self.net.literal(at, &quoted(key));
                    at = self.net.literal(at, b":");
                    at = self.net.call(at, space);
                    at = self.constant(at, value);
                }
                at = self.net.call(at, space);
                self.net.literal(at, b"}")
            }
        }
    }

    fn object(&mut self, schema: &'s Json, place: &Place<'_>) -> Result<Part, ConstraintError> {
        if OBJECT.iter().all(|key| schema.get(key).is_none()) {
            return Ok(self.common.object);
        }
        let properties: &[(String, Json)] = match schema.get("properties") {
            None => &[],
            Some(Json::Object(properties)) => properties,
            Some(_) => return Err(place.refuse("\"properties\" is not an object")),
        };
        let mut required: Vec<&str> = match schema.get("required") {
            None => Vec::new(),
            Some(Json::List(names)) => names
                .iter()
                .map(Json::text)
                .collect::<Option<_>>()
                .ok_or_else(|| place.refuse("\"required\" holds more than names"))?,
            Some(_) => return Err(place.refuse("\"required\" is not a list")),
        };
        required.sort_unstable();
        required.dedup();
        let additional = match schema.get("additionalProperties") {
            Some(Json::Bool(false)) => None,
            Some(other) => Some(self.schema(other, &place.below("additionalProperties"))?),
            None => Some(self.common.value),
        };
        let mut members = Vec::new();
        for (name, value) in properties {
            if name.len() > NAME_BYTES_MAX {
                return Err(place.refuse(format!("a name is longer than {NAME_BYTES_MAX} bytes")));
            }
            let required = required.binary_search(&name.as_str()).is_ok();
            let below = place.below("properties");
            members.push(Member {
                key: quoted(name),
                value: self.schema(value, &below.below(name))?,
                required,
            });
        }
        // What is required without being described is of the additional kind.
        for name in required {
            if properties.iter().any(|(known, _)| known == name) {
                continue;
            }
            let value = additional
                .ok_or_else(|| place.refuse(format!("{name:?} is required but not allowed")))?;
            members.push(Member {
                key: quoted(name),
                value,
                required: true,
            });
        }
        let others = additional.map(|value| (self.other_name(&members), value));
        let part = Part {
            begin: self.net.node(),
            nests: true,
        };
        let common = self.common;
        common.object(&mut self.net, part.begin, &members, others);
        Ok(part)
    }

    /// Any name but those of the members, written without escapes.
    fn other_name(&mut self, members: &[Member]) -> Part {
        let mut names: Vec<&[u8]> = members
            .iter()
            .map(|member| &member.key[1..member.key.len() - 1])
            .filter(|name| !name.contains(&b'\\'))
            .collect();
        names.sort_unstable();
        flat(&mut self.net, |net, begin| {
            let open = net.literal(begin, b"\"");
            let (body, end) = (net.node(), net.node());
            one_character(net, body, body, false);
            net.bytes_to(body, b'"', b'"', end);
            net.returns(end);
            unlike(net, open, &names, body, end);
        })
    }

    fn list(&mut self, schema: &'s Json, place: &Place<'_>) -> Result<Part, ConstraintError> {
        if LIST.iter().all(|key| schema.get(key).is_none()) {
            return Ok(self.common.list);
        }
        let count = |key: &str| count(schema, key, place);
        let (min, max) = (count("minItems")?.unwrap_or(0), count("maxItems")?);
        let items = match schema.get("prefixItems") {
            None => Vec::new(),
            Some(Json::List(items)) => {
                let below = place.below("prefixItems");
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| self.schema(item, &below.below(&i.to_string())))
                    .collect::<Result<_, _>>()?
            }
            Some(_) => return Err(place.refuse("\"prefixItems\" is not a list")),
        };
        let others = match schema.get("items") {
            Some(Json::Bool(false)) => None,
            Some(other) => Some(self.schema(other, &place.below("items"))?),
            None => Some(self.common.value),
        };
        let most = match others {
            None => Some(max.map_or(items.len(), |max| max.min(items.len()))),
            Some(_) => max,
        };
        if most.is_some_and(|most| most < min) {
            return Err(place.refuse("a list cannot be that short and that long"));
        }
        let part = Part {
            begin: self.net.node(),
            nests: true,
        };
        let common = self.common;
        common.list(&mut self.net, part.begin, &items, others, min, max);
        Ok(part)
    }

    fn string(&mut self, schema: &'s Json, place: &Place<'_>) -> Result<Part, ConstraintError> {
        let count = |key: &str| count(schema, key, place);
        let (min, max) = (count("minLength")?.unwrap_or(0), count("maxLength")?);
        if min == 0 && max.is_none() {
            return Ok(self.common.string);
        }
        if max.is_some_and(|max| max < min) {
            return Err(place.refuse("a string cannot be that short and that long"));
        }
        let one = self.common.character;
        Ok(flat(&mut self.net, |net, begin| {
            let end = net.node();
            net.returns(end);
            let mut at = net.literal(begin, b"\"");
            for len in 0.. {
                if len >= min {
                    net.bytes_to(at, b'"', b'"', end);
                }
                if max == Some(len) || net.overfull() {
                    break;
                }
                if max.is_none() && len == min {
                    net.call_to(at, one, at);
                    break;
                }
                at = net.call(at, one);
            }
        }))
    }

    fn integer(&mut self, schema: &'s Json, place: &Place<'_>) -> Result<Part, ConstraintError> {
        let bound = |key: &str| match schema.get(key) {
            None => Ok(None),
            Some(value) => value
                .integer()
                .filter(|bound| bound.unsigned_abs() <= 1 << 53)
                .map(Some)
                .ok_or_else(|| place.refuse(format!("{key:?} is not an integer up to 2^53"))),
        };
        let above = bound("exclusiveMinimum")?.map(|bound| bound + 1);
        let below = bound("exclusiveMaximum")?.map(|bound| bound - 1);
        let low = bound("minimum")?.max(above);
        let high = match (bound("maximum")?, below) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if low.is_none() && high.is_none() {
            return Ok(self.common.integer);
        }
        if low.zip(high).is_some_and(|(low, high)| low > high) {
            return Err(place.refuse("no integer is within these bounds"));
        }
        Ok(flat(&mut self.net, |net, begin| {
            let end = net.node();
            net.returns(end);
            numbers::between(net, begin, end, low, high);
        }))
    }
}

fn type_names<'s>(types: &'s Json, place: &Place<'_>) -> Result<Vec<&'s str>, ConstraintError> {
    let names: Option<Vec<&str>> = match types {
        Json::Text(name) => Some(Vec::from([name.as_str()])),
        Json::List(names) => names.iter().map(Json::text).collect(),
        _ => None,
    };
    names
        .filter(|names| !names.is_empty())
        .ok_or_else(|| place.refuse("\"type\" is neither a name nor a list of names"))
}

fn count(schema: &Json, key: &str, place: &Place<'_>) -> Result<Option<usize>, ConstraintError> {
    match schema.get(key) {
        None => Ok(None),
        Some(value) => value
            .integer()
            .and_then(|count| usize::try_from(count).ok())
            .map(Some)
            .ok_or_else(|| place.refuse(format!("{key:?} is not a count"))),
    }
}
