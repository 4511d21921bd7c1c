//! A run in company: one sequence of a batch whose other members come and go.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use super::{answer, tokens};
use crate::{
    forward::{
        Options,
        batch::{Batch, BatchError, PAGE_POSITIONS, SequenceId, Work},
    },
    model::Model,
};

/// Pages that a batch with a prefix cache keeps.
const SHARED_PAGES: usize = 64;
/// Tokens of a member that agree with ours where pages are shared: a page and a part of the next.
const ALIKE: usize = PAGE_POSITIONS + PAGE_POSITIONS / 2;
/// How many tokens ours gets in one run, in turn: first as in prefill, later as in decode and in a check.
const PREFILL: usize = 40;
const LATER: [usize; 4] = [1, 9, 1, 6];

/// A member that is not ours.
struct Other {
    id: SequenceId,
    tokens: Vec<u32>,
    at: usize,
}

/// Runs tokens as one of `sequences`; gives what [`super::Variant::run`] gives.
pub(super) fn run(
    model: &Model,
    ours: &[u32],
    options: &Options,
    sequences: usize,
    shared: bool,
) -> Result<String, String> {
    let text = |error: BatchError| error.to_string();
    let pages = if shared { SHARED_PAGES } else { 0 };
    let mut batch = Batch::new(model, options, pages).map_err(text)?;
    let expected = match shared {
        false => 0,
        true => {
            let before = &ours[..ours.len() * 2 / 3];
            let (id, _) = batch.open(before.len(), before).map_err(text)?;
            run_one(&mut batch, id, before).map_err(text)?;
            batch.close(id).map_err(text)?;
            before.len() / PAGE_POSITIONS * PAGE_POSITIONS
        }
    };
    let (id, known) = batch.open(ours.len(), ours).map_err(text)?;
    if known != expected {
        return Err(format!("{known} tokens were known before, not {expected}"));
    }
    company(
        &mut batch,
        model,
        id,
        &ours[known..],
        sequences - 1,
        ours,
        shared,
    )
    .map_err(text)?;
    let root = batch.trace(id).map_err(text)?.root(ours.len());
    Ok(answer(&root, batch.logits(id).map_err(text)?))
}

/// Feeds what is left of ours, and `others` at the same time.
fn company(
    batch: &mut Batch<'_>,
    model: &Model,
    id: SequenceId,
    mut left: &[u32],
    others: usize,
    ours: &[u32],
    shared: bool,
) -> Result<(), BatchError> {
    let mut opened = 0;
    let mut open = |batch: &mut Batch<'_>| {
        // Some end within a page, some go on for the whole run.
        let len = 30 + opened * 45 % 300;
        opened += 1;
        let mut tokens = tokens(len + opened, model.shape.vocab).split_off(opened);
        if shared {
            let alike = ALIKE.min(len);
            tokens[..alike].copy_from_slice(&ours[..alike]);
        }
        let (id, at) = batch.open(len, &tokens)?;
        Ok::<_, BatchError>(Other { id, tokens, at })
    };
    let mut others = (0..others)
        .map(|_| open(batch))
        .collect::<Result<Vec<_>, _>>()?;
    let mut round = 0;
    while !left.is_empty() {
        let most = match left.len() > ours.len() * 2 / 3 {
            true => PREFILL,
            false => LATER[round % LATER.len()],
        };
        round += 1;
        let (now, later) = left.split_at(most.min(left.len()));
        left = later;
        let of_others = others.iter().map(|other| Work {
            sequence: other.id,
            tokens: &other.tokens[other.at..other.at + 1],
        });
        let mut work: Vec<_> = of_others.collect();
        work.push(Work {
            sequence: id,
            tokens: now,
        });
        batch.run(&work)?;
        for other in &mut others {
            other.at += 1;
            if other.at == other.tokens.len() {
                batch.close(other.id)?;
                *other = open(batch)?;
            }
        }
    }
    Ok(())
}

fn run_one(batch: &mut Batch<'_>, id: SequenceId, tokens: &[u32]) -> Result<(), BatchError> {
    batch.run(&[Work {
        sequence: id,
        tokens,
    }])
}
