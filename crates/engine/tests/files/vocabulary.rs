//! Vocabularies of every kind, and the tokens that text becomes with them.

use std::sync::Arc;

use assay_engine::{
    import::convert_bytes,
    model::{Bytes, Model, Package},
    tokenizer::{ChatMessage, Role, Tokenizer, TokenizerError},
};
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, Tokenizer as Library,
};

use super::builder::{Builder, SMALL, checkpoint, checkpoint_of, vocabulary};

fn model(builder: &Builder) -> Model {
    let (file, _) = convert_bytes(&builder.build(), |_| ()).expect("valid checkpoint");
    Model::from_bytes(file).expect("converted file")
}

fn tokenizer(builder: &Builder) -> Tokenizer {
    Tokenizer::from_model(&model(builder)).expect("valid tokenizer")
}

fn refused(builder: &Builder, message: &str) {
    let error = convert_bytes(&builder.build(), |_| ()).expect_err("refused");
    assert_eq!(error.to_string(), format!("vocabulary: {message}"));
}

/// How a pre-tokenizer cuts a text.
fn cuts(name: &str, texts: &[&str]) -> Vec<Vec<String>> {
    let model = model(&checkpoint(SMALL).text("tokenizer.ggml.pre", name));
    let json = model
        .package
        .as_ref()
        .and_then(|package| package.tokenizer.as_ref());
    let library = Library::from_bytes(json.expect("a tokenizer").as_slice()).expect("readable");
    let pre_tokenizer = library.get_pre_tokenizer().expect("there is one");
    let cut = |text: &&str| {
        let mut pieces = PreTokenizedString::from(*text);
        pre_tokenizer.pre_tokenize(&mut pieces).expect("cut");
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits
            .into_iter()
            .map(|(_, (from, to), _)| text[from..to].to_owned())
            .collect()
    };
    texts.iter().map(cut).collect()
}

/// What the published patterns give, by another implementation of regular expressions.
#[test]
fn text_is_cut_as_published() {
    let texts = [
        "I'll pay $12345 for it!\n\n  ok",
        "WE'RE done  \n\tnow.  ",
        "don't   x²  é漢字 😀😀",
        "a\r\n\r\nb   \n  c",
        "1234567 1,000.5 ١٢٣٤",
        "foo_bar(baz)->qux <|im_end|>",
        "\u{a0}nbsp\u{3000}wide",
    ];
    let gpt2: [&[&str]; 7] = [
        &[
            "I", "'ll", " pay", " $", "12345", " for", " it", "!", "\n\n ", " ok",
        ],
        &["WE", "'", "RE", " done", "  \n", "\t", "now", ".", "  "],
        &["don", "'t", "  ", " x", "²", " ", " é漢字", " 😀😀"],
        &["a", "\r\n\r", "\n", "b", "   \n ", " c"],
        &["1234567", " 1", ",", "000", ".", "5", " ١٢٣٤"],
        &[
            "foo", "_", "bar", "(", "baz", ")->", "qux", " <|", "im", "_", "end", "|>",
        ],
        &["\u{a0}", "nbsp", "\u{3000}", "wide"],
    ];
    assert_eq!(cuts("gpt-2", &texts), gpt2);
    let llama: [&[&str]; 7] = [
        &[
            "I", "'ll", " pay", " $", "123", "45", " for", " it", "!\n\n", " ", " ok",
        ],
        &["WE", "'RE", " done", "  \n", "\tnow", ".", "  "],
        &["don", "'t", "  ", " x", "²", " ", " é漢字", " 😀😀"],
        &["a", "\r\n\r\n", "b", "   \n", " ", " c"],
        &[
            "123", "456", "7", " ", "1", ",", "000", ".", "5", " ", "١٢٣", "٤",
        ],
        &[
            "foo", "_bar", "(baz", ")->", "qux", " <|", "im", "_end", "|>",
        ],
        &["\u{a0}nbsp", "\u{3000}wide"],
    ];
    assert_eq!(cuts("llama-bpe", &texts), llama);
    let mut qwen = llama.map(<[&str]>::to_vec);
    qwen[0].splice(4..6, ["1", "2", "3", "4", "5"]);
    qwen[4] = vec![
        "1", "2", "3", "4", "5", "6", "7", " ", "1", ",", "0", "0", "0", ".", "5", " ", "١", "٢",
        "٣", "٤",
    ];
    assert_eq!(cuts("qwen2", &texts), qwen);
    assert_eq!(cuts("deepseek-r1-qwen", &texts), qwen);
    let mut smollm = gpt2.map(<[&str]>::to_vec);
    smollm[0].splice(4..5, ["1", "2", "3", "4", "5"]);
    smollm[4].clone_from(&qwen[4]);
    assert_eq!(cuts("smollm", &texts), smollm);
    let mut default = gpt2.map(<[&str]>::to_vec);
    default[0] = vec![
        "I", "'", "ll", " pay", " ", "$", "123", "45", " for", " it", "!", "\n\n ", " ok",
    ];
    default[2] = vec!["don", "'", "t", "  ", " x", "²", " ", " é漢字", " 😀😀"];
    default[4] = vec![
        "123", "456", "7", " ", "1", ",", "000", ".", "5", " ", "١٢٣٤",
    ];
    default[5] = vec![
        "foo", "_", "bar", "(", "baz", ")->", "qux", " ", "<|", "im", "_", "end", "|>",
    ];
    assert_eq!(cuts("default", &texts), default);
}

