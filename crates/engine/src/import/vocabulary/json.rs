//! The `tokenizer.json` of a vocabulary, spelled out in one way.

use std::fmt::Write as _;

use super::{Cut, Kind, Model, Vocabulary};

const BYTE_LEVEL: &str =
    r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#;
const BYTES_ONLY: &str =
    r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}"#;
const DIGITS: &str = r#"{"type":"Digits","individual_digits":true}"#;

/// As GPT-2 cuts text; what it leaves is white space and stays whole.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";

impl Vocabulary<'_> {
    /// The vocabulary as `tokenizer.json`.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json =
            String::from(r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":["#);
        let whole = self
            .kinds
            .iter()
            .enumerate()
            .filter(|(_, kind)| kind.is_whole());
        list(&mut json, whole, |json, (id, kind)| {
            let (content, special) = (quoted(&self.tokens[id]), *kind == Kind::Control);
            // Writing to a string cannot fail.
            let _ = write!(
                json,
                r#"{{"id":{id},"content":{content},"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":{special}}}"#
            );
        });
        let _ = write!(
            json,
            r#"],"normalizer":{},"pre_tokenizer":{},"post_processor":{},"decoder":{},"model":{{"#,
            self.normalizer(),
            self.pre_tokenizer(),
            self.post_processor(),
            self.decoder(),
        );
        self.put_model(&mut json);
        json.push_str("}}");
        json.into_bytes()
    }

    fn normalizer(&self) -> String {
        match &self.model {
            Model::ByteLevel {
                cut: Cut::Qwen2, ..
            } => r#"{"type":"NFC"}"#.into(),
            Model::ByteLevel { .. } => "null".into(),
            Model::SentencePiece { space_first, .. } => {
                let spaces = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u{2581}\"}";
                match space_first {
                    true => format!(
                        "{{\"type\":\"Sequence\",\"normalizers\":[{{\"type\":\"Prepend\",\"prepend\":\"\u{2581}\"}},{spaces}]}}"
                    ),
                    false => spaces.into(),
                }
            }
            Model::WordPiece { .. } => r#"{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}"#.into(),
        }
    }

    fn pre_tokenizer(&self) -> String {
        let cut = match &self.model {
            Model::ByteLevel { cut, .. } => cut,
            Model::SentencePiece { .. } => return "null".into(),
            Model::WordPiece { .. } => return r#"{"type":"BertPreTokenizer"}"#.into(),
        };
        let split = |pattern: &str| {
            format!(
                r#"{{"type":"Split","pattern":{{"Regex":{}}},"behavior":"Isolated","invert":false}}"#,
                quoted(pattern)
            )
        };
        let steps = match cut {
            Cut::Gpt2 => return BYTE_LEVEL.into(),
            Cut::Digits => format!("{DIGITS},{BYTE_LEVEL}"),
            Cut::Llama3 => format!("{},{BYTES_ONLY}", split(LLAMA3)),
            Cut::Qwen2 | Cut::DeepSeekQwen => format!("{},{BYTES_ONLY}", split(QWEN2)),
            Cut::Default => {
                let splits = [PUNCTUATION, GPT2, r"\p{N}+", "[0-9][0-9][0-9]"].map(split);
                format!("{},{BYTES_ONLY}", splits.join(","))
            }
        };
        format!(r#"{{"type":"Sequence","pretokenizers":[{steps}]}}"#)
    }

    fn post_processor(&self) -> String {
        let (first, last) = self.around;
        if first.is_none() && last.is_none() {
            return "null".into();
        }
        let special = |id: &u32| {
            let text = quoted(&self.tokens[*id as usize]);
            format!(r#"{{"SpecialToken":{{"id":{text},"type_id":0}}}}"#)
        };
        let text = r#"{"Sequence":{"id":"A","type_id":0}}"#;
        let parts = first.iter().map(special).chain([text.to_owned()]);
        let parts: Vec<String> = parts.chain(last.iter().map(special)).collect();
        let mut named: Vec<u32> = first.into_iter().chain(last).collect();
        named.dedup();
        let named: Vec<String> = named
            .into_iter()
            .map(|id| {
                let text = quoted(&self.tokens[id as usize]);
                format!(r#"{text}:{{"id":{text},"ids":[{id}],"tokens":[{text}]}}"#)
            })
            .collect();
        format!(
            r#"{{"type":"TemplateProcessing","single":[{}],"pair":[{text},{{"Sequence":{{"id":"B","type_id":1}}}}],"special_tokens":{{{}}}}}"#,
            parts.join(","),
            named.join(",")
        )
    }

    fn decoder(&self) -> &'static str {
        match self.model {
            Model::ByteLevel { .. } => BYTE_LEVEL,
            Model::SentencePiece { .. } => {
                "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\u{2581}\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}"
            }
            Model::WordPiece { .. } => r###"{"type":"WordPiece","prefix":"##","cleanup":true}"###,
        }
    }

    fn put_model(&self, json: &mut String) {
        let text = |id: &u32| quoted(&self.tokens[*id as usize]);
        let (unknown, fallback, whole_first, merges) = match &self.model {
            Model::ByteLevel { cut, merges } => {
                ("null".to_owned(), false, *cut == Cut::Llama3, merges)
            }
            Model::SentencePiece {
                merges, unknown, ..
            } => {
                let unknown = unknown.as_ref().map_or("null".to_owned(), text);
                (unknown, true, false, merges)
            }
            Model::WordPiece { unknown } => {
                let _ = write!(
                    json,
                    r###""type":"WordPiece","unk_token":{},"continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{{"###,
                    text(unknown)
                );
                self.put_tokens(json);
                json.push('}');
                return;
            }
        };
        let _ = write!(
            json,
            r#""type":"BPE","dropout":null,"unk_token":{unknown},"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":{fallback},"byte_fallback":{fallback},"ignore_merges":{whole_first},"vocab":{{"#
        );
        self.put_tokens(json);
        json.push_str(r#"},"merges":["#);
        list(json, merges.iter(), |json, (left, right)| {
            let _ = write!(json, "[{},{}]", quoted(left), quoted(right));
        });
        json.push(']');
    }

    fn put_tokens(&self, json: &mut String) {
        list(json, self.tokens.iter().enumerate(), |json, (id, token)| {
            let _ = write!(json, "{}:{id}", quoted(token));
        });
    }
}

fn list<T>(json: &mut String, items: impl Iterator<Item = T>, mut put: impl FnMut(&mut String, T)) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            json.push(',');
        }
        put(json, item);
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("BUG: text is always valid JSON")
}
