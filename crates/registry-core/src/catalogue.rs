//! The hardware catalogue: what is published of boards, and what workers measured on their machines.

use std::collections::BTreeMap;

use assay_protocol::{
    ModelId,
    limits::{SPEEDS_READ_MAX, SPEEDS_SHOWN_MAX},
    registry::{Board, BoardFacts, HardwareCatalogue, MeasuredSpeed, Speed, WorkerStatus},
    store::Table,
};

use crate::{Registry, store::Backend};

const GB: u64 = 1_000_000_000;
const GIB: u64 = 1 << 30;
/// Where Tenstorrent publishes what its Wormhole cards are.
const CARDS: &str = "https://docs.tenstorrent.com/aibs/wormhole/specifications.html";

/// What is published of Wormhole boards. No official page that names prices is known, so there are none.
fn boards() -> Vec<BoardFacts> {
    // A T3000 is four n300; of a Galaxy only the number of chips is published in what this was taken from.
    let facts = |board, name: &str, chips: u32, tiles, links: &str, watts, derived| BoardFacts {
        board,
        name: name.to_owned(),
        chips,
        tiles,
        memory_bytes: u64::from(chips) * 12 * GIB,
        bandwidth_bytes: u64::from(chips) * 288 * GB,
        links: links.to_owned(),
        watts,
        price: None,
        derived,
        source: CARDS.to_owned(),
    };
    let card = "PCI Express 4.0 x16, 2 Warp 100, 2 QSFP-DD of 400 Gb/s";
    vec![
        facts(
            Board::WormholeN150,
            "Tenstorrent Wormhole n150",
            1,
            Some(72),
            card,
            Some(160),
            false,
        ),
        facts(
            Board::WormholeN300,
            "Tenstorrent Wormhole n300",
            2,
            Some(128),
            card,
            Some(300),
            false,
        ),
        facts(
            Board::WormholeT3000,
            "Tenstorrent T3000, four n300",
            8,
            Some(512),
            "four cards of PCI Express 4.0 x16, linked to each other",
            Some(1_200),
            true,
        ),
        facts(
            Board::WormholeGalaxy,
            "Tenstorrent Galaxy, 32 Wormhole chips",
            32,
            None,
            "every chip on PCI Express, linked to each other",
            None,
            true,
        ),
    ]
}

/// Speeds of one kind of machine with one model.
#[derive(Debug, Default)]
struct Reports {
    workers: u32,
    reads: Vec<u64>,
    writes: Vec<u64>,
    watts: Vec<u32>,
}

impl<B: Backend> Registry<B> {
    /// What is known of hardware.
    pub fn hardware_catalogue(&self) -> HardwareCatalogue {
        let mut kinds: BTreeMap<(Board, u32, ModelId), Reports> = BTreeMap::new();
        let speeds = self.store().speeds.range(..).take(SPEEDS_READ_MAX);
        for ((operator, model), speed) in speeds {
            let Some(worker) = self.worker(&operator) else {
                continue;
            };
            if worker.status == WorkerStatus::Retired {
                continue;
            }
            let kind = (worker.hardware.board, worker.hardware.chips, model);
            if kinds.len() == SPEEDS_SHOWN_MAX && !kinds.contains_key(&kind) {
                continue;
            }
            let Speed {
                reads_milli,
                writes_milli,
                watts,
            } = speed;
            let reports = kinds.entry(kind).or_default();
            reports.workers += 1;
            reports.reads.extend(reads_milli);
            reports.writes.extend(writes_milli);
            reports.watts.extend(watts);
        }
        let measured = kinds
            .into_iter()
            .map(|((board, chips, model), reports)| MeasuredSpeed {
                board,
                chips,
                model,
                workers: reports.workers,
                reads_milli: median(reports.reads),
                writes_milli: median(reports.writes),
                watts: median(reports.watts),
            })
            .collect();
        HardwareCatalogue {
            boards: boards(),
            measured,
        }
    }
}

/// The middle one, of two the lower.
fn median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}
