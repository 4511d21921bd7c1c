//! What must not stand in a file of the repository.

/// Nothing committed is larger: models and modules are fetched or built.
const FILE_BYTES_MAX: usize = 512 * 1024;

/// Written by tools: only their size and content matter, not their whitespace.
const GENERATED: [&str; 6] = [
    "Cargo.lock",
    "fuzz/Cargo.lock",
    "frontend/package-lock.json",
    "tests/clients/icp/package-lock.json",
    "tests/clients/node/package-lock.json",
    "frontend/src/bindings/",
];

/// Marks of unfinished work in Rust, spelled in two halves so that this file passes its own check.
const UNFINISHED: [(&str, &str); 4] = [
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("#[", "ignore"),
];

/// Beginnings of paths that exist on one machine only, spelled like [`UNFINISHED`].
const MACHINE_PATHS: [(&str, &str); 5] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("/tmp", "/t/"),
];

/// One line for each problem of the file at `path` (relative to the repository).
pub(super) fn check(path: &str, bytes: &[u8]) -> Vec<String> {
    let mut problems = Vec::new();
    if bytes.len() > FILE_BYTES_MAX {
        problems.push(format!(
            "{path}: {} bytes, at most {FILE_BYTES_MAX} may be committed",
            bytes.len()
        ));
    }
    // A NUL byte is how git, too, tells binary files.
    if bytes.contains(&0) {
        return problems;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        problems.push(format!("{path}: neither binary nor UTF-8"));
        return problems;
    };

    let generated = GENERATED.iter().any(|prefix| path.starts_with(prefix));
    for (index, line) in text.split('\n').enumerate() {
        let mut problem = |what: &str| problems.push(format!("{path}:{}: {what}", index + 1));
        if !generated && line.ends_with([' ', '\t', '\r']) {
            problem("whitespace at the end of the line");
        }
        if path.ends_with(".rs") {
            for (head, tail) in UNFINISHED {
                if contains(line, head, tail) {
                    problem(&format!(
                        "{head}{tail}: unfinished work stays out of the repository"
                    ));
                }
            }
        }
        for (head, tail) in MACHINE_PATHS {
            if contains(line, head, tail) {
                problem(&format!("{head}{tail}: a path of one machine"));
            }
        }
    }
    if !generated && !text.is_empty() && !text.ends_with('\n') {
        problems.push(format!("{path}: the last line does not end"));
    }
    problems
}

/// Whether `line` contains `head` directly followed by `tail`.
fn contains(line: &str, head: &str, tail: &str) -> bool {
    line.match_indices(head)
        .any(|(at, _)| line[at + head.len()..].starts_with(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_files_pass() {
        assert!(check("a.rs", b"fn main() {}\n").is_empty());
        assert!(check("empty.md", b"").is_empty());
        assert!(check("image.png", b"\x89PNG\0 \n \xff").is_empty());
    }

    #[test]
    fn size_is_limited() {
        assert!(check("a.bin", &vec![0; FILE_BYTES_MAX]).is_empty());
        assert_eq!(check("a.bin", &vec![0; FILE_BYTES_MAX + 1]).len(), 1);
    }

    #[test]
    fn whitespace_is_named_with_its_line() {
        assert_eq!(
            check("a.md", b"one\ntwo \n"),
            ["a.md:2: whitespace at the end of the line"]
        );
        assert_eq!(
            check("a.md", b"one\r\n"),
            ["a.md:1: whitespace at the end of the line"]
        );
        assert_eq!(check("a.md", b"one"), ["a.md: the last line does not end"]);
        assert!(check("frontend/src/bindings/jobs.ts", b"one \ntwo").is_empty());
    }

    #[test]
    fn unfinished_work_is_refused_in_rust() {
        for (head, tail) in UNFINISHED {
            let line = format!("    {head}{tail}\n");
            assert_eq!(check("a.rs", line.as_bytes()).len(), 1, "{line}");
            assert!(
                check("a.md", line.as_bytes()).is_empty(),
                "prose may speak of it"
            );
        }
    }

    #[test]
    fn machine_paths_are_refused_everywhere() {
        for (head, tail) in MACHINE_PATHS {
            for path in ["a.rs", "README.md", "frontend/src/bindings/jobs.ts"] {
                assert_eq!(
                    check(path, format!("see {head}{tail}x\n").as_bytes()).len(),
                    1,
                    "{head}{tail}"
                );
            }
        }
    }

    #[test]
    fn other_encodings_are_refused() {
        assert_eq!(
            check("a.md", b"caf\xe9\n"),
            ["a.md: neither binary nor UTF-8"]
        );
    }
}
