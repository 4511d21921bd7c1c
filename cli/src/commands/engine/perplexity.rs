//! `engine perplexity`: what the conversion costs in quality.

use std::fs;

use assay_engine::{
    forward::Options,
    import::float::{FloatModel, Surprise, surprise},
};

use crate::{
    Failure,
    args::Perplexity,
    exit,
    show::{out, talk},
};

/// Largest text that is read, in bytes.
const TEXT_BYTES_MAX: u64 = 64 << 20;

pub(super) fn run(args: &Perplexity) -> Result<u8, Failure> {
    let local = super::open(args.model.as_deref())?;
    let threads = super::threads(args.threads);
    let size = fs::metadata(&args.text)
        .map_err(Failure::io(&args.text))?
        .len();
    if size > TEXT_BYTES_MAX {
        return Err(Failure::TextTooLong {
            path: args.text.clone(),
            found: size,
            max: TEXT_BYTES_MAX,
        });
    }
    let text = fs::read_to_string(&args.text).map_err(Failure::io(&args.text))?;
    let tokens = local.tokenizer().encode(&text)?;
    // What the model expects before any text stands before each window, and counts as one of its tokens.
    let before = local.tokenizer().text_tokens("")?;
    let window = (args.window as usize).min(local.model().shape.context_max);
    let windows: Vec<Vec<u32>> = tokens
        .chunks_exact(window.saturating_sub(before.len()).max(1))
        .take(args.windows as usize)
        .map(|tokens| [&before, tokens].concat())
        .collect();
    if windows.is_empty() {
        return Err(Failure::TextTooShort {
            path: args.text.clone(),
            found: tokens.len(),
            window,
        });
    }
    talk(format_args!(
        "{} windows of {window} tokens, each without memory of the one before",
        windows.len()
    ));
    let options = Options {
        threads,
        ..Options::default()
    };
    let mut ours = Surprise::default();
    for window in &windows {
        ours += surprise(local.model(), window, &options)?;
    }
    out(format_args!("CIS-1      {:.4}", ours.perplexity()));
    let Some(source) = &args.source else {
        return Ok(exit::OK);
    };
    let bytes = fs::read(source).map_err(Failure::io(source))?;
    let float = FloatModel::from_gguf(&bytes, threads)?;
    let mut plain = Surprise::default();
    for window in &windows {
        plain += float.surprise(window);
    }
    out(format_args!("binary32   {:.4}", plain.perplexity()));
    out(format_args!(
        "ratio      {:.4}",
        ours.perplexity() / plain.perplexity()
    ));
    Ok(exit::OK)
}