#[test]
fn characters_are_composed_for_qwen_only() {
    let decomposed = "e\u{301}";
    for (name, text) in [
        ("qwen2", "é"),
        ("deepseek-r1-qwen", decomposed),
        ("smollm", decomposed),
    ] {
        let tokenizer = tokenizer(&checkpoint(SMALL).text("tokenizer.ggml.pre", name));
        let ids = tokenizer.encode(decomposed).expect("encoded");
        assert_eq!(tokenizer.decode(&ids), text, "{name}");
    }
}

#[test]
fn whole_tokens_come_before_merges_for_llama_only() {
    // "rl" is a token that no merge makes.
    let mut tokens = vocabulary(0..=255);
    tokens.push("rl".into());
    let pieces = |name: &str| {
        let tokenizer = tokenizer(&checkpoint_of(SMALL, &tokens).text("tokenizer.ggml.pre", name));
        tokenizer.encode("rl").expect("encoded").len()
    };
    assert_eq!((pieces("llama-bpe"), pieces("qwen2")), (1, 2));
}

#[test]
fn a_begin_token_is_put_where_the_model_expects_it() {
    let begin = 1;
    let text = |builder: &Builder| tokenizer(builder).text_tokens("hello").expect("encoded");
    let hello = text(&checkpoint(SMALL));
    assert_eq!(hello.len(), 1);
    let with_begin = [vec![begin], hello.clone()].concat();
    let llama = checkpoint(SMALL).text("tokenizer.ggml.pre", "llama-bpe");
    assert_eq!(text(&llama), with_begin, "its habit");
    let add = |value| checkpoint(SMALL).bool("tokenizer.ggml.add_bos_token", value);
    assert_eq!(text(&add(true)), with_begin);
    assert_eq!(
        text(&llama.bool("tokenizer.ggml.add_bos_token", false)),
        hello
    );
    let end = checkpoint(SMALL).bool("tokenizer.ggml.add_eos_token", true);
    assert_eq!(text(&end), [hello.clone(), vec![2]].concat());

    // In a chat the template's own begin token counts.
    let prompt = |template: &str| {
        let tokenizer = tokenizer(&add(true).text("tokenizer.chat_template", template));
        let message = ChatMessage::new(Role::User, "hello");
        tokenizer.prompt_tokens(&[message]).expect("rendered")
    };
    assert_eq!(prompt("{{ messages[0].content }}"), with_begin);
    assert_eq!(
        prompt("{{ bos_token }}{{ messages[0].content }}"),
        with_begin
    );
}

/// The vocabulary that SentencePiece 0.2.3 trained, and what it makes of some texts.
const SENTENCE_PIECE: &str = include_str!("sentencepiece.txt");

