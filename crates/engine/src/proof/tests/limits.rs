//! Every limit, at it and just past it.

use super::*;
use crate::model::manifest::{Bend, EncoderKind, Pooling};

#[test]
fn proofs_are_written_and_read_up_to_their_longest() {
    let proof = |bytes: usize| Proof {
        place: Place {
            position: 1,
            operator: Operator::new(2, Step::Down),
            tile: 3,
        },
        positions: 4,
        manifest: "{}".into(),
        opened: vec![7; bytes],
        hashes: vec![[9; 32]; 2],
    };
    let room = PROOF_BYTES_MAX - proof(0).bytes();
    let longest = proof(room);
    let bytes = longest.encode().unwrap();
    assert_eq!(bytes.len(), PROOF_BYTES_MAX);
    assert_eq!(Proof::decode(&bytes), Ok(longest));
    let found = PROOF_BYTES_MAX + 1;
    assert_eq!(proof(room + 1).encode(), Err(ProofError::Length { found }));
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Proof::decode(&longer), Err(ProofError::Length { found }));
}

#[test]
fn manifests_in_proofs_are_read_up_to_their_longest() {
    let mut proof = Proof {
        place: Place {
            position: 0,
            operator: Operator::new(0, Step::Embed),
            tile: 0,
        },
        positions: 1,
        manifest: "m".repeat(MANIFEST_BYTES_MAX),
        opened: vec![],
        hashes: vec![],
    };
    assert_eq!(Proof::decode(&proof.encode().unwrap()).as_ref(), Ok(&proof));
    proof.manifest.push('m');
    assert_eq!(
        Proof::decode(&proof.encode().unwrap()),
        Err(ProofError::End("manifest"))
    );
}

#[test]
fn lengths_beyond_the_bytes_are_refused_before_anything_is_allocated() {
    let (_, bytes) = fuzzing::seeds().remove(0);
    for (at, what) in [(36, "manifest"), (bytes.len(), "place")] {
        let mut bytes = bytes.clone();
        match what {
            "manifest" => bytes[at..at + 4].copy_from_slice(&0xffffu32.to_le_bytes()),
            _ => bytes.truncate(30),
        }
        assert_eq!(Proof::decode(&bytes), Err(ProofError::End(what)));
    }
    let manifest = u32::from_le_bytes(bytes[36..40].try_into().unwrap()) as usize;
    let mut opened = bytes.clone();
    opened[40 + manifest..44 + manifest].copy_from_slice(&u32::MAX.to_le_bytes());
    let refused = Proof::decode(&opened);
    assert_eq!(refused, Err(ProofError::End("opened bytes")));
    let count = Proof::decode(&bytes).unwrap().hashes.len();
    let at = bytes.len() - 32 * count - 4;
    let mut hashes = bytes.clone();
    hashes[at..at + 4].copy_from_slice(&(count as u32 + 1).to_le_bytes());
    assert_eq!(Proof::decode(&hashes), Err(ProofError::End("hashes")));
    assert_eq!(Proof::decode(&bytes[1..]), Err(ProofError::Version));
    let mut step = bytes.clone();
    step[28..32].copy_from_slice(&23u32.to_le_bytes());
    assert_eq!(Proof::decode(&step), Err(ProofError::Step(23)));
}

#[test]
fn attention_is_proved_up_to_its_farthest_reach() {
    let far = ATTENTION_POSITIONS_MAX as u32;
    let shape = Shape {
        layers: 1,
        dim: 4,
        heads: 2,
        kv_heads: 1,
        head_dim: 2,
        ff: 3,
        vocab: 9,
        context_max: ATTENTION_POSITIONS_MAX + 2,
        norm_eps_bits: 0x3727_c5ac,
    };
    let (model, manifest) = described(Model::random(shape, Rope::Interleaved, true, 4));
    let tokens: Vec<u32> = (0..far + 2).map(|i| i % 9).collect();
    let record = Record::run(&model, &tokens, &Options::default()).unwrap();
    let prover = Prover::new(&model, &manifest).unwrap();
    let mut own = Own::new(&prover, &record);
    let place = |position| Place {
        position,
        operator: Operator::new(0, Step::Attend),
        tile: 1,
    };
    let made = own.level2(far).unwrap().clone();
    let proof = prover.prove(&record, &made, &mut own, place(far)).unwrap();
    let anchors = anchors(&model, &mut own, far, None);
    assert_eq!(check(&proof, &anchors), Ok(Verdict::Consistent));
    let too_far = Err(ProofError::TooFar {
        place: place(far + 1),
        found: far as usize + 1,
    });
    assert_eq!(
        prover.prove(&record, &made, &mut own, place(far + 1)),
        too_far
    );
    let farther = Proof {
        place: place(far + 1),
        ..proof
    };
    assert_eq!(
        check(&farther, &anchors),
        too_far.map(|_: Proof| Verdict::Consistent)
    );
}

