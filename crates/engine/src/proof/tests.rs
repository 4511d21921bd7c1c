use std::{collections::BTreeSet, string::String, vec, vec::Vec};

use proptest::prelude::*;

use super::{
    dispute::{Divergence, Party, first_divergence, level2_root},
    fuzzing::{self, described},
    *,
};
use crate::{
    f32z,
    forward::{Kernels, Options, Session},
    model::{Manifest, Model, Rope, Shape, manifest::MANIFEST_BYTES_MAX, tiny::Family},
    sampler::{Sampler, Sampling},
};

mod cheats;
mod limits;

/// A model of every kind, each with the root that follows from it, and one whose layer leaves have several chunks.
fn models() -> Vec<(&'static str, Model, Manifest)> {
    let wide = Shape {
        layers: 1,
        dim: 300,
        heads: 4,
        kv_heads: 2,
        head_dim: 80,
        ff: 70,
        vocab: 50,
        ..Model::tiny(1).shape
    };
    let wide = Model::random(wide, Rope::HalfSplit, false, 6);
    let plain = [
        ("interleaved", Model::tiny(1)),
        ("half-split", Model::tiny_half_split(2)),
        ("wide", wide),
    ];
    let families = Family::ALL.map(|family| (family.name(), Model::tiny_of(family, 3)));
    plain
        .into_iter()
        .chain(families)
        .map(|(name, model)| {
            let (model, manifest) = described(model);
            (name, model, manifest)
        })
        .collect()
}

fn anchors<'a>(
    model: &Model,
    party: &mut dyn Party,
    position: u32,
    draws: Option<Draws<'a>>,
) -> Anchors<'a> {
    let roots = party.token_roots();
    let leaves = party.leaves(position);
    Anchors {
        model_root: model.root(),
        trace_root: trace::root(roots.len() as u32, &trace::tree(&roots)),
        level2_root: level2_root(position, &leaves, &party.operators(position)).unwrap(),
        draws,
    }
}

