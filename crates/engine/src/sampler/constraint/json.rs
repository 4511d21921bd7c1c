//! JSON from outside, as schemas are written in: members keep their order, numbers their spelling.

use alloc::{string::String, vec::Vec};

/// Longest schema, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of a schema.
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// Why a text is no such JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Too long.
    #[error("JSON is {0} bytes long, more than the limit of {SCHEMA_BYTES_MAX}; shorten it")]
    Length(usize),
    /// Something else was to come.
    #[error("JSON is wrong at byte {0}")]
    Syntax(usize),
    /// Too deep.
    #[error("JSON is nested deeper than {SCHEMA_DEPTH_MAX} at byte {0}; flatten it")]
    Depth(usize),
    /// One name twice in an object.
    #[error("JSON has the same name twice in one object at byte {0}")]
    Twice(usize),
}

impl Json {
    /// Reads a text.
    pub(crate) fn parse(text: &str) -> Result<Self, JsonError> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(JsonError::Length(text.len()));
        }
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        match reader.at == text.len() {
            true => Ok(value),
            false => Err(reader.wrong()),
        }
    }

    /// The member of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as an integer, where it is one that is written as such.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.parse().ok(),
            _ => None,
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self) -> JsonError {
        JsonError::Syntax(self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Passes over `word` if it is next.
    fn skip(&mut self, word: &str) -> bool {
        let there = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if there {
            self.at += word.len();
        }
        there
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > SCHEMA_DEPTH_MAX {
            return Err(JsonError::Depth(self.at));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.skip("null") => Ok(Json::Null),
            _ if self.skip("true") => Ok(Json::Bool(true)),
            _ if self.skip("false") => Ok(Json::Bool(false)),
            _ => Err(self.wrong()),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut members: Vec<(String, Json)> = Vec::new();
        self.at += 1;
        self.space();
        if self.skip("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            let begin = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.wrong());
            }
            let key = self.string()?;
            if members.iter().any(|(other, _)| *other == key) {
                return Err(JsonError::Twice(begin));
            }
            self.space();
            if !self.skip(":") {
                return Err(self.wrong());
            }
            members.push((key, self.value(depth + 1)?));
            self.space();
            if self.skip("}") {
                return Ok(Json::Object(members));
            }
            if !self.skip(",") {
                return Err(self.wrong());
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.skip("]") {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.skip("]") {
                return Ok(Json::List(items));
            }
            if !self.skip(",") {
                return Err(self.wrong());
            }
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let begin = self.at;
        self.skip("-");
        if !self.skip("0") {
            self.digits()?;
        }
        if self.skip(".") {
            self.digits()?;
        }
        if self.skip("e") || self.skip("E") {
            if !self.skip("+") {
                self.skip("-");
            }
            self.digits()?;
        }
        Ok(Json::Number(self.text[begin..self.at].into()))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at > begin {
            true => Ok(()),
            false => Err(self.wrong()),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let mut out = String::new();
        self.at += 1;
        loop {
            let c = self.text[self.at..].chars().next().ok_or(self.wrong())?;
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                '\0'..='\u{1f}' => return Err(self.wrong()),
                c => {
                    self.at += c.len_utf8();
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let c = self.peek().ok_or(self.wrong())?;
        let plain = match c {
            b'"' | b'\\' | b'/' => char::from(c),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.code_point();
            }
            _ => return Err(self.wrong()),
        };
        self.at += 1;
        Ok(plain)
    }

    fn code_point(&mut self) -> Result<char, JsonError> {
        let high = self.hex()?;
        let code = match high {
            0xd800..=0xdbff if self.skip("\\u") => match self.hex()? {
                low @ 0xdc00..=0xdfff => 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                _ => return Err(self.wrong()),
            },
            high => high,
        };
        char::from_u32(code).ok_or(self.wrong())
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.ok_or(self.wrong())?;
        let mut code = 0;
        for digit in digits {
            let value = char::from(*digit).to_digit(16).ok_or(self.wrong())?;
            code = code << 4 | value;
        }
        self.at += 4;
        Ok(code)
    }
}
