//! The sentence encoder on the real model, against an independent forward pass in f64.
//!
//! Needs `ASSAY_ENCODER`, the folder of all-MiniLM-L6-v2 as published; `cargo xtask test` sets it.

use std::{env, fs, path::PathBuf, sync::OnceLock};

use assay_engine::{
    encoder::{self, Embedding, SentenceTokenizer, TextError},
    forward::{Kernels, Options},
    import,
    model::{Encoder, Model, ModelError},
};

const SENTENCES: [&str; 6] = [
    "A man is playing a guitar on the street.",
    "Someone performs music with a stringed instrument outdoors.",
    "The central bank raised interest rates by half a percentage point.",
    "Monetary policy became tighter when borrowing costs went up.",
    "How do I bake bread without yeast?",
    "Die Katze schläft auf dem Sofa; 猫 are sleeping, too!",
];

fn source() -> PathBuf {
    env::var_os("ASSAY_ENCODER")
        .map(PathBuf::from)
        .expect("ASSAY_ENCODER names the checkpoint's folder; run `cargo xtask test`")
}

/// The converted model, made once.
fn encoder() -> &'static Encoder {
    static ENCODER: OnceLock<Encoder> = OnceLock::new();
    ENCODER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("temporary folder").keep();
        let target = folder.join("encoder.assay");
        let root = import::convert(source(), &target, |_| ()).expect("the checkpoint converts");
        let encoder = Encoder::open(&target).expect("the converted encoder opens");
        assert_eq!(encoder.root(), root);
        fs::remove_dir_all(&folder).expect("a mapped file may be unlinked");
        encoder
    })
}

fn tokenizer() -> SentenceTokenizer {
    SentenceTokenizer::from_encoder(encoder()).expect("the model carries its tokenizer")
}

fn embed(text: &str) -> Embedding {
    let tokens = tokenizer().encode(text).expect("the text fits");
    encoder::embed(encoder(), &tokens, &Options::default()).expect("the tokens fit")
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

#[test]
fn vectors_agree_with_a_plain_forward_pass_over_the_published_weights() {
    let file = fs::read(source().join("model.safetensors")).expect("the weights are there");
    let naive = Naive::new(&file);
    for text in SENTENCES {
        let tokens = tokenizer().encode(text).expect("the text fits");
        let found = wide(&embed(text).vector);
        let agreement = cosine(&found, &naive.embed(&tokens));
        assert!(agreement > 0.999, "{agreement} for {text:?}");
    }
}

#[test]
fn sentences_of_one_meaning_are_nearer_than_others() {
    let vectors: Vec<Vec<f64>> = SENTENCES
        .iter()
        .map(|text| wide(&embed(text).vector))
        .collect();
    let alike = [(0, 1), (2, 3)];
    for (a, b) in alike {
        let near = cosine(&vectors[a], &vectors[b]);
        for other in (0..SENTENCES.len()).filter(|other| *other != a && *other != b) {
            let far = cosine(&vectors[a], &vectors[other]);
            assert!(
                near > far + 0.2,
                "{:?} is as near to {:?} as to {:?}",
                SENTENCES[a],
                SENTENCES[other],
                SENTENCES[b]
            );
        }
    }
}

#[test]
fn the_tokens_of_a_text_are_those_of_the_vocabulary() {
    // [CLS] a man is playing a guitar . [SEP]
    assert_eq!(
        tokenizer()
            .encode("A man is playing a guitar.")
            .expect("it fits"),
        [101, 1037, 2158, 2003, 2652, 1037, 2858, 1012, 102]
    );
    // Markers in a text are text.
    let marked = tokenizer().encode("[SEP] [CLS]").expect("it fits");
    assert_eq!((marked[0], marked[marked.len() - 1]), (101, 102));
    assert!(marked[1..marked.len() - 1].iter().all(|id| *id > 103));
}

#[test]
fn a_text_is_read_whole_or_refused() {
    let max = encoder().shape.context_max;
    assert_eq!(max, 256);
    let longest = "word ".repeat(max - 2);
    let tokens = tokenizer().encode(&longest).expect("it fits exactly");
    assert_eq!(tokens.len(), max);
    let one_thread = encoder::embed(encoder(), &tokens, &Options::default()).expect("it fits");
    let threads = Options {
        threads: 2,
        prefill_chunk: 37,
        kernels: Kernels::Auto,
    };
    assert_eq!(
        encoder::embed(encoder(), &tokens, &threads).expect("it fits"),
        one_thread
    );
    assert_eq!(
        tokenizer().encode(&"word ".repeat(max - 1)),
        Err(TextError::Tokens {
            found: max + 1,
            max
        })
    );
}

#[test]
fn every_kernel_gives_the_reference_bits_on_the_real_model() {
    let tokens = tokenizer().encode(SENTENCES[0]).expect("it fits");
    let with = |kernels| {
        let options = Options {
            threads: 2,
            prefill_chunk: 5,
            kernels,
        };
        encoder::embed(encoder(), &tokens, &options).expect("it fits")
    };
    let expected = with(Kernels::Reference);
    for kernels in Kernels::available() {
        assert_eq!(with(kernels), expected, "{kernels:?}");
    }
}

#[test]
fn a_decoder_is_no_encoder_and_the_reverse() {
    let bytes = encoder().to_bytes().expect("it came from a file");
    assert!(matches!(
        Model::from_bytes(bytes),
        Err(ModelError::IsEncoder { .. })
    ));
    let decoder = env::var_os("ASSAY_MODEL").expect("ASSAY_MODEL names the converted model");
    assert!(matches!(
        Encoder::open(decoder),
        Err(ModelError::IsDecoder { .. })
    ));
}

#[test]
fn the_root_of_the_converted_encoder_is_the_recorded_one() {
    let hex: String = encoder()
        .root()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, ROOT);
}

