//! Any bytes as a proof against an honest trace: what fuzzing and tests share.

use std::{
    format,
    string::{String, ToString},
    sync::OnceLock,
    vec,
    vec::Vec,
};

use super::{
    Anchors, Draws, Last, Operator, Own, Place, Proof, Prover, Record, Step, Verdict, check,
};
use crate::{
    forward::{Options, Session},
    model::{
        Manifest, Model,
        manifest::{CONVERTER, Planes, SPEC, WeightFormat},
    },
    sampler::{Sampler, Sampling},
    trace::Hash,
};

/// Gives a model without a file a manifest, and the root that follows.
pub fn described(mut model: Model) -> (Model, Manifest) {
    let manifest = Manifest {
        spec: SPEC.to_string(),
        architecture: "llama".to_string(),
        name: "made".to_string(),
        shape: model.shape.clone(),
        rope: model.rope,
        blocks: model.blocks.clone(),
        encoder: None,
        weights: WeightFormat::W8,
        planes: Planes::default(),
        tied_head: model.head.is_none(),
        end_tokens: model.end_tokens.clone(),
        bos_token: None,
        eos_token: None,
        tokenizer: None,
        chat_template: None,
        source: None,
        converter: CONVERTER,
    };
    let prover = Prover::unchecked(&model, &manifest);
    model.root = prover.expect("BUG: made from the model").model_root();
    (model, manifest)
}

/// The input, then tokens drawn after it; the last is drawn but not run.
pub fn tokens(model: &Model, sampler: &Sampler, input: &[u32], drawn: usize) -> Vec<u32> {
    let room = input.len() + drawn;
    let mut session = Session::new(model, room, &Options::default()).expect("BUG: it is small");
    let mut tokens = input.to_vec();
    let mut logits = session.prefill(input).expect("BUG: it has room").to_vec();
    for _ in 0..drawn {
        let token = sampler.draw(&logits, tokens.len() as u64);
        tokens.push(token);
        logits = session.decode(token).expect("BUG: it has room").to_vec();
    }
    tokens
}

/// How the tokens of these tests are drawn.
pub fn sampler() -> Sampler {
    let sampling = Sampling {
        temperature_milli: 900,
        top_p_ppm: 950_000,
        top_k: 40,
        seed: 11,
        ..Sampling::GREEDY
    };
    Sampler::new(sampling).expect("BUG: it is in range")
}

const INPUT: [u32; 3] = [5, 201, 78];
const POSITION: u32 = 4;

/// An honest run of the smallest model: its roots, and a proof of each operator.
struct Honest {
    model_root: Hash,
    trace_root: Hash,
    level2_root: Hash,
    last: u32,
    proofs: Vec<(String, Vec<u8>)>,
}

fn honest() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        let (model, manifest) = described(Model::tiny(1));
        let mut tokens = tokens(&model, &sampler(), &INPUT, 4);
        let last = tokens.pop().expect("BUG: some are drawn");
        let record = Record::run(&model, &tokens, &Options::default()).expect("BUG: it is small");
        let prover = Prover::new(&model, &manifest).expect("BUG: it is described");
        let made = prover.level2(&record, POSITION).expect("BUG: it is honest");
        let trace = record.trace();
        let level_1 = vec![Operator::new(1, Step::Leaf), Operator::new(0, Step::Draw)];
        let proofs = prover.facts().operators().into_iter().chain(level_1);
        let proof = |operator: Operator| {
            let place = Place {
                position: POSITION,
                operator,
                tile: 0,
            };
            let mut own = Own::new(&prover, &record);
            let proof = prover.prove(&record, &made, &mut own, place);
            let bytes = proof.and_then(|proof| proof.encode());
            let name = format!("{}-{}", operator.layer, operator.step.name());
            (name, bytes.expect("BUG: it is small"))
        };
        Honest {
            model_root: model.root(),
            trace_root: trace.root(trace.positions()),
            level2_root: made.root(&trace.token_roots()[POSITION as usize]),
            last,
            proofs: proofs.map(proof).collect(),
        }
    })
}

/// Proofs of an honest run, one of each operator.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    honest().proofs.clone()
}

/// Reads and checks any bytes. Says whether they are a proof; it cannot refute the honest run, and it has one encoding.
pub fn proof(bytes: &[u8]) -> bool {
    let honest = honest();
    let Ok(proof) = Proof::decode(bytes) else {
        return false;
    };
    assert_eq!(proof.encode().as_deref(), Ok(bytes));
    let sampler = sampler();
    let anchors = Anchors {
        model_root: honest.model_root,
        trace_root: honest.trace_root,
        level2_root: honest.level2_root,
        draws: Some(Draws {
            input: INPUT.len() as u32,
            draw: &|logits, position| sampler.draw(logits, position),
            last: Last::Token(honest.last),
        }),
    };
    let Ok(verdict) = check(&proof, &anchors) else {
        return false;
    };
    assert_eq!(verdict, Verdict::Consistent, "an honest run is refuted");
    true
}