/// Every tile at a position, level 1 included.
fn places(facts: &Facts, position: u32, draws: bool) -> Vec<Place> {
    let leaves = (0..facts.shape().layers as u32).map(|layer| Operator::new(layer, Step::Leaf));
    let draw = draws.then(|| Operator::new(0, Step::Draw));
    let operators = facts.operators().into_iter().chain(leaves).chain(draw);
    operators
        .flat_map(|operator| {
            let tiles = match operator.step.is_level_1() {
                true => 1,
                false => facts.tiles(operator.step),
            };
            (0..tiles).map(move |tile| Place {
                position,
                operator,
                tile,
            })
        })
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn level_2_ends_where_level_1_and_the_logits_are() {
    for (name, model, manifest) in models() {
        let tokens = fuzzing::tokens(&model, &fuzzing::sampler(), &[5, 20, 7], 27);
        let prover = Prover::new(&model, &manifest).unwrap();
        for kernels in [Kernels::Reference, Kernels::Auto] {
            let options = Options {
                threads: 2,
                prefill_chunk: 7,
                kernels,
            };
            let record = Record::run(&model, &tokens, &options).unwrap();
            let mut session = Session::new(&model, tokens.len(), &options).unwrap();
            for position in 0..tokens.len() as u32 {
                let logits = bits(session.decode(tokens[position as usize]).unwrap());
                if ![0, 3, 22, 29].contains(&position) {
                    continue;
                }
                let made = prover.level2(&record, position).unwrap();
                for layer in 0..model.shape.layers as u32 {
                    let leaf = prover.leaf_bytes(&record, &made, layer).unwrap();
                    assert_eq!(
                        *blake3::hash(&leaf).as_bytes(),
                        record.leaves(position)[1 + layer as usize],
                        "{name}, position {position}, layer {layer}"
                    );
                }
                let last = made.outputs().last().unwrap();
                let found: Vec<u32> = last
                    .tiles
                    .iter()
                    .flat_map(|tile| match tile {
                        Value::Vector(values) => bits(values),
                        other => panic!("logits are {other:?}"),
                    })
                    .collect();
                assert_eq!(found, logits, "{name}, position {position}");
            }
            let trace = session.trace();
            assert_eq!(record.trace().token_roots(), trace.token_roots(), "{name}");
        }
    }
}

#[test]
fn operators_stand_where_their_index_says_and_tiles_cover_their_output() {
    for (name, _, manifest) in models() {
        let facts = Facts::read(&manifest.to_text()).unwrap();
        let operators = facts.operators();
        assert_eq!(operators.len() as u64, facts.operator_count(), "{name}");
        for (index, operator) in operators.iter().enumerate() {
            assert_eq!(facts.index(*operator), index as u64, "{name} {operator}");
            for input in facts.inputs(*operator, 0) {
                assert!(
                    facts.index(input.operator) < index as u64,
                    "{name} {operator}"
                );
            }
        }
        let logits: usize = (0..facts.tiles(Step::Logits))
            .map(|tile| facts.form(Step::Logits, tile).bytes())
            .sum();
        assert_eq!(logits, 4 * facts.shape().vocab);
    }
    for (code, step) in Step::ALL.into_iter().enumerate() {
        assert_eq!(step.code() as usize, code);
        assert_eq!(Step::from_code(code as u32), Some(step));
    }
    assert_eq!(Step::from_code(23), None);
}

#[test]
fn every_tile_of_an_honest_run_is_consistent() {
    for (name, model, manifest) in models() {
        let input = [5, 20, 7];
        let sampler = fuzzing::sampler();
        let mut tokens = fuzzing::tokens(&model, &sampler, &input, 25);
        let last = tokens.pop().unwrap();
        let record = Record::run(&model, &tokens, &Options::default()).unwrap();
        let prover = Prover::new(&model, &manifest).unwrap();
        let draws = Draws {
            input: 3,
            draw: &|logits, position| sampler.draw(logits, position),
            last: Last::Token(last),
        };
        // The second position is of the input, the last but two sees a full window, nothing follows the last.
        for position in [1, 24, 26] {
            let made = prover.level2(&record, position).unwrap();
            let mut own = Own::new(&prover, &record);
            let anchors = anchors(&model, &mut own, position, Some(draws));
            for place in places(prover.facts(), position, position > 1) {
                let proof = prover.prove(&record, &made, &mut own, place).unwrap();
                let bytes = proof.encode().unwrap();
                assert_eq!(Proof::decode(&bytes).as_ref(), Ok(&proof));
                let verdict = check(&proof, &anchors);
                assert_eq!(verdict, Ok(Verdict::Consistent), "{name} {place}");
            }
        }
    }
}

#[test]
fn draws_are_judged_by_the_rule_of_the_job() {
    let (model, manifest) = described(Model::tiny(1));
    let greedy = Sampler::new(Sampling::GREEDY).unwrap();
    let mut tokens = fuzzing::tokens(&model, &greedy, &[5, 20], 5);
    let last = tokens.pop().unwrap();
    let record = Record::run(&model, &tokens, &Options::default()).unwrap();
    let prover = Prover::new(&model, &manifest).unwrap();
    let judge = |position: u32, sampler: Option<&Sampler>, last: Last| {
        let mut own = Own::new(&prover, &record);
        let made = prover.level2(&record, position).unwrap();
        let place = Place {
            position,
            operator: Operator::new(0, Step::Draw),
            tile: 0,
        };
        let proof = prover.prove(&record, &made, &mut own, place).unwrap();
        let draw = |logits: &[f32], position: u64| match sampler {
            Some(sampler) => sampler.draw(logits, position),
            None => 0, // the model's end token
        };
        let draws = Draws {
            input: 2,
            draw: &draw,
            last,
        };
        check(&proof, &anchors(&model, &mut own, position, Some(draws)))
    };
    let greedily = Some(&greedy);
    assert_eq!(
        judge(0, greedily, Last::End),
        Err(ProofError::InputToken {
            position: 0,
            input: 2
        })
    );
    assert_eq!(judge(1, greedily, Last::End), Ok(Verdict::Consistent));
    let end = tokens.len() as u32 - 1;
    assert_eq!(
        judge(end, greedily, Last::Token(last)),
        Ok(Verdict::Consistent)
    );
    assert_eq!(
        judge(end, greedily, Last::Token(last + 1)),
        Ok(Verdict::Refuted {
            expected: trace::token_leaf(end + 1, last),
            claimed: trace::token_leaf(end + 1, last + 1),
        })
    );
    assert_eq!(
        judge(end, greedily, Last::End),
        Ok(Verdict::NotTheEnd { drawn: last })
    );
    assert_eq!(judge(end, None, Last::End), Ok(Verdict::Consistent));
    assert_eq!(
        judge(1, None, Last::End),
        Ok(Verdict::Refuted {
            expected: trace::token_leaf(2, 0),
            claimed: trace::token_leaf(2, tokens[2]),
        })
    );
}

#[test]
fn roots_and_proofs_have_known_bytes() {
    use std::fmt::Write as _;
    let mut found = String::new();
    for (name, model, manifest) in models() {
        let tokens = fuzzing::tokens(&model, &fuzzing::sampler(), &[5, 20, 7], 22);
        let record = Record::run(&model, &tokens, &Options::default()).unwrap();
        let prover = Prover::new(&model, &manifest).unwrap();
        let made = prover.level2(&record, 23).unwrap();
        let root = made.root(&record.trace().token_roots()[23]);
        let mut own = Own::new(&prover, &record);
        let mut all = blake3::Hasher::new();
        for place in places(prover.facts(), 23, true) {
            let proof = prover.prove(&record, &made, &mut own, place).unwrap();
            all.update(&proof.encode().unwrap());
        }
        let hex = |hash: &[u8]| {
            hash.iter()
                .map(|b| std::format!("{b:02x}"))
                .collect::<String>()
        };
        let all = hex(all.finalize().as_bytes());
        writeln!(found, "{name} level-2 root {}", hex(&root)).unwrap();
        writeln!(found, "{name} all proofs {all}").unwrap();
    }
    expect_test::expect![[r#"
        interleaved level-2 root 5db77e38d33fd28a21bc7e50aae459c2c2e1edd2094204a29531d51b12d074f8
        interleaved all proofs af9ffe4a55229d51c0b74f3cbdcde9939467ec7eefb1f93ec2dd8dcd78863f7b
        half-split level-2 root 973d1773e2eb2b5a72777ab21efb812cbd20c106ae126f165dbbc6841c1e27ef
        half-split all proofs ed06183ff10dd8e12148d01df2739f8ca1e55ba4e9e86d69d0b1c815263ecbed
        wide level-2 root ab17d1a5d23ae402fc87cfd0737e73764464527f6181e8000585df16b0a83fca
        wide all proofs ee3856abb8bdbfc72e42c889eea3f5c0d3575322e61466fb6fdd1c471e59fde0
        qwen2 level-2 root b9ad09c7db1ca3bfb71a3718af8782e5576d82b16bb2c6672d329bad4e63bb4e
        qwen2 all proofs 777b5b0504edd0a075c89426af674306f88385c84cdaf645777a40504fa5f2fc
        qwen3 level-2 root ea48f488fc3b065298c692e1073ddee31a088d499a32a09ce79b16d34eaa0600
        qwen3 all proofs 21815b20ad26b561f4a5c7486d8bfd2cc06f664bbfb1c04f342e116a2ea31c1f
        gemma3 level-2 root b924803a749e190fadeb2ed47605a2b9544af2a01e8f55b3c5a6119a46dc394f
        gemma3 all proofs f935bd58978ac874a6b55bb65c97498958216591e61b48ddef1833fc7faee5d5
    "#]]
    .assert_eq(&found);
}

#[test]
fn no_changed_byte_of_a_small_proof_leaves_a_verdict() {
    let (name, bytes) = fuzzing::seeds()
        .into_iter()
        .min_by_key(|(_, bytes)| bytes.len())
        .unwrap();
    assert!(fuzzing::proof(&bytes), "{name}");
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            assert!(
                !fuzzing::proof(&changed),
                "{name}, byte {at} by {change:#x}"
            );
        }
        assert!(!fuzzing::proof(&bytes[..at]), "{name}, {at} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(!fuzzing::proof(&longer));
}

/// One way to spoil bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(u8),
    Insert(u8),
    Remove,
    Number(u32),
    Swap(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<u8>().prop_map(Change::Set),
        any::<u8>().prop_map(Change::Insert),
        Just(Change::Remove),
        prop_oneof![any::<u32>(), 0u32..40, Just(u32::MAX)].prop_map(Change::Number),
        any::<usize>().prop_map(Change::Swap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_changed_proof_of_any_operator_leaves_a_verdict(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), change()), 1..4),
    ) {
        let seeds = fuzzing::seeds();
        let (name, bytes) = which.get(&seeds);
        let mut changed = bytes.clone();
        for (at, begin, change) in changes {
            // Half of the changes hit the numbers at the beginning.
            let at = at.index(if begin { 48 } else { changed.len() });
            match change {
                Change::Set(byte) => changed[at] = byte,
                Change::Insert(byte) => changed.insert(at, byte),
                Change::Remove => { changed.remove(at); }
                Change::Number(number) => {
                    let at = at.min(changed.len() - 4);
                    changed[at..at + 4].copy_from_slice(&number.to_le_bytes());
                }
                Change::Swap(other) => {
                    let other = other % changed.len();
                    changed.swap(at, other);
                }
            }
        }
        prop_assert_eq!(fuzzing::proof(&changed), changed == *bytes, "{}", name);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, tagged: bool) {
        let bytes = match tagged {
            true => [b"CIS-1/proof/0001", &bytes[..]].concat(),
            false => bytes,
        };
        prop_assert!(!fuzzing::proof(&bytes));
    }
}
