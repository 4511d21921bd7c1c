//! What may be registered: the shape of every text, number and list that comes from outside.

use std::{collections::BTreeSet, net::IpAddr};

use assay_protocol::{
    Hash32,
    limits::{
        BACKENDS_MAX, CHIPS_MAX, CONTEXT_TOKENS_MAX, FILE_URLS_MAX, MODEL_FILE_BYTES_MAX,
        MODEL_FILES_MAX, NAME_BYTES_MAX, ROYALTY_BPS_MAX, SLOTS_MAX, SPEED_MILLI_MAX,
        TEXT_BYTES_MAX, URL_BYTES_MAX,
    },
    registry::{
        Board, Hardware, ModelFile, ModelManifest, ProviderArgs, RegistryError, SPEC_CLASS_1,
        Speed, WorkerArgs,
    },
    store::Table,
};
use candid::Principal;

type Checked = Result<(), RegistryError>;

pub(crate) fn provider(args: &ProviderArgs, shards: &impl Table<Principal, ()>) -> Checked {
    let ProviderArgs {
        name,
        contact,
        payout,
    } = args;
    text("name", name, 1, NAME_BYTES_MAX)?;
    text("contact", contact, 0, TEXT_BYTES_MAX)?;
    let Some(payout) = payout else {
        return Ok(());
    };
    owner("payout", payout)?;
    if shards.contains(payout) {
        return invalid(
            "payout",
            "is a jobs canister, which owns no balance in itself",
        );
    }
    Ok(())
}

pub(crate) fn worker(args: &WorkerArgs) -> Checked {
    let WorkerArgs {
        operator,
        hardware,
        backends,
        region,
        slots,
    } = args;
    owner("operator", operator)?;
    self::hardware(hardware)?;
    count("backends", backends.len(), 1, BACKENDS_MAX)?;
    for (i, backend) in backends.iter().enumerate() {
        word(&format!("backends[{i}]"), backend)?;
    }
    distinct("backends", backends.iter())?;
    text("region", region, 0, TEXT_BYTES_MAX)?;
    number("slots", u64::from(*slots), 1, u64::from(SLOTS_MAX))
}

pub(crate) fn model(manifest: &ModelManifest) -> Checked {
    let ModelManifest {
        name,
        architecture,
        semantics,
        files,
        model_root,
        tokenizer_sha256: _,
        template_sha256: _,
        context_max,
        license,
        royalty_bps,
        verifiable,
    } = manifest;
    word("name", name)?;
    word("architecture", architecture)?;
    word("semantics", semantics)?;
    count("files", files.len(), 1, MODEL_FILES_MAX)?;
    for (i, file) in files.iter().enumerate() {
        self::file(&format!("files[{i}]"), file)?;
    }
    distinct("files", files.iter().map(|file| &file.name))?;
    if *verifiable && *model_root == Hash32::default() {
        return invalid(
            "model_root",
            "is zero; a verifiable model needs the root of its weights",
        );
    }
    if semantics == SPEC_CLASS_1 {
        if *verifiable {
            return invalid(
                "verifiable",
                "is true; nobody can run the answers of such servers again",
            );
        }
        if *model_root == Hash32::default() {
            return invalid("model_root", "is zero; it must name the deployment");
        }
    }
    number(
        "context_max",
        u64::from(*context_max),
        1,
        u64::from(CONTEXT_TOKENS_MAX),
    )?;
    text("license", license, 1, TEXT_BYTES_MAX)?;
    number(
        "royalty_bps",
        u64::from(*royalty_bps),
        0,
        u64::from(ROYALTY_BPS_MAX),
    )
}

pub(crate) fn shards(shards: &[Principal]) -> Checked {
    shards
        .iter()
        .enumerate()
        .try_for_each(|(i, shard)| owner(&format!("shards[{i}]"), shard))
}

pub(crate) fn speed(speed: &Speed) -> Checked {
    let Speed {
        reads_milli,
        writes_milli,
        watts: _,
    } = speed;
    if (reads_milli, writes_milli) == (&None, &None) {
        return invalid("speed", "names neither reads_milli nor writes_milli");
    }
    for (field, milli) in [
        ("speed.reads_milli", reads_milli),
        ("speed.writes_milli", writes_milli),
    ] {
        if let Some(milli) = milli {
            number(field, *milli, 1, SPEED_MILLI_MAX)?;
        }
    }
    Ok(())
}

fn hardware(hardware: &Hardware) -> Checked {
    let Hardware {
        board,
        chips,
        memory_bytes: _,
        driver,
        tokens_per_second_milli,
        watts: _,
    } = hardware;
    if let Some(milli) = tokens_per_second_milli {
        let field = "hardware.tokens_per_second_milli";
        number(field, *milli, 1, SPEED_MILLI_MAX)?;
    }
    if let Board::Gpu { vendor, name } = board {
        text("hardware.board.vendor", vendor, 1, NAME_BYTES_MAX)?;
        text("hardware.board.name", name, 1, NAME_BYTES_MAX)?;
    }
    number("hardware.chips", u64::from(*chips), 1, u64::from(CHIPS_MAX))?;
    text("hardware.driver", driver, 0, TEXT_BYTES_MAX)
}

