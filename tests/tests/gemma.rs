//! Gemma 3 on a real checkpoint: other norms, other activation, windows of attention, SentencePiece.
//!
//! Needs `ASSAY_GEMMA`, Gemma 3 270M in Q4_K_M as published; `cargo xtask test` sets it.

use std::{env, fs, ops::ControlFlow, path::PathBuf, sync::OnceLock};

use assay_engine::{
    forward::{Kernels, Options},
    import::{
        self,
        float::{FloatModel, Surprise, surprise},
    },
    model::Model,
    run::{self, Checked, Request, Transcript},
    sampler::Sampling,
    tokenizer::Tokenizer,
};

const TEXT: &str = "The Danube is the second-longest river in Europe, after the Volga in Russia. It flows through Central and \
    Southeastern Europe, from the Black Forest south into the Black Sea.";
/// How much worse than in plain floating point a text may be predicted.
const RATIO_MAX: f64 = 1.01;

fn source() -> PathBuf {
    env::var_os("ASSAY_GEMMA")
        .map(PathBuf::from)
        .expect("ASSAY_GEMMA names the checkpoint; run `cargo xtask test`")
}

/// The converted model, made once.
fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().expect("temporary folder").keep();
        let target = folder.join("gemma.assay");
        let root = import::convert(source(), &target, |_| ()).expect("the checkpoint converts");
        let model = Model::open(&target).expect("the converted model opens");
        assert_eq!(model.root(), root);
        fs::remove_dir_all(&folder).expect("a mapped file may be unlinked");
        model
    })
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_model(model()).expect("the model carries its tokenizer")
}

fn generate(input: &[u32], max_tokens: u32, options: &Options) -> Transcript {
    let request = Request {
        input,
        max_tokens,
        sampling: Sampling::GREEDY,
        ..Request::default()
    };
    run::generate(model(), &request, options, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .expect("the request is within limits")
}

#[test]
fn it_goes_on_in_english_and_in_the_recorded_bytes() {
    let tokenizer = tokenizer();
    let input = tokenizer
        .text_tokens("The capital of France is")
        .expect("the text is short");
    assert_eq!(input.first(), Some(&2), "a text begins with <bos>");
    let transcript = generate(&input, 24, &Options::default());
    let text = tokenizer.answer_text(&transcript.output);
    assert!(text.contains(" capital of "), "{text:?}");
    let record = format!(
        "root {}\ntrace {}\n{text}\n",
        hex::encode(model().root()),
        hex::encode(transcript.trace_root)
    );
    expect_test::expect_file!["gemma.txt"].assert_eq(&record);
}

#[test]
fn past_its_window_of_attention_threads_chunks_and_kernels_give_one_root() {
    let text = TEXT.repeat(17);
    let input = tokenizer().text_tokens(&text).expect("the text is short");
    // Local layers see 512 positions.
    assert!(input.len() > 560, "{} tokens", input.len());
    let expected = generate(&input, 4, &Options::default());
    let options = Options {
        threads: 2,
        prefill_chunk: 48,
        kernels: Kernels::Auto,
    };
    let request = Request {
        input: &input,
        max_tokens: 4,
        sampling: Sampling::GREEDY,
        ..Request::default()
    };
    let (output, finish) = (&expected.output, expected.finish);
    let checked = run::check(model(), &request, output, finish, &options);
    assert_eq!(checked, Ok(Checked::Match(expected)));
}

#[test]
fn a_text_is_predicted_as_well_as_in_plain_floating_point() {
    let window = tokenizer().text_tokens(TEXT).expect("the text is short");
    let bytes = fs::read(source()).expect("the checkpoint is readable");
    let float = FloatModel::from_gguf(&bytes, 2).expect("the checkpoint is read");
    let plain = float.surprise(&window);
    let ours: Surprise = surprise(model(), &window, &Options::default()).expect("it is short");
    let ratio = ours.perplexity() / plain.perplexity();
    assert!(
        plain.perplexity() < 60.0 && ratio < RATIO_MAX,
        "{} to {}",
        ours.perplexity(),
        plain.perplexity()
    );
}

#[test]
fn text_comes_back_from_its_tokens() {
    let tokenizer = tokenizer();
    for text in [
        TEXT,
        "  two  spaces\n\n\ttab",
        "Grüße, 世界! 🙂 e\u{301}",
        "12345 67.8",
        "",
    ] {
        let ids = tokenizer.encode(text).expect("the text is short");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}
