//! The market's event log: saved by a controller, read by anybody whom he gives it to.
//!
//! The file is a CBOR sequence (RFC 8742), an entry of the log after the other. Each entry holds the hash of the one
//! before, so a file can be continued later, and a last entry that was cut off is seen.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, ErrorKind, Seek as _, Write as _},
    panic,
    path::Path,
};

use assay_jobs_core::{
    event::Entry,
    testing::{LogReader, LogState},
};
use assay_protocol::events::EventPage;
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

/// Saves what a file lacks of the running network's log. The file is touched only once all that comes behind its end has led to
/// where the whole network says that the log ends.
pub(super) async fn save(path: &Path, identity: Option<&Path>) -> Result<u8, Failure> {
    let running = Home::find().running_as_operator(identity).await?;
    let EventPage { length, head, .. } = running.jobs.agreed_events(u64::MAX).await?;
    let mut log = LogReader::default();
    let end = match path.exists() {
        true => read(path, &mut log)?,
        false => End::Whole,
    };
    let before = log.entries();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut new = tempfile::tempfile_in(folder).map_err(Failure::io(folder))?;
    let mut part = BufWriter::new(&mut new);
    while log.entries() < length {
        // A hint, of one node: what it tells must lead to the head that was agreed on.
        let page = running.jobs.events(log.entries()).await?;
        let missing = usize::try_from(length - log.entries()).unwrap_or(usize::MAX);
        if page.entries.is_empty() {
            return Err(Failure::Log(format!(
                "the network has {length} entries and shows {} of them",
                log.entries()
            )));
        }
        for bytes in page.entries.iter().take(missing) {
            let entry: Entry = ciborium::from_reader(bytes.as_slice()).map_err(|error| {
                Failure::Log(format!("entry {} of the network: {error}", log.entries()))
            })?;
            follow(&mut log, &entry)
                .map_err(|what| Failure::Log(format!("what the network shows: {what}")))?;
            part.write_all(&entry.to_bytes())
                .map_err(Failure::io(path))?;
        }
        talk(format_args!("{} of {length} entries", log.entries()));
    }
    part.flush().map_err(Failure::io(path))?;
    drop(part);
    if (log.entries(), log.head()) != (length, head) {
        return Err(Failure::Log(format!(
            "the network's log has {length} entries, the last with the hash {head}; behind {} comes {} with {}, so one of them is another market's; the file is as it was",
            path.display(),
            log.entries(),
            log.head()
        )));
    }
    append(path, &end, new).map_err(Failure::io(path))?;
    out(format_args!(
        "saved {} entries, {length} in all, to {}; the last has the hash {head}",
        length - before,
        path.display(),
    ));
    Ok(exit::OK)
}

/// Adds entries to a file, in place of one that was cut off.
fn append(path: &Path, end: &End, mut new: File) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if let End::Cut(good) = end {
        talk("the file ended in the middle of an entry, which was saved again");
        file.set_len(*good)?;
    }
    new.rewind()?;
    io::copy(&mut new, &mut file)?;
    file.sync_all()
}

/// Reads the next entry. What it objects to is told once, by the caller.
fn follow(log: &mut LogReader, entry: &Entry) -> Result<(), String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let read = log.read(entry);
    panic::set_hook(hook);
    read
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
        follow(log, &entry).map_err(|what| Failure::Log(format!("{}: {what}", path.display())))?;
    }
}

/// The sums that a log comes to, by name.
fn sums(state: &LogState) -> [(&'static str, u128); 10] {
    let stats = &state.stats;
    [
        ("deposited", stats.deposited.0),
        ("free", stats.free.0),
        ("held", stats.held.0),
        ("treasury", stats.treasury.0),
        ("reserved", stats.reserved.0),
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