fn file(field: &str, file: &ModelFile) -> Checked {
    let ModelFile {
        name,
        bytes,
        sha256: _,
        urls,
    } = file;
    let name_field = format!("{field}.name");
    text(&name_field, name, 1, NAME_BYTES_MAX)?;
    if name.contains(['/', '\\', ':']) || name == "." || name == ".." {
        return invalid(&name_field, "names a folder; give the file name alone");
    }
    number(&format!("{field}.bytes"), *bytes, 1, MODEL_FILE_BYTES_MAX)?;
    count(&format!("{field}.urls"), urls.len(), 0, FILE_URLS_MAX)?;
    urls.iter()
        .enumerate()
        .try_for_each(|(i, url)| self::url(&format!("{field}.urls[{i}]"), url))
}

/// Names that mean another machine to everybody (RFC 6761, RFC 6762, and ICANN's `internal`).
const LOCAL_ENDINGS: [&str; 3] = [".localhost", ".local", ".internal"];

/// An address that a worker may be sent to: HTTPS, of a named host, without a password in it.
fn url(field: &str, url: &str) -> Checked {
    if url.len() > URL_BYTES_MAX {
        return too_long(field, url.len(), URL_BYTES_MAX);
    }
    if !url
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    {
        return invalid(
            field,
            "has a space, a backslash or a character outside ASCII; encode it",
        );
    }
    let Some(rest) = url.strip_prefix("https://") else {
        return invalid(field, "does not begin with https://");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return invalid(field, "carries a user name; addresses are public");
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) => return invalid(field, "has no valid port"),
        None => authority,
    };
    // Numbers alone can be an address in some notation, and brackets hold one.
    let named = host.contains('.')
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
        && host
            .rsplit('.')
            .next()
            .is_some_and(|top| top.starts_with(|first: char| first.is_ascii_alphabetic()))
        && host.parse::<IpAddr>().is_err()
        && !LOCAL_ENDINGS.iter().any(|ending| host.ends_with(ending));
    if named {
        Ok(())
    } else {
        invalid(
            field,
            "names no public host; use a host name such as example.org",
        )
    }
}

/// A principal that can own something.
fn owner(field: &str, principal: &Principal) -> Checked {
    if *principal == Principal::anonymous() {
        return invalid(
            field,
            "is the anonymous principal, which belongs to everybody",
        );
    }
    if *principal == Principal::management_canister() {
        return invalid(field, "is the management canister, which owns nothing");
    }
    Ok(())
}

/// A name for machines: letters, digits and a few signs, so that no two look alike.
fn word(field: &str, word: &str) -> Checked {
    if word.len() > NAME_BYTES_MAX {
        return too_long(field, word.len(), NAME_BYTES_MAX);
    }
    if !word.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return invalid(field, "does not begin with a letter or a digit");
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+".contains(&byte);
    if word.bytes().all(fits) {
        Ok(())
    } else {
        invalid(field, "may hold only letters, digits and - _ . : / +")
    }
}

/// A text for people: nothing in it that is invisible or turns the writing direction.
fn text(field: &str, text: &str, min: usize, max: usize) -> Checked {
    if text.len() > max {
        return too_long(field, text.len(), max);
    }
    if text.len() < min {
        return invalid(field, "is empty");
    }
    if text.trim() != text {
        return invalid(field, "begins or ends with a space");
    }
    match text
        .chars()
        .find(|&sign| sign.is_control() || is_invisible(sign))
    {
        None => Ok(()),
        Some(sign) => invalid(
            field,
            &format!("holds the invisible character U+{:04X}", u32::from(sign)),
        ),
    }
}

/// Characters that are not seen, or that change how others are seen.
fn is_invisible(sign: char) -> bool {
    matches!(sign, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn count(field: &str, count: usize, min: usize, max: usize) -> Checked {
    if (min..=max).contains(&count) {
        Ok(())
    } else {
        invalid(
            field,
            &format!("has {count} entries, {min} to {max} are allowed"),
        )
    }
}

fn number(field: &str, value: u64, min: u64, max: u64) -> Checked {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        invalid(field, &format!("is {value}, {min} to {max} are allowed"))
    }
}

fn distinct<'a>(field: &str, mut names: impl Iterator<Item = &'a String>) -> Checked {
    let mut seen = BTreeSet::new();
    match names.find(|name| !seen.insert(name.to_ascii_lowercase())) {
        None => Ok(()),
        Some(twice) => invalid(field, &format!("names {twice} twice")),
    }
}

fn too_long(field: &str, bytes: usize, max: usize) -> Checked {
    invalid(
        field,
        &format!("has {bytes} bytes, at most {max} are allowed"),
    )
}

fn invalid(field: &str, problem: &str) -> Checked {
    Err(RegistryError::Invalid {
        field: field.to_owned(),
        problem: problem.to_owned(),
    })
}
