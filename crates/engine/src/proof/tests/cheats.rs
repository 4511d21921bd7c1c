//! Runs that are honest but for one byte of one output, told by hashes alone.

use super::*;

/// A run that changes one tile and goes on from it; it gives hashes only.
struct Cheat {
    record: Record,
    made: Vec<Level2>,
    tokens: Vec<u32>, // one more than was run
}

const INPUT: [u32; 2] = [5, 20];
const POSITIONS: u32 = 5;

impl Cheat {
    /// Cheats at a place; nowhere without one.
    fn run(prover: &Prover<'_>, model: &Model, at: Option<Place>) -> Self {
        let at = |position: u32, operator: Operator| {
            let same = |at: &Place| at.position == position && at.operator == operator;
            at.filter(same).map(|at| at.tile as usize)
        };
        let mut cheat = Self {
            record: Record::empty(model),
            made: Vec::new(),
            tokens: INPUT.to_vec(),
        };
        for position in 0..POSITIONS {
            let token = cheat.tokens[position as usize];
            let mut alter = |operator: Operator, tiles: &mut [Value]| {
                if let Some(tile) = at(position, operator) {
                    change(&mut tiles[tile]);
                }
            };
            let made = prover
                .derive(&cheat.record, position, token, &mut alter)
                .unwrap();
            let mut leaves = Vec::new();
            for layer in 0..model.shape.layers as u32 {
                let mut leaf = prover.leaf_bytes(&cheat.record, &made, layer).unwrap();
                if at(position, Operator::new(layer, Step::Leaf)).is_some() {
                    leaf[24] ^= 1; // of the residual stream
                }
                leaves.push(leaf);
            }
            cheat.record.push(token, leaves);
            if cheat.tokens.len() == position as usize + 1 {
                let mut token = draw(&made, position + 1);
                if at(position, Operator::new(0, Step::Draw)).is_some() {
                    token = (token + 1) % model.shape.vocab as u32;
                }
                cheat.tokens.push(token);
            }
            cheat.made.push(made);
        }
        cheat
    }

    fn last(&self) -> Last {
        Last::Token(self.tokens[POSITIONS as usize])
    }
}

impl Party for Cheat {
    fn token_roots(&mut self) -> Vec<Hash> {
        self.record.trace().token_roots().to_vec()
    }

    fn leaves(&mut self, position: u32) -> Vec<Hash> {
        self.record.leaves(position).to_vec()
    }

    fn operators(&mut self, position: u32) -> Vec<Hash> {
        self.made[position as usize].operators()
    }

    fn tiles(&mut self, position: u32, operator: Operator) -> Vec<Hash> {
        self.made[position as usize].tiles(operator)
    }
}

/// Changes one byte so that what is left is still a value that an operator could give.
fn change(value: &mut Value) {
    match value {
        Value::Vector(values) => {
            let value = values.iter_mut().find(|value| **value != 0.0).unwrap();
            *value = f32::from_bits((value.to_bits() & 0x00ff_ffff) | 0x4a00_0000); // millions
            assert_eq!(f32z::z(*value).to_bits(), value.to_bits());
        }
        Value::Planes(planes) => {
            let small = |high: &i8| high.abs() < 126;
            let at = planes.high.iter().position(small).unwrap();
            planes.high[at] ^= 1;
        }
        Value::Rows(rows) => {
            let value = rows.value.iter_mut().find(|value| **value != -127).unwrap();
            *value ^= 1;
        }
    }
}

fn draw(made: &Level2, position: u32) -> u32 {
    let logits: Vec<f32> = made
        .outputs()
        .last()
        .unwrap()
        .tiles
        .iter()
        .flat_map(|tile| match tile {
            Value::Vector(values) => values.clone(),
            other => panic!("logits are {other:?}"),
        })
        .collect();
    fuzzing::sampler().draw(&logits, u64::from(position))
}

/// One place of each operator at a position.
fn one_of_each(facts: &Facts, position: u32) -> Vec<Place> {
    let mut seen = BTreeSet::new();
    let mut places = places(facts, position, true);
    places.reverse(); // so that tiles are the last ones
    places.retain(|place| seen.insert(place.operator));
    places
}

fn sampled(logits: &[f32], position: u64) -> u32 {
    fuzzing::sampler().draw(logits, position)
}

