//! The market's event log: saved by a controller, read by anybody whom he gives it to.
//!
//! The file is a CBOR sequence (RFC 8742), an entry of the log after the other. Each entry holds the hash of the one
//! before, so a file can be continued later, and a last entry that was cut off is seen.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, BufWriter, ErrorKind, Seek as _, Write as _},
    path::Path,
};

use assay_jobs_core::{
    event::Entry,
    testing::{LogReader, LogState},
};
use serde_json::json;

use crate::{
    Failure, exit,
    home::Home,
    show::{out, talk},
};

/// How a saved log ends.
enum End {
    Whole,
    /// In the middle of an entry, after so many good bytes.
    Cut(u64),
}

/// Saves what a file lacks of the running network's log.
pub(super) async fn save(path: &Path, identity: Option<&Path>) -> Result<u8, Failure> {
    let running = Home::find().running_as_operator(identity).await?;
    let mut log = LogReader::default();
    if path.exists()
        && let End::Cut(good) = read(path, &mut log)?
    {
        talk("the file ends in the middle of an entry, which is saved again");
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.set_len(good))
            .map_err(Failure::io(path))?;
    }
    let before = log.entries();
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = BufWriter::new(file.map_err(Failure::io(path))?);
    loop {
        let page = running.jobs.events(log.entries()).await?;
        if page.entries.is_empty() {
            break;
        }
        for bytes in &page.entries {
            let entry: Entry = ciborium::from_reader(bytes.as_slice()).map_err(|error| {
                Failure::Log(format!("entry {} of the network: {error}", log.entries()))
            })?;
            log.read(&entry).map_err(Failure::Log)?;
            file.write_all(&entry.to_bytes())
                .map_err(Failure::io(path))?;
        }
        talk(format_args!(
            "{} of {} entries",
            log.entries(),
            page.length.max(log.entries())
        ));
    }
    file.flush().map_err(Failure::io(path))?;
    // One node answered so far. What it told must lead to where the whole network is, or be a part of it.
    let agreed = running.jobs.agreed_events(log.entries()).await?;
    let next = agreed.entries.first();
    let follows = match next {
        None => (agreed.length, agreed.head) == (log.entries(), log.head()),
        Some(bytes) => ciborium::from_reader::<Entry, _>(bytes.as_slice())
            .is_ok_and(|entry| (entry.index, entry.previous) == (log.entries(), log.head())),
    };
    if !follows {
        return Err(Failure::Log(format!(
            "the network's log has {} entries and does not lead on from entry {} of the file, whose hash is {}",
            agreed.length,
            log.entries(),
            log.head()
        )));
    }
    out(format_args!(
        "saved {} entries, {} in all, to {}; the last has the hash {}",
        log.entries() - before,
        log.entries(),
        path.display(),
        log.head()
    ));
    Ok(exit::OK)
}

/// Reads a saved log and tells what it comes to.
pub(super) fn verify(path: &Path, json: bool) -> Result<u8, Failure> {
    let mut log = LogReader::default();
    if let End::Cut(good) = read(path, &mut log)? {
        return Err(Failure::Log(format!(
            "{}: ends in the middle of entry {}, after {good} good bytes; save it again, which goes on there",
            path.display(),
            log.entries()
        )));
    }
    let state = log.end().map_err(Failure::Log)?;
    if json {
        out(format_args!("{:#}", state_json(&state)));
    } else {
        show(&state);
    }
    Ok(exit::OK)
}

/// Reads entries up to the end of a file.
fn read(path: &Path, log: &mut LogReader) -> Result<End, Failure> {
    let mut file = BufReader::new(File::open(path).map_err(Failure::io(path))?);
    loop {
        let good = file.stream_position().map_err(Failure::io(path))?;
        if file.fill_buf().map_err(Failure::io(path))?.is_empty() {
            return Ok(End::Whole);
        }
        let entry: Entry = match ciborium::from_reader(&mut file) {
            Ok(entry) => entry,
            Err(ciborium::de::Error::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                return Ok(End::Cut(good));
            }
            Err(error) => {
                return Err(Failure::Log(format!(
                    "{}: entry {}: {error}",
                    path.display(),
                    log.entries()
                )));
            }
        };
        log.read(&entry)
            .map_err(|what| Failure::Log(format!("{}: {what}", path.display())))?;
    }
}

/// The sums that a log comes to, by name.
fn sums(state: &LogState) -> [(&'static str, u128); 9] {
    let stats = &state.stats;
    [
        ("deposited", stats.deposited.0),
        ("free", stats.free.0),
        ("held", stats.held.0),
        ("treasury", stats.treasury.0),
        ("sponsor", stats.sponsor.0),
        ("staked", stats.staked.0),
        ("withdrawing", stats.withdrawing.0),
        ("withdrawn", stats.withdrawn.0),
        ("on_ledger", stats.on_ledger.0),
    ]
}

/// How many jobs ended or stand how, by name.
fn jobs(state: &LogState) -> [(&'static str, u64); 10] {
    let stats = &state.stats;
    [
        ("queued", stats.queued),
        ("running", stats.running),
        ("revealing", stats.revealing),
        ("extended", stats.extended),
        ("unverified", stats.unverified),
        ("verified", stats.verified),
        ("inconclusive", stats.inconclusive),
        ("cancelled", stats.cancelled),
        ("expired", stats.expired),
        ("failed", stats.failed),
    ]
}

fn show(state: &LogState) {
    let some: Vec<String> = jobs(state)
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    out(format_args!(
        "entries     {}, each follows from those before",
        state.entries
    ));
    out(format_args!("last        {} {}", state.at, state.head));
    out(format_args!("jobs        {}", some.join(", ")));
    for (name, cycles) in sums(state) {
        out(format_args!("{name:<11} {cycles} cycles"));
    }
    out(format_args!("state       {}", state.state));
}

fn state_json(state: &LogState) -> serde_json::Value {
    let jobs: serde_json::Map<_, _> = jobs(state)
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.into()))
        .collect();
    let cycles: serde_json::Map<_, _> = sums(state)
        .into_iter()
        .map(|(name, cycles)| (name.to_owned(), cycles.to_string().into()))
        .collect();
    json!({
        "entries": state.entries,
        "head": state.head.to_string(),
        "at": state.at.0,
        "jobs": jobs,
        "cycles": cycles,
        "state": state.state.to_string(),
    })
}