#[test]
fn what_is_not_there_is_named() {
    let (model, manifest) = described(Model::tiny(1));
    let tokens = [5, 20, 7];
    let record = Record::run(&model, &tokens, &Options::default()).unwrap();
    let prover = Prover::new(&model, &manifest).unwrap();
    let mut own = Own::new(&prover, &record);
    let made = own.level2(1).unwrap().clone();
    let mut refusal = |position, layer, step, tile| {
        let place = Place {
            position,
            operator: Operator::new(layer, step),
            tile,
        };
        match prover.prove(&record, &made, &mut own, place) {
            Ok(_) => "proved".into(),
            Err(error) => std::format!("{error}"),
        }
    };
    assert_eq!(refusal(1, 1, Step::Gate, 3), "proved");
    assert_eq!(
        refusal(1, 1, Step::Gate, 4),
        "the trace has no position 1 layer 1 gate tile 4"
    );
    assert_eq!(
        refusal(1, 2, Step::Gate, 0),
        "the trace has no position 1 layer 2 gate tile 0"
    );
    assert_eq!(
        refusal(1, 1, Step::Embed, 0),
        "the trace has no position 1 embed tile 0"
    );
    assert_eq!(
        refusal(1, 0, Step::AttnPostNorm, 0),
        "the trace has no position 1 layer 0 attn_post_norm tile 0"
    );
    assert_eq!(
        refusal(3, 0, Step::Embed, 0),
        "the trace has no position 3 embed tile 0"
    );
    assert_eq!(
        refusal(2, 0, Step::Embed, 0),
        "position 2 is not in the record, or level 2 is of another; run it first"
    );
    assert_eq!(
        prover.level2(&record, 3).unwrap_err(),
        ProofError::Unrecorded { position: 3 }
    );
}

/// A trace that leaves some of its hashes out.
struct Short<'a>(Own<'a>, &'static str);

impl Party for Short<'_> {
    fn token_roots(&mut self) -> Vec<Hash> {
        self.0.token_roots()
    }

    fn leaves(&mut self, position: u32) -> Vec<Hash> {
        let hashes = self.0.leaves(position);
        self.shorten(hashes, "leaves")
    }

    fn operators(&mut self, position: u32) -> Vec<Hash> {
        let hashes = self.0.operators(position);
        self.shorten(hashes, "operators")
    }

    fn tiles(&mut self, position: u32, operator: Operator) -> Vec<Hash> {
        let hashes = self.0.tiles(position, operator);
        self.shorten(hashes, "tiles")
    }
}

impl Short<'_> {
    fn shorten(&self, mut hashes: Vec<Hash>, what: &str) -> Vec<Hash> {
        if what == self.1 {
            hashes.pop();
        }
        hashes
    }
}

#[test]
fn traces_that_leave_hashes_out_are_refused() {
    let (model, manifest) = described(Model::tiny(1));
    let record = Record::run(&model, &[5, 20, 7], &Options::default()).unwrap();
    let prover = Prover::new(&model, &manifest).unwrap();
    let made = prover.level2(&record, 1).unwrap();
    let place = Place {
        position: 1,
        operator: Operator::new(1, Step::Gate),
        tile: 0,
    };
    for (what, expected) in [("leaves", 3), ("operators", 35), ("tiles", 4)] {
        let mut short = Short(Own::new(&prover, &record), what);
        assert_eq!(
            prover.prove(&record, &made, &mut short, place),
            Err(ProofError::Posted {
                what,
                found: expected - 1,
                expected
            })
        );
    }
}

#[test]
fn a_manifest_of_another_model_is_refused() {
    let (model, manifest) = described(Model::tiny(1));
    let mut other = manifest.clone();
    other.name = "other".into();
    assert_eq!(Prover::new(&model, &other).unwrap_err(), ProveError::Root);
    let mut other = manifest.clone();
    other.shape.ff += 1;
    assert_eq!(
        Prover::new(&model, &other).unwrap_err(),
        ProveError::Tensor("layers.0.gate".into())
    );
    let mut other = manifest;
    other.tied_head = false;
    assert_eq!(
        Prover::new(&model, &other).unwrap_err(),
        ProveError::Tensor("count".into())
    );
}

#[test]
fn operators_of_encoders_are_refused() {
    let (model, manifest) = described(Model::tiny(1));
    let mut shape = manifest.shape.clone();
    shape.kv_heads = shape.heads;
    let encoder = Manifest {
        shape,
        rope: Rope::HalfSplit,
        encoder: Some(EncoderKind {
            activation: Bend::Gelu,
            pooling: Pooling::NormalisedMean,
        }),
        end_tokens: vec![],
        ..manifest
    };
    assert_eq!(encoder.check(), Ok(()));
    assert_eq!(
        Prover::new(&model, &encoder).unwrap_err(),
        ProveError::Facts(ProofError::Encoder)
    );
    let anchors = Anchors {
        model_root: [0; 32],
        trace_root: [0; 32],
        level2_root: [0; 32],
        draws: None,
    };
    for (_, bytes) in fuzzing::seeds() {
        let mut proof = Proof::decode(&bytes).unwrap();
        proof.manifest = encoder.to_text();
        assert_eq!(check(&proof, &anchors), Err(ProofError::Encoder));
    }
}
