//! Files spoiled everywhere: no panic, no large allocation, always a model or a typed error.

use assay_engine::{
    import::{convert_bytes, gguf::Gguf},
    model::Model,
    tokenizer::{ChatMessage, Role, Tokenizer},
};

use super::builder::tiny_checkpoint;

/// Converts and, when that works, uses the result; says whether it worked.
fn survive(source: &[u8]) -> bool {
    let Ok((file, root)) = convert_bytes(source, |_| ()) else {
        return false;
    };
    let model = Model::from_bytes(file).expect("a converted file opens");
    assert_eq!(model.root(), root);
    if let Ok(tokenizer) = Tokenizer::from_model(&model) {
        let _ = tokenizer.prompt_tokens(&[ChatMessage::new(Role::User, "hello <|im_end|>")]);
    }
    true
}

#[test]
fn a_checkpoint_with_any_header_byte_changed_is_refused_or_usable() {
    let (file, header) = tiny_checkpoint().build_with_header_len();
    assert!(survive(&file));
    let (mut usable, mut refused) = (0, 0);
    for at in 0..header {
        for change in [0x01, 0x80, 0xff] {
            let mut spoiled = file.clone();
            spoiled[at] ^= change;
            if survive(&spoiled) {
                usable += 1
            } else {
                refused += 1
            }
        }
    }
    // Names, letters and the rotation base may change; counts, sizes and types may not.
    assert!(
        usable > 100 && refused > 1000,
        "{usable} usable, {refused} refused"
    );
}

#[test]
fn a_checkpoint_cut_anywhere_is_refused() {
    let (file, _) = tiny_checkpoint().build_with_header_len();
    for len in 0..file.len() {
        assert!(
            Gguf::parse(&file[..len]).is_err(),
            "{len} of {}",
            file.len()
        );
    }
}

#[test]
fn a_model_file_with_any_bit_changed_is_refused() {
    let (file, _) = convert_bytes(&tiny_checkpoint().build(), |_| ()).expect("valid");
    let mut spoiled = file.clone();
    for at in 0..file.len() {
        spoiled[at] ^= 1 << (at % 8);
        assert!(
            Model::from_bytes(spoiled.clone()).is_err(),
            "byte {at} of {}",
            file.len()
        );
        spoiled[at] = file[at];
    }
}

#[test]
fn a_model_file_cut_anywhere_is_refused() {
    let (file, _) = convert_bytes(&tiny_checkpoint().build(), |_| ()).expect("valid");
    for len in 0..file.len() {
        assert!(
            Model::from_bytes(file[..len].to_vec()).is_err(),
            "{len} of {}",
            file.len()
        );
    }
}