fn sentence_piece() -> Builder {
    let pieces = SENTENCE_PIECE.lines().next().expect("the pieces");
    let special = ["<unk>", "<s>", "</s>"].map(String::from);
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let head: Vec<String> = special.into_iter().chain(bytes).collect();
    let learned: Vec<String> = pieces.split(' ').map(String::from).collect();
    let scores: Vec<f32> = head
        .iter()
        .map(|_| 0.0)
        .chain((0..learned.len()).map(|rank| -(rank as f32)))
        .collect();
    let mut types = vec![2, 3, 3];
    types.resize(head.len(), 6);
    types.resize(scores.len(), 1);
    let tokens = [head, learned].concat();
    checkpoint_of(SMALL, &tokens)
        .text("tokenizer.ggml.model", "llama")
        .without("tokenizer.ggml.pre")
        .without("tokenizer.ggml.merges")
        .f32s("tokenizer.ggml.scores", &scores)
        .i32s("tokenizer.ggml.token_type", &types)
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .u32("tokenizer.ggml.unknown_token_id", 0)
}

#[test]
fn sentencepiece_texts_become_its_own_tokens() {
    let tokenizer = tokenizer(&sentence_piece());
    let cases: Vec<(String, Vec<u32>)> = SENTENCE_PIECE
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).expect("a case"))
        .collect();
    assert!(cases.len() > 30);
    for (text, expected) in cases {
        let ids = tokenizer.encode(&text).expect("encoded");
        assert_eq!(ids, expected, "{text:?}");
        // A text begins as a word after a space does; nothing else is added or lost.
        assert_eq!(tokenizer.decode(&ids), format!(" {text}"));
        let whole = tokenizer.text_tokens(&text).expect("encoded");
        assert_eq!((whole[0], &whole[1..]), (1, &expected[..]));
    }
    assert_eq!(tokenizer.encode("").expect("encoded"), [0u32; 0]);
    let model = model(&sentence_piece());
    assert_eq!(model.end_tokens, [2]);
}

#[test]
fn sentencepiece_bytes_and_spaces_are_told_apart_from_text() {
    let tokenizer = tokenizer(&sentence_piece().bool("tokenizer.ggml.add_space_prefix", false));
    for text in ["<0x41>", "</s>", "<s> x", "漢\u{0}\u{10ffff}", " a  b "] {
        let ids = tokenizer.encode(text).expect("encoded");
        assert!(ids.iter().all(|id| !tokenizer.is_control(*id)), "{text:?}");
        assert_eq!(tokenizer.decode(&ids), text);
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|id| tokenizer.pieces().get(*id))
            .copied()
            .collect();
        assert_eq!(bytes, text.as_bytes(), "the pieces are the text");
    }
    assert_eq!(tokenizer.pieces().get(2), b"", "control tokens say nothing");
    assert_eq!(tokenizer.pieces().get(3 + 0x41), b"A");
}

#[test]
fn spoiled_sentencepiece_vocabularies_are_refused() {
    let scores: Vec<f32> = vec![0.0; 440];
    let with = |at: usize, score: f32| {
        let mut scores = scores.clone();
        scores[at] = score;
        sentence_piece().f32s("tokenizer.ggml.scores", &scores)
    };
    refused(&with(7, f32::NAN), "token 7 has a score that is no number");
    refused(
        &with(439, f32::INFINITY),
        "token 439 has a score that is no number",
    );
    refused(
        &sentence_piece().f32s("tokenizer.ggml.scores", &scores[1..]),
        "439 token scores for 440 tokens",
    );
    refused(
        &sentence_piece().i32s("tokenizer.ggml.scores", &[1]),
        "metadata key \"tokenizer.ggml.scores\" holds array, expected array of f32",
    );
    let mut types = vec![1; 440];
    types[300] = 6;
    refused(
        &sentence_piece().i32s("tokenizer.ggml.token_type", &types),
        "token 300 stands for a byte, but is not written like <0x0A>",
    );
    // Without bytes and without an unknown token not every text can be read.
    let mut types = vec![1; 440];
    types[..3].fill(3);
    let bare = sentence_piece()
        .i32s(
            "tokenizer.ggml.token_type",
            &[&types[..3], &[5; 256], &types[259..]].concat(),
        )
        .without("tokenizer.ggml.unknown_token_id");
    let ids = tokenizer(&bare)
        .encode("a")
        .expect("bytes are found by their text");
    assert_eq!(ids.len(), 1);
    // Merges that would take more memory than any vocabulary needs.
    let tokens: Vec<String> = (1..=1_000).map(|len| "a".repeat(len)).collect();
    let long = checkpoint_of(SMALL, &tokens)
        .text("tokenizer.ggml.model", "llama")
        .f32s("tokenizer.ggml.scores", &vec![0.0; 1_000])
        .i32s("tokenizer.ggml.token_type", &vec![1; 1_000]);
    refused(
        &long,
        "merges that follow from the scores take more than 50331648 bytes",
    );
}

