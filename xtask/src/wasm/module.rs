//! Just enough of the Wasm binary format to add a custom section.

const HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";
const CUSTOM: u8 = 0;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ModuleError {
    #[error("the file does not begin like a Wasm module of version 1")]
    Header,
    #[error("section at byte {0} runs past the end of the file")]
    Truncated(usize),
    #[error("there is a custom section {0} already")]
    Duplicate(String),
}

/// `module` with a custom section at its end.
pub(crate) fn with_custom_section(
    module: &[u8],
    name: &str,
    content: &[u8],
) -> Result<Vec<u8>, ModuleError> {
    refuse_duplicate(module, name)?;
    let mut body = Vec::new();
    push_leb128(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);

    let mut out = module.to_vec();
    out.push(CUSTOM);
    push_leb128(&mut out, body.len());
    out.extend_from_slice(&body);
    Ok(out)
}

/// Walks over all sections, so that a damaged module is found here and not by the network.
fn refuse_duplicate(module: &[u8], name: &str) -> Result<(), ModuleError> {
    let mut rest = module.strip_prefix(&HEADER).ok_or(ModuleError::Header)?;
    while let Some((&id, after_id)) = rest.split_first() {
        let truncated = ModuleError::Truncated(module.len() - rest.len());
        let section = read_leb128(after_id)
            .and_then(|(size, body)| Some((body.get(..size)?, body.get(size..)?)));
        let Some((body, next)) = section else {
            return Err(truncated);
        };
        if id == CUSTOM {
            let found = read_leb128(body)
                .and_then(|(size, body)| body.get(..size))
                .ok_or(truncated)?;
            if found == name.as_bytes() {
                return Err(ModuleError::Duplicate(name.to_owned()));
            }
        }
        rest = next;
    }
    Ok(())
}

fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// An unsigned 32-bit number and what follows it.
fn read_leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((
                usize::try_from(u32::try_from(value).ok()?).ok()?,
                &bytes[index + 1..],
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_is_appended_with_its_lengths() {
        let out = with_custom_section(&HEADER, "ab", b"xyz").unwrap();
        assert_eq!(out, b"\0asm\x01\0\0\0\x00\x06\x02abxyz");
    }

    #[test]
    fn long_content_gets_a_long_length() {
        let content = vec![7u8; 300];
        let out = with_custom_section(&HEADER, "n", &content).unwrap();
        // 302 bytes of body: 0b10_0101110.
        assert_eq!(out[8..13], [0, 0xae, 0x02, 1, b'n']);
        assert_eq!(out.len(), 8 + 3 + 302);
    }

    #[test]
    fn same_name_twice_is_refused() {
        let once = with_custom_section(&HEADER, "a", b"1").unwrap();
        assert!(with_custom_section(&once, "b", b"2").is_ok());
        assert_eq!(
            with_custom_section(&once, "a", b"2"),
            Err(ModuleError::Duplicate("a".to_owned()))
        );
    }

    #[test]
    fn damaged_modules_are_refused() {
        assert_eq!(
            with_custom_section(b"hello", "a", b""),
            Err(ModuleError::Header)
        );
        let whole = with_custom_section(&HEADER, "a", b"123").unwrap();
        for end in 9..whole.len() {
            assert_eq!(
                with_custom_section(&whole[..end], "b", b""),
                Err(ModuleError::Truncated(8)),
                "cut at {end}"
            );
        }
        // A length that never ends, and one that does not fit 32 bits.
        for size in [[0x80; 6], [0xff, 0xff, 0xff, 0xff, 0x7f, 0]] {
            let module = [&HEADER[..], &[1], &size].concat();
            assert_eq!(
                with_custom_section(&module, "b", b""),
                Err(ModuleError::Truncated(8))
            );
        }
    }
}
