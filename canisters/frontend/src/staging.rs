//! Files in pieces: those that are served, and those that are to come.
//!
//! Each generation of files has a number; the one that is served is named, and the next one is staged. Publishing names the next one.

use std::{collections::BTreeMap, ops::RangeBounds};

use assay_protocol::{
    frontend::{
        FILE_BYTES_MAX, FILES_MAX, FrontendError, PATH_BYTES_MAX, PIECE_BYTES_MAX, PieceArgs,
        Published, SITE_BYTES_MAX,
    },
    store::Table,
};
use serde_bytes::ByteBuf;

/// Generation, path, number of the piece.
pub(crate) type PieceKey = (u64, String, u32);
/// Some bytes of a file.
pub(crate) type Piece = ByteBuf;
/// Generation and path.
pub(crate) type ExtentKey = (u64, String);
/// Bytes and pieces of a file.
pub(crate) type Extent = (u64, u32);
/// Whole files by their paths.
pub(crate) type Whole = BTreeMap<String, Vec<u8>>;

/// Where tables lie.
pub(crate) trait Medium {
    type Pieces: Table<PieceKey, Piece>;
    type Extents: Table<ExtentKey, Extent>;
}

/// All files, on some medium.
pub(crate) struct Files<M: Medium> {
    /// The bytes of every generation.
    pub(crate) pieces: M::Pieces,
    /// Of every file how long it is, so that nobody reads it to know.
    pub(crate) extents: M::Extents,
    /// The one that is served.
    pub(crate) generation: u64,
    /// Keeps that number over an upgrade.
    pub(crate) keep: Box<dyn Fn(u64)>,
}

/// Old pieces that go with each new one: as many files come as have gone, so the next site clears away the last but one.
const OLD_PIECES_AT_ONCE: usize = 2;

/// Takes a piece; gives the bytes of its file that are staged now. A file that begins again at 0 forgets what was staged of it.
pub(crate) fn stage<M: Medium>(
    files: &mut Files<M>,
    args: &PieceArgs,
) -> Result<u64, FrontendError> {
    let PieceArgs {
        path,
        offset,
        bytes,
    } = args;
    check_path(path)?;
    if bytes.len() > PIECE_BYTES_MAX {
        return Err(FrontendError::Invalid {
            path: path.clone(),
            problem: format!(
                "a piece of {} bytes, at most {PIECE_BYTES_MAX} are taken at once",
                bytes.len()
            ),
        });
    }
    if bytes.is_empty() && *offset > 0 {
        return Err(FrontendError::Invalid {
            path: path.clone(),
            problem: "a piece without bytes goes on with nothing".to_owned(),
        });
    }
    let next = files.generation + 1;
    let known = files.extents.get(&(next, path.clone()));
    let (staged, pieces) = match offset {
        0 => (0, 0),
        _ => known.unwrap_or_default(),
    };
    if *offset != staged {
        return Err(FrontendError::Gap {
            path: path.clone(),
            offset: *offset,
            staged,
        });
    }
    if staged + bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FrontendError::Full {
            what: "bytes of one file".to_owned(),
            max: FILE_BYTES_MAX,
        });
    }
    let all = extent(files, next);
    if known.is_none() && all.files as usize >= FILES_MAX {
        return Err(FrontendError::Full {
            what: "files".to_owned(),
            max: FILES_MAX as u64,
        });
    }
    let replaced = match offset {
        0 => known.unwrap_or_default().0,
        _ => 0,
    };
    if all.bytes - replaced + bytes.len() as u64 > SITE_BYTES_MAX {
        return Err(FrontendError::Full {
            what: "bytes of all files".to_owned(),
            max: SITE_BYTES_MAX,
        });
    }
    clear_old(files);
    if *offset == 0 {
        let of_file = (next, path.clone(), 0)..=(next, path.clone(), u32::MAX);
        remove(&mut files.pieces, of_file);
    }
    files
        .pieces
        .insert((next, path.clone(), pieces), ByteBuf::from(bytes.clone()));
    let staged = staged + bytes.len() as u64;
    files
        .extents
        .insert((next, path.clone()), (staged, pieces + 1));
    Ok(staged)
}

/// Forgets what is staged.
pub(crate) fn discard<M: Medium>(files: &mut Files<M>) {
    let next = files.generation + 1;
    remove(&mut files.pieces, (next, String::new(), 0)..);
    remove(&mut files.extents, (next, String::new())..);
}

