//! Where products of integers are made: on this machine's processor, or on Wormhole chips beside it. The answers are the same bytes.
//!
//! It refuses to know models. Whether chips are exact is tested before a model is placed on them: [`assay_engine::offload`].

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use assay_engine::offload::Offload;
use assay_tensix::{
    device::DeviceError,
    multiplier::Multiplier,
    noc::{Noc, NocError},
    split::Split,
    ttsim,
    wolfpine::Wolfpine,
};
use serde::{Deserialize, Serialize};

/// Most cards of one worker.
pub const CARDS_MAX: usize = 32;
/// Longest that one run of a chip's cores may take, seconds.
pub const DEADLINE_SECONDS_MAX: u64 = 3_600;
/// Most tiles of the simulator in Python.
pub const TILES_MAX: usize = 80;

/// `[backend.tensix]` as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TensixFile {
    /// Numbers of cards, as in `/dev/tenstorrent/0`; each matrix is split over all of them.
    pub cards: Vec<u32>,
    /// How long one run of a chip's cores may take.
    pub deadline_seconds: Option<u64>,
    // Simulators, for tests; absent from the example on purpose.
    /// The library of the maker's simulator.
    pub ttsim: Option<PathBuf>,
    /// A Python with the simulator wolfpine.
    pub wolfpine: Option<PathBuf>,
    /// Tiles of that one.
    pub tiles: Option<usize>,
}

/// Wormhole chips, and how long they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensix {
    /// Which.
    pub chips: Chips,
    /// How long one run of their cores may take.
    pub deadline: Duration,
}

/// Which chips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chips {
    /// Cards of this machine, by number.
    Cards(Vec<u32>),
    /// One that the maker's library simulates.
    Ttsim(PathBuf),
    /// One that a Python simulates, with so many tiles.
    Wolfpine(PathBuf, usize),
}

impl fmt::Display for Chips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cards(cards) => write!(f, "Wormhole, {} card(s) {cards:?}", cards.len()),
            Self::Ttsim(path) => write!(f, "Wormhole, simulated by {}", path.display()),
            Self::Wolfpine(path, tiles) => {
                write!(
                    f,
                    "Wormhole, {tiles} tile(s) simulated by {}",
                    path.display()
                )
            }
        }
    }
}

/// Why chips cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// There is no way to them.
    #[error(transparent)]
    Noc(#[from] NocError),
    /// They do not take programs.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A card on a system for which there is no driver.
    #[error("cards have a driver on Linux only; leave out [backend.tensix] on this machine")]
    NoDriver,
}

impl BackendError {
    /// Whether another program has a card.
    pub fn is_busy(&self) -> bool {
        let noc = match self {
            Self::Noc(error) | Self::Device(DeviceError::Noc(error)) => error,
            Self::Device(_) | Self::NoDriver => return false,
        };
        matches!(noc, NocError::Busy { .. })
    }
}

impl TensixFile {
    /// Checks it; an error names the key and what would be right.
    pub(crate) fn settings(self) -> Result<Tensix, (&'static str, String)> {
        let Self {
            cards,
            deadline_seconds,
            ttsim,
            wolfpine,
            tiles,
        } = self;
        let simulated = ttsim.is_some() || wolfpine.is_some();
        let chips = match (ttsim, wolfpine) {
            (None, None) if !cards.is_empty() => {
                if cards.len() > CARDS_MAX {
                    return Err((
                        "cards",
                        format!("{} cards, at most {CARDS_MAX}", cards.len()),
                    ));
                }
                let mut sorted = cards.clone();
                sorted.sort_unstable();
                if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                    return Err(("cards", format!("{} is named twice", twice[0])));
                }
                Chips::Cards(cards)
            }
            (Some(library), None) if cards.is_empty() => Chips::Ttsim(library),
            (None, Some(python)) if cards.is_empty() => Chips::Wolfpine(python, tiles.unwrap_or(1)),
            _ => {
                let problem = "wants numbers of cards, as in /dev/tenstorrent/0, and nothing else beside them";
                return Err(("cards", problem.to_owned()));
            }
        };
        match (&chips, tiles) {
            (_, None) | (Chips::Wolfpine(_, 1..=TILES_MAX), _) => {}
            (Chips::Wolfpine(_, tiles), _) => {
                return Err(("tiles", format!("{tiles} is not between 1 and {TILES_MAX}")));
            }
            _ => {
                let problem = "goes with wolfpine; other chips tell how many they have";
                return Err(("tiles", problem.to_owned()));
            }
        }
        let default = if simulated { 600 } else { 10 };
        let seconds = deadline_seconds.unwrap_or(default);
        if !(1..=DEADLINE_SECONDS_MAX).contains(&seconds) {
            let problem = format!("{seconds} is not between 1 and {DEADLINE_SECONDS_MAX}");
            return Err(("deadline_seconds", problem));
        }
        Ok(Tensix {
            chips,
            deadline: Duration::from_secs(seconds),
        })
    }
}

/// Opens chips for the models of this worker.
pub fn open(tensix: &Tensix) -> Result<Arc<Offload>, BackendError> {
    let Tensix { chips, deadline } = tensix;
    let chip = |noc: Box<dyn Noc>| Multiplier::open(noc, *deadline);
    Ok(match chips {
        Chips::Cards(cards) => {
            let chips = cards
                .iter()
                .map(|index| Ok(chip(card(*index)?)?))
                .collect::<Result<Vec<_>, BackendError>>()?;
            Offload::new(Box::new(Split::new(chips)))
        }
        Chips::Ttsim(library) => {
            Offload::new(Box::new(chip(Box::new(ttsim::open(library.as_os_str())?))?))
        }
        Chips::Wolfpine(python, tiles) => {
            let noc = Wolfpine::start(python.as_os_str(), *tiles)?;
            Offload::new(Box::new(chip(Box::new(noc))?))
        }
    })
}

#[cfg(target_os = "linux")]
fn card(index: u32) -> Result<Box<dyn Noc>, BackendError> {
    Ok(assay_tensix::kmd::open(index)?)
}

#[cfg(not(target_os = "linux"))]
fn card(_: u32) -> Result<Box<dyn Noc>, BackendError> {
    Err(BackendError::NoDriver)
}

/// Power that the cards in use draw now, as their sensors tell; none where one of them does not.
pub fn watts(tensix: &Tensix) -> Option<u32> {
    let Chips::Cards(used) = &tensix.chips else {
        return None;
    };
    #[cfg(target_os = "linux")]
    let microwatts = {
        let cards = assay_tensix::sysfs::cards(assay_tensix::sysfs::ROOT.as_ref());
        let power = |index: &u32| cards.iter().find(|card| card.index == *index)?.microwatts;
        used.iter().map(power).sum::<Option<u64>>()?
    };
    #[cfg(not(target_os = "linux"))]
    let microwatts = {
        let _ = used;
        0_u64
    };
    let watts = u32::try_from(microwatts / 1_000_000).ok()?;
    (watts > 0).then_some(watts)
}

/// The cards of this machine, whether they are used or not.
pub fn cards() -> Vec<String> {
    #[cfg(target_os = "linux")]
    let found = assay_tensix::sysfs::cards(assay_tensix::sysfs::ROOT.as_ref())
        .iter()
        .map(ToString::to_string)
        .collect();
    #[cfg(not(target_os = "linux"))]
    let found = Vec::new();
    found
}