fn word_piece(words: &[&str]) -> Builder {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let tokens: Vec<String> = special
        .iter()
        .chain(words)
        .map(|text| (*text).into())
        .collect();
    let types: Vec<i32> = (0..tokens.len())
        .map(|id| if id < 5 { 3 } else { 1 })
        .collect();
    checkpoint_of(SMALL, &tokens)
        .text("tokenizer.ggml.model", "bert")
        .without("tokenizer.ggml.pre")
        .without("tokenizer.ggml.merges")
        .i32s("tokenizer.ggml.token_type", &types)
        .u32("tokenizer.ggml.bos_token_id", 2)
        .u32("tokenizer.ggml.eos_token_id", 3)
}

#[test]
fn wordpiece_takes_the_longest_piece_first() {
    // As GGUF files write them: words begin with a space, continuations with nothing.
    let words = [
        "▁un", "▁aff", "▁un", "aff", "able", "▁runn", "ing", "▁hello", "▁,", "▁漢", "▁!",
    ];
    let words: Vec<&str> = words
        .into_iter()
        .enumerate()
        .filter(|(i, _)| *i != 2)
        .map(|(_, w)| w)
        .collect();
    let tokenizer = tokenizer(&word_piece(&words));
    let ids = |text: &str| tokenizer.encode(text).expect("encoded");
    // The example of the paper's own code: unaffable is un ##aff ##able.
    assert_eq!(ids("unaffable"), [5, 7, 8]);
    assert_eq!(ids("UNAFFABLE Running"), [5, 7, 8, 9, 10]);
    assert_eq!(ids("Héllo, 漢!"), [11, 12, 13, 14]);
    assert_eq!(
        ids("unwanted hello"),
        [1, 11],
        "a word that cannot be put together is unknown"
    );
    assert_eq!(
        ids("[MASK] hello"),
        [1, 1, 1, 11],
        "a control token in text is only characters"
    );
    assert_eq!(tokenizer.text_tokens("hello").expect("encoded"), [2, 11, 3]);
    assert_eq!(
        tokenizer.decode(&ids("unaffable hello")),
        " unaffable hello"
    );
    assert_eq!(ids(""), [0u32; 0]);
    assert_eq!(tokenizer.text_tokens("").expect("encoded"), [2, 3]);
}

#[test]
fn spoiled_wordpiece_vocabularies_are_refused() {
    let tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "▁a"].map(String::from).into();
    let without = checkpoint_of(SMALL, &tokens)
        .text("tokenizer.ggml.model", "bert")
        .i32s("tokenizer.ggml.token_type", &[3, 3, 3, 1])
        .u32("tokenizer.ggml.bos_token_id", 2);
    refused(
        &without,
        "token \"[SEP]\" is missing; this is no WordPiece vocabulary",
    );
    // Different in the file, the same once rewritten.
    refused(&word_piece(&["▁[SEP]"]), "tokens 3 and 5 are the same text");
}

#[test]
fn a_tokenizer_whose_decoder_is_not_known_is_refused() {
    let model = model(&checkpoint(SMALL));
    let package = model.package.as_ref().expect("a package");
    let json = package.tokenizer.as_ref().expect("a tokenizer").as_slice();
    let text = std::str::from_utf8(json).expect("text");
    let decoder = r#""decoder":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#;
    assert!(text.contains(decoder));
    let mut changed = Model::tiny(1);
    let json = text.replace(decoder, r#""decoder":null"#).into_bytes();
    changed.package = Some(Arc::new(Package {
        manifest: package.manifest.clone(),
        tokenizer: Some(Bytes::Owned(json)),
        template: None,
    }));
    assert!(matches!(
        Tokenizer::from_model(&changed).expect_err("refused"),
        TokenizerError::Format { .. }
    ));
}