/// Takes away a little of what nothing serves any more. A message that publishes a large site can do no more than that.
fn clear_old<M: Medium>(files: &mut Files<M>) {
    let serving = (files.generation, String::new(), 0);
    let old: Vec<PieceKey> = files
        .pieces
        .keys(..serving)
        .take(OLD_PIECES_AT_ONCE)
        .collect();
    for key in old {
        files.pieces.remove(&key);
    }
}

/// Serves from now on what is staged.
pub(crate) fn promote<M: Medium>(files: &mut Files<M>) {
    files.generation += 1;
    let new = files.generation;
    (files.keep)(new);
    remove(&mut files.extents, ..(new, String::new()));
}

/// What is staged.
pub(crate) fn staged<M: Medium>(files: &Files<M>) -> Whole {
    whole(files, files.generation + 1)
}

/// What is served.
pub(crate) fn served<M: Medium>(files: &Files<M>) -> Whole {
    whole(files, files.generation)
}

/// How much is served.
pub(crate) fn published<M: Medium>(files: &Files<M>) -> Published {
    extent(files, files.generation)
}

fn check_path(path: &str) -> Result<(), FrontendError> {
    let invalid = |problem: &str| {
        Err(FrontendError::Invalid {
            path: path.chars().take(PATH_BYTES_MAX).collect(),
            problem: problem.to_owned(),
        })
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    if path.len() < 2 || path.len() > PATH_BYTES_MAX {
        return invalid("is not 2 to 256 bytes long");
    }
    if !path.starts_with('/') || path.ends_with('/') || path.contains("//") {
        return invalid("does not begin with one / and name a file");
    }
    if path.split('/').any(|part| part == "." || part == "..") || !path.chars().all(fits) {
        return invalid("has parts other than letters, digits and - . _");
    }
    Ok(())
}

/// Files and bytes of a generation.
fn extent<M: Medium>(files: &Files<M>, generation: u64) -> Published {
    let all = (generation, String::new())..(generation + 1, String::new());
    let none = Published {
        files: 0,
        bytes: 0,
        generation,
    };
    let extents = files.extents.range(all);
    extents.fold(none, |all, (_, (bytes, _))| Published {
        files: all.files + 1,
        bytes: all.bytes + bytes,
        ..all
    })
}

fn whole<M: Medium>(files: &Files<M>, generation: u64) -> Whole {
    let all = (generation, String::new(), 0)..(generation + 1, String::new(), 0);
    let mut whole = Whole::new();
    for ((_, path, _), piece) in files.pieces.range(all) {
        whole.entry(path).or_default().extend(piece.into_vec());
    }
    whole
}

fn remove<K: Ord + Clone, V, T: Table<K, V>>(table: &mut T, keys: impl RangeBounds<K>) {
    let gone: Vec<K> = table.keys(keys).collect();
    for key in gone {
        table.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use assay_protocol::store::MemoryTable;

    use super::*;

    struct Memory;

    impl Medium for Memory {
        type Pieces = MemoryTable<PieceKey, Piece>;
        type Extents = MemoryTable<ExtentKey, Extent>;
    }

    fn empty() -> Files<Memory> {
        Files {
            pieces: MemoryTable::default(),
            extents: MemoryTable::default(),
            generation: 0,
            keep: Box::new(|_| ()),
        }
    }

    fn piece(path: &str, offset: u64, bytes: &[u8]) -> PieceArgs {
        PieceArgs {
            path: path.to_owned(),
            offset,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn pieces_in_order_make_files_that_are_served_all_at_once() {
        let mut files = empty();
        assert_eq!(stage(&mut files, &piece("/a.js", 0, b"one")), Ok(3));
        assert_eq!(stage(&mut files, &piece("/b/c.css", 0, b"x")), Ok(1));
        assert_eq!(stage(&mut files, &piece("/a.js", 3, b"two")), Ok(6));
        assert_eq!(published(&files).files, 0);
        promote(&mut files);
        let all = served(&files);
        assert_eq!(all["/a.js"], b"onetwo");
        assert_eq!(
            published(&files),
            Published {
                files: 2,
                bytes: 7,
                generation: 1
            }
        );
        // The next generation begins empty, and the one that is served stays until then.
        assert_eq!(staged(&files), Whole::new());
        assert_eq!(stage(&mut files, &piece("/a.js", 0, b"new")), Ok(3));
        assert_eq!(served(&files)["/a.js"], b"onetwo");
        promote(&mut files);
        let expected = Whole::from([("/a.js".to_owned(), b"new".to_vec())]);
        assert_eq!(served(&files), expected);
        // What was served before goes piece by piece as the next site comes.
        let old = |files: &Files<Memory>| files.pieces.keys(..(2, String::new(), 0)).count();
        assert_eq!(old(&files), 3);
        for (offset, left) in [(0, 1), (1, 0)] {
            stage(&mut files, &piece("/c", offset, b"c")).unwrap();
            assert_eq!(old(&files), left);
        }
        assert_eq!(served(&files), expected);
    }

    #[test]
    fn a_gap_is_refused_and_a_file_may_begin_again() {
        let mut files = empty();
        stage(&mut files, &piece("/a", 0, b"abc")).unwrap();
        assert_eq!(
            stage(&mut files, &piece("/a", 5, b"x")),
            Err(FrontendError::Gap {
                path: "/a".to_owned(),
                offset: 5,
                staged: 3
            })
        );
        // A piece whose answer was lost is told where to go on.
        stage(&mut files, &piece("/a", 3, b"def")).unwrap();
        assert!(stage(&mut files, &piece("/a", 3, b"def")).is_err());
        assert!(stage(&mut files, &piece("/a", 6, b"")).is_err());
        stage(&mut files, &piece("/a", 0, b"z")).unwrap();
        assert_eq!(staged(&files)["/a"], b"z");
        discard(&mut files);
        assert_eq!(staged(&files), Whole::new());
    }

    #[test]
    fn paths_name_files_and_nothing_else() {
        let mut files = empty();
        let longest = format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
        for good in [
            "/a",
            "/.well-known/ic-domains",
            "/assets/x-1_2.js.gz",
            &longest,
        ] {
            assert!(stage(&mut files, &piece(good, 0, b"")).is_ok(), "{good}");
        }
        let past = format!("{longest}a");
        for bad in [
            "", "/", "a", "/a/", "//a", "/a//b", "/../a", "/a/./b", "/a b", "/a?b", "/ä", &past,
        ] {
            let told = stage(&mut files, &piece(bad, 0, b""));
            assert!(
                matches!(told, Err(FrontendError::Invalid { .. })),
                "{bad}: {told:?}"
            );
        }
    }

    #[test]
    fn pieces_files_and_bytes_have_limits() {
        let mut files = empty();
        let most = vec![0; PIECE_BYTES_MAX];
        assert!(stage(&mut files, &piece("/a", 0, &most)).is_ok());
        let past = vec![0; PIECE_BYTES_MAX + 1];
        assert!(matches!(
            stage(&mut files, &piece("/a", 0, &past)),
            Err(FrontendError::Invalid { .. })
        ));
        for n in 1..FILES_MAX {
            stage(&mut files, &piece(&format!("/f{n}"), 0, b"")).unwrap();
        }
        let full = |what: &str, max| {
            Err(FrontendError::Full {
                what: what.to_owned(),
                max,
            })
        };
        assert_eq!(
            stage(&mut files, &piece("/more", 0, b"")),
            full("files", FILES_MAX as u64)
        );
        assert!(stage(&mut files, &piece("/f1", 0, b"x")).is_ok());

        // As if there were a file, and then a site, of almost all bytes.
        let mut files = empty();
        let long = (FILE_BYTES_MAX - 2, 1);
        files.extents.insert((1, "/long".to_owned()), long);
        assert_eq!(
            stage(&mut files, &piece("/long", FILE_BYTES_MAX - 2, b"ab")),
            Ok(FILE_BYTES_MAX)
        );
        assert_eq!(
            stage(&mut files, &piece("/long", FILE_BYTES_MAX, b"c")),
            full("bytes of one file", FILE_BYTES_MAX)
        );
        let mut files = empty();
        let rest = 3;
        let big = SITE_BYTES_MAX - rest;
        files.extents.insert((1, "/big".to_owned()), (big, 1));
        assert_eq!(stage(&mut files, &piece("/a", 0, b"abc")), Ok(3));
        assert_eq!(
            stage(&mut files, &piece("/a", 3, b"d")),
            full("bytes of all files", SITE_BYTES_MAX)
        );
        // Staged anew, a file does not count twice.
        assert_eq!(stage(&mut files, &piece("/a", 0, b"xyz")), Ok(3));
    }
}
