//! `engine trace`: the commitment to every state that some tokens pass through.

use assay_engine::forward::{Options, Session};

use crate::{Failure, args::Trace, exit, show::out};

pub(super) fn run(args: &Trace) -> Result<u8, Failure> {
    let local = super::open(args.model.as_deref())?;
    let tokens = match (&args.tokens, &args.text) {
        (Some(tokens), _) => tokens.clone(),
        (None, text) => local
            .tokenizer()
            .encode(text.as_deref().unwrap_or_default())?,
    };
    let options = Options {
        threads: super::threads(args.threads),
        ..Options::default()
    };
    let mut session = Session::new(local.model(), tokens.len(), &options)?;
    session.prefill(&tokens)?;
    let (trace, root) = (session.trace(), session.trace().root(tokens.len()));
    if args.json {
        let roots: Vec<String> = trace.token_roots().iter().map(hex::encode).collect();
        let value = serde_json::json!({
            "model_root": local.root().to_string(),
            "tokens": tokens,
            "token_roots": roots,
            "trace_root": hex::encode(root),
        });
        out(format_args!("{value:#}"));
        return Ok(exit::OK);
    }
    for (position, (token, root)) in tokens.iter().zip(trace.token_roots()).enumerate() {
        out(format_args!(
            "{position:>6} {token:>7}  {}",
            hex::encode(root)
        ));
    }
    out(format_args!("trace root      {}", hex::encode(root)));
    Ok(exit::OK)
}