/// The root of all-MiniLM-L6-v2 by version 2 of the converter.
const ROOT: &str = "a0f5232a60b541afa7ae491c68a689b1ffe2a291ba4df05873dfcf026d6dc382";

/// BERT as its paper has it, in f64, over the published weights.
struct Naive<'a> {
    tensors: safetensors::SafeTensors<'a>,
}

const DIM: usize = 384;
const HEADS: usize = 12;

impl<'a> Naive<'a> {
    fn new(file: &'a [u8]) -> Self {
        let tensors = safetensors::SafeTensors::deserialize(file).expect("safetensors");
        Self { tensors }
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let tensor = self.tensors.tensor(name).expect("the tensor is there");
        tensor
            .data()
            .chunks_exact(4)
            .map(|word| f64::from(f32::from_le_bytes(word.try_into().expect("four bytes"))))
            .collect()
    }

    /// Rows of `x` times a matrix, plus its bias.
    fn linear(&self, name: &str, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (weight, bias) = (
            self.values(&format!("{name}.weight")),
            self.values(&format!("{name}.bias")),
        );
        let of = |x: &Vec<f64>| {
            weight
                .chunks_exact(x.len())
                .zip(&bias)
                .map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias)
                .collect()
        };
        x.iter().map(of).collect()
    }

    fn norm(&self, name: &str, x: &mut [Vec<f64>]) {
        let (gain, bias) = (
            self.values(&format!("{name}.weight")),
            self.values(&format!("{name}.bias")),
        );
        for x in x {
            let n = x.len() as f64;
            let mean = x.iter().sum::<f64>() / n;
            let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            for ((x, gain), bias) in x.iter_mut().zip(&gain).zip(&bias) {
                *x = (*x - mean) / (variance + 1e-12).sqrt() * gain + bias;
            }
        }
    }

    fn embed(&self, tokens: &[u32]) -> Vec<f64> {
        let words = self.values("embeddings.word_embeddings.weight");
        let positions = self.values("embeddings.position_embeddings.weight");
        let types = self.values("embeddings.token_type_embeddings.weight");
        let mut x: Vec<Vec<f64>> = tokens
            .iter()
            .enumerate()
            .map(|(position, token)| {
                let row = *token as usize * DIM;
                (0..DIM)
                    .map(|i| words[row + i] + positions[position * DIM + i] + types[i])
                    .collect()
            })
            .collect();
        self.norm("embeddings.LayerNorm", &mut x);
        for layer in 0..6 {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            let [q, k, v] = ["query", "key", "value"]
                .map(|part| self.linear(&name(&format!("attention.self.{part}")), &x));
            let attended = attention(&q, &k, &v);
            let given = self.linear(&name("attention.output.dense"), &attended);
            add(&mut x, &given);
            self.norm(&name("attention.output.LayerNorm"), &mut x);
            let mut up = self.linear(&name("intermediate.dense"), &x);
            up.iter_mut().flatten().for_each(|x| *x *= normal(*x));
            let given = self.linear(&name("output.dense"), &up);
            add(&mut x, &given);
            self.norm(&name("output.LayerNorm"), &mut x);
        }
        (0..DIM).map(|i| x.iter().map(|x| x[i]).sum()).collect()
    }
}

fn add(x: &mut [Vec<f64>], given: &[Vec<f64>]) {
    for (x, given) in x.iter_mut().flatten().zip(given.iter().flatten()) {
        *x += given;
    }
}

/// Softmax of scaled products, head by head.
fn attention(q: &[Vec<f64>], k: &[Vec<f64>], v: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = DIM / HEADS;
    let of = |q: &Vec<f64>| {
        let head = |head: usize| {
            let part = head * width..(head + 1) * width;
            let weights: Vec<f64> = k
                .iter()
                .map(|k| {
                    let product = q[part.clone()].iter().zip(&k[part.clone()]);
                    let score: f64 = product.map(|(q, k)| q * k).sum();
                    (score / (width as f64).sqrt()).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            part.map(move |i| weights.iter().zip(v).map(|(w, v)| w * v[i]).sum::<f64>() / total)
                .collect::<Vec<_>>()
        };
        (0..HEADS).flat_map(head).collect()
    };
    q.iter().map(of).collect()
}

/// The normal distribution, by its series where that converges and as 0 or 1 beyond.
fn normal(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x < 0.0 { 0.0 } else { 1.0 };
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..300 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}
