//! Whether something can be read by recursion and allocation without harm, found without either.

/// Why a recursive reader would come to harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// Values are nested deeper than allowed.
    TooDeep,
    /// A map claims more entries than bytes follow.
    Inflated,
    /// A map is broken off, or has a key that is no text.
    Torn,
}

/// Values that a level still waits for.
struct Level {
    waits: u64,
    /// Whether it is a map, where every other value is a key.
    map: bool,
}

/// Walks CBOR as the official reader does: tags, simple values and floats stand before another value, lengths are never
/// open. What that reader refuses ends the walk without harm, for it gets no further either; but not inside a map. There it
/// takes an entry that it cannot read for the end of the map and reads on behind the entry before, which takes twice as long
/// for every map around it.
pub(super) fn check(bytes: &[u8], limit: usize) -> Result<(), Harm> {
    let mut rest = bytes;
    // The outermost level waits for the one value that is read.
    let mut open = vec![Level {
        waits: 1,
        map: false,
    }];
    let mut maps = 0;
    while let Some(level) = open.last_mut() {
        if level.waits == 0 {
            maps -= usize::from(level.map);
            open.pop();
            continue;
        }
        let key = level.map && level.waits.is_multiple_of(2);
        level.waits -= 1;
        let Some((major, length, after)) = value(rest, key) else {
            return if maps > 0 { Err(Harm::Torn) } else { Ok(()) };
        };
        rest = after;
        match major {
            4 => open.push(Level {
                waits: length,
                map: false,
            }),
            5 if usize::try_from(length).is_ok_and(|pairs| pairs <= rest.len()) => {
                maps += 1;
                open.push(Level {
                    waits: length * 2,
                    map: true,
                });
            }
            5 => return Err(Harm::Inflated),
            6 | 7 => open.push(Level {
                waits: 1,
                map: false,
            }),
            _ => {}
        }
        if open.len() > limit + 1 {
            return Err(Harm::TooDeep);
        }
    }
    Ok(())
}

/// The beginning of a value, and what follows it: for a string the whole of it. None where the reader refuses it; a key is a
/// text, and never behind a tag.
fn value(bytes: &[u8], key: bool) -> Option<(u8, u64, &[u8])> {
    let (major, length, rest) = head(bytes)?;
    match major {
        2 | 3 => {
            let (string, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            let readable = !key || std::str::from_utf8(string).is_ok();
            readable.then_some((major, length, rest))
        }
        _ if key => None,
        _ => Some((major, length, rest)),
    }
}

/// Major type, length, and what follows.
fn head(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = match first & 0x1f {
        short @ 0..24 => (short.into(), rest),
        wide @ 24..28 => {
            let (digits, rest) = rest.split_at_checked(1 << (wide - 24))?;
            let value = digits
                .iter()
                .fold(0, |number, digit| number << 8 | u64::from(*digit));
            (value, rest)
        }
        _ => return None,
    };
    Some((first >> 5, length, rest))
}

/// How deep brackets of any kind are nested.
pub(super) fn of_brackets(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_arrays_maps_and_tags() {
        // {"a": [1, [2, []]]}, tagged: a tag, a map and three arrays.
        let bytes = [0xd9, 0xd9, 0xf7, 0xa1, 0x61, b'a', 0x82, 1, 0x82, 2, 0x80];
        assert_eq!(check(&bytes, 5), Ok(()));
        assert_eq!(check(&bytes, 4), Err(Harm::TooDeep));
    }

    #[test]
    fn siblings_are_not_deep() {
        let mut bytes = vec![0x99, 0x03, 0xe8];
        bytes.extend([0x80; 1000]);
        assert_eq!(check(&bytes, 2), Ok(()));
    }

    #[test]
    fn values_that_stand_before_others_are_deep() {
        assert_eq!(check(&[0xf6; 10], 9), Err(Harm::TooDeep));
        assert_eq!(check(&[0xc1; 10], 9), Err(Harm::TooDeep));
        assert_eq!(check(&[0xf6; 9], 9), Ok(()));
    }

    #[test]
    fn a_map_has_no_more_entries_than_bytes() {
        assert_eq!(check(&[0xa1, 0x60, 0x80], 9), Ok(()));
        assert_eq!(check(&[0xa3, 0x80, 0x80], 9), Err(Harm::Inflated));
        let most = [0xbb, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(check(&most, 9), Err(Harm::Inflated));
    }

    #[test]
    fn what_the_reader_refuses_ends_the_walk() {
        let long = [
            0x5b, 255, 255, 255, 255, 255, 255, 255, 255, 0x81, 0x81, 0x81,
        ];
        for bytes in [&[][..], &[0x82], &[0x1c, 0x81, 0x81, 0x81], &long] {
            assert_eq!(check(bytes, 1), Ok(()), "{bytes:?}");
        }
    }

    #[test]
    fn a_broken_map_is_harmful_wherever_it_breaks() {
        for bytes in [
            // A key that is a number, a list, or not UTF-8; an entry without a value; a value that is cut off.
            &[0xa1, 1, 1][..],
            &[0xa1, 0x80, 1],
            &[0xa1, 0x61, 0xff, 1],
            &[0xa1, 0x61, b'a'],
            &[0xa1, 0x61, b'a', 0x82, 1],
            &[0x81, 0xa1, 0x61, b'a', 0x43, 1],
        ] {
            assert_eq!(check(bytes, 9), Err(Harm::Torn), "{bytes:?}");
        }
        // Behind a whole map the reader gives up as everywhere else.
        assert_eq!(check(&[0x82, 0xa1, 0x61, b'a', 1, 0x1c], 9), Ok(()));
    }

    #[test]
    fn brackets_of_all_kinds_are_counted() {
        assert_eq!(of_brackets("f(A{b: [\"c\"]}, []) ]]] ("), 3);
        assert_eq!(of_brackets(""), 0);
    }
}