#[test]
fn a_cheat_is_refuted_where_it_cheated_and_nowhere_else() {
    for (name, model, manifest) in models() {
        let prover = Prover::new(&model, &manifest).unwrap();
        let position = 3;
        for at in one_of_each(prover.facts(), position) {
            let mut cheat = Cheat::run(&prover, &model, Some(at));
            for position in [position, position + 1] {
                let draws = Draws {
                    input: 2,
                    draw: &sampled,
                    last: cheat.last(),
                };
                let anchors = anchors(&model, &mut cheat, position, Some(draws));
                let (record, made) = (cheat.record.clone(), cheat.made[position as usize].clone());
                // All tiles near the cheat; one of each operator elsewhere.
                let mut asked = one_of_each(prover.facts(), position);
                asked.push(at);
                if name == "gemma3" && at.operator.layer == 1 {
                    asked = places(prover.facts(), position, true);
                }
                for place in asked.into_iter().filter(|p| p.position == position) {
                    let proof = prover.prove(&record, &made, &mut cheat, place).unwrap();
                    let verdict = check(&proof, &anchors).unwrap();
                    let refuted = matches!(verdict, Verdict::Refuted { .. });
                    assert_eq!(refuted, place == at, "{name}: cheat at {at}, {place}");
                }
            }
        }
    }
}

#[test]
fn an_honest_party_finds_the_cheat_and_proves_it_from_hashes() {
    for (name, model, manifest) in models() {
        let prover = Prover::new(&model, &manifest).unwrap();
        let honest = Cheat::run(&prover, &model, None);
        for position in [2, 4] {
            for at in one_of_each(prover.facts(), position) {
                let mut cheat = Cheat::run(&prover, &model, Some(at));
                let mut own = Own::new(&prover, &honest.record);
                let found = first_divergence(prover.facts(), &mut own, &mut cheat);
                // What is drawn last is in no trace, so that transcripts alone can tell; and some changes draw the same token.
                let unseen = match at.operator.step {
                    Step::FinalNorm => honest.tokens == cheat.tokens || position + 1 == POSITIONS,
                    Step::Logits | Step::Draw => position + 1 == POSITIONS,
                    _ => false,
                };
                let expected = match unseen {
                    true => Divergence::None,
                    false => Divergence::Tile(at),
                };
                assert_eq!(
                    found, expected,
                    "{name} {at} {:?} {:?}",
                    honest.tokens, cheat.tokens
                );
                let draws = Draws {
                    input: 2,
                    draw: &sampled,
                    last: cheat.last(),
                };
                let anchors = anchors(&model, &mut cheat, position, Some(draws));
                let made = own.level2(position).unwrap().clone();
                let proof = prover.prove(&honest.record, &made, &mut cheat, at).unwrap();
                let verdict = check(&proof, &anchors).unwrap();
                let refuted = matches!(verdict, Verdict::Refuted { .. });
                assert!(refuted, "{name} {at}: {verdict:?}");
            }
        }
    }
}

#[test]
fn equal_runs_do_not_diverge_and_shorter_ones_do_in_the_draw() {
    let (model, manifest) = described(Model::tiny(1));
    let prover = Prover::new(&model, &manifest).unwrap();
    let record = |count| {
        let tokens = fuzzing::tokens(&model, &fuzzing::sampler(), &INPUT, 6);
        Record::run(&model, &tokens[..count], &Options::default()).unwrap()
    };
    let (long, short, other) = (
        record(7),
        record(5),
        Record::run(&model, &[6, 20], &Options::default()).unwrap(),
    );
    let diverge = |ours, theirs| {
        let (mut ours, mut theirs) = (Own::new(&prover, ours), Own::new(&prover, theirs));
        first_divergence(prover.facts(), &mut ours, &mut theirs)
    };
    let draw = Place {
        position: 4,
        operator: Operator::new(0, Step::Draw),
        tile: 0,
    };
    assert_eq!(diverge(&long, &long), Divergence::None);
    assert_eq!(diverge(&long, &short), Divergence::Tile(draw));
    assert_eq!(diverge(&short, &long), Divergence::Tile(draw));
    assert_eq!(diverge(&long, &other), Divergence::FirstToken);
}
