//! Which cards a machine has, and how they are: what the kernel driver shows in sysfs and hwmon, without opening any of them.
//!
//! Attributes: the driver's `docs/sysfs-attributes.md`; sensors in the units of Linux's hwmon. What is not there is absent, never guessed:
//! older firmware tells less.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Where Linux shows devices.
pub const ROOT: &str = "/sys";
/// Most cards that are looked at.
pub const CARDS_MAX: usize = 64;

/// One card, as its driver tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Its number, as in `/dev/tenstorrent/0`.
    pub index: u32,
    /// `n150`, `n300`, ...
    pub kind: Option<String>,
    /// Serial number of the board, hexadecimal; both chips of an n300 have one.
    pub serial: Option<String>,
    /// Version of its firmware bundle.
    pub firmware: Option<String>,
    /// Clock of its Tensix tiles now, MHz.
    pub clock_mhz: Option<u32>,
    /// A counter that moves while its firmware lives.
    pub heartbeat: Option<u32>,
    /// Temperature of the chip, thousandths of a degree Celsius.
    pub millidegrees: Option<i64>,
    /// The temperature at which it slows down.
    pub millidegrees_max: Option<i64>,
    /// Power that it draws, millionths of a watt.
    pub microwatts: Option<u64>,
    /// The most that it may draw.
    pub microwatts_max: Option<u64>,
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_deref().unwrap_or("of an unknown kind");
        write!(f, "card {} {kind}", self.index)?;
        if let Some(firmware) = &self.firmware {
            write!(f, ", firmware {firmware}")?;
        }
        if let Some(clock) = self.clock_mhz {
            write!(f, ", {clock} MHz")?;
        }
        if let Some(temperature) = self.millidegrees {
            write!(f, ", {:.1} °C", temperature as f64 / 1e3)?;
        }
        if let Some(power) = self.microwatts {
            write!(f, ", {:.1} W", power as f64 / 1e6)?;
        }
        Ok(())
    }
}

/// The cards below this root, by their numbers; none where there is no driver. At most [`CARDS_MAX`].
pub fn cards(root: &Path) -> Vec<Card> {
    let Ok(entries) = fs::read_dir(root.join("class/tenstorrent")) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let index = name.to_str()?.strip_prefix("tenstorrent!")?;
            Some((index.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found.truncate(CARDS_MAX);
    found
        .into_iter()
        .map(|(index, place)| card(index, &place))
        .collect()
}

fn card(index: u32, place: &Path) -> Card {
    let text = |name: &str| text(&place.join(name));
    let sensors = sensors(place);
    let sensor = |name: &str| text_of_sensor(sensors.as_deref(), name);
    Card {
        index,
        kind: text("tt_card_type"),
        serial: text("tt_serial"),
        firmware: text("tt_fw_bundle_ver"),
        clock_mhz: text("tt_aiclk").and_then(|text| text.parse().ok()),
        heartbeat: text("tt_heartbeat").and_then(|text| text.parse().ok()),
        millidegrees: sensor("temp1_input").and_then(|text| text.parse().ok()),
        millidegrees_max: sensor("temp1_max").and_then(|text| text.parse().ok()),
        microwatts: sensor("power1_input").and_then(|text| text.parse().ok()),
        microwatts_max: sensor("power1_max").and_then(|text| text.parse().ok()),
    }
}

/// The folder of the card's sensors.
fn sensors(place: &Path) -> Option<PathBuf> {
    let folder = fs::read_dir(place.join("device/hwmon")).ok()?;
    let mut found: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found.into_iter().next()
}

fn text_of_sensor(sensors: Option<&Path>, name: &str) -> Option<String> {
    text(&sensors?.join(name))
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree as the driver makes it.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn cards_tell_what_their_driver_shows() {
        let one = "class/tenstorrent/tenstorrent!1";
        let root = tree(&[
            (&format!("{one}/tt_card_type"), "n300\n"),
            (&format!("{one}/tt_serial"), "100014511708052\n"),
            (&format!("{one}/tt_fw_bundle_ver"), "80.15.0.0\n"),
            (&format!("{one}/tt_aiclk"), "1000\n"),
            (&format!("{one}/tt_heartbeat"), "4242\n"),
            (&format!("{one}/device/hwmon/hwmon3/temp1_input"), "41500\n"),
            (&format!("{one}/device/hwmon/hwmon3/temp1_max"), "75000\n"),
            (
                &format!("{one}/device/hwmon/hwmon3/power1_input"),
                "32000000\n",
            ),
            (
                &format!("{one}/device/hwmon/hwmon3/power1_max"),
                "85000000\n",
            ),
            ("class/tenstorrent/tenstorrent!0/tt_card_type", "n150\n"),
            ("class/tenstorrent/other/tt_card_type", "no card\n"),
        ]);
        let told = cards(root.path());
        assert_eq!(
            told,
            [
                Card {
                    kind: Some("n150".to_owned()),
                    ..Card::default()
                },
                Card {
                    index: 1,
                    kind: Some("n300".to_owned()),
                    serial: Some("100014511708052".to_owned()),
                    firmware: Some("80.15.0.0".to_owned()),
                    clock_mhz: Some(1_000),
                    heartbeat: Some(4_242),
                    millidegrees: Some(41_500),
                    millidegrees_max: Some(75_000),
                    microwatts: Some(32_000_000),
                    microwatts_max: Some(85_000_000),
                }
            ]
        );
        assert_eq!(
            told[1].to_string(),
            "card 1 n300, firmware 80.15.0.0, 1000 MHz, 41.5 °C, 32.0 W"
        );
        assert_eq!(told[0].to_string(), "card 0 n150");
    }

    #[test]
    fn a_machine_without_a_driver_has_no_cards() {
        assert_eq!(cards(tree(&[]).path()), []);
    }

    #[test]
    fn attributes_that_are_no_numbers_are_absent() {
        let place = "class/tenstorrent/tenstorrent!2";
        let root = tree(&[
            (&format!("{place}/tt_aiclk"), "fast\n"),
            (&format!("{place}/tt_serial"), "\n"),
        ]);
        let expected = Card {
            index: 2,
            ..Card::default()
        };
        assert_eq!(cards(root.path()), [expected]);
    }

    #[test]
    fn more_cards_than_the_limit_are_left_out() {
        let names: Vec<String> = (0..=CARDS_MAX)
            .map(|index| format!("class/tenstorrent/tenstorrent!{index}/tt_serial"))
            .collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (&name[..], "1")).collect();
        let all = cards(tree(&files).path());
        assert_eq!(all.len(), CARDS_MAX);
        assert_eq!(
            all.last().map(|card| card.index),
            Some(CARDS_MAX as u32 - 1)
        );
        let fits = cards(tree(&files[..CARDS_MAX]).path());
        assert_eq!(fits.len(), CARDS_MAX);
    }
}
