//! `engine convert` and `engine inspect`: model files.

use std::path::Path;

use assay_worker::model::LocalModel;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Failure, exit,
    show::{out, plain},
};

/// Turns a published checkpoint into a model file and prints its root.
pub(super) fn convert(source: &Path, target: &Path) -> Result<u8, Failure> {
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("  converting {bar:40} {percent}%")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let root = assay_engine::import::convert(source, target, |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })?;
    bar.finish_and_clear();
    out(format_args!("{}", hex::encode(root)));
    Ok(exit::OK)
}

/// Checks a model file and shows what it says about itself.
pub(super) fn inspect(file: &Path) -> Result<u8, Failure> {
    let model = LocalModel::open(file)?;
    let manifest = model.manifest();
    let shape = &manifest.shape;
    out(format_args!("file        {}", file.display()));
    out(format_args!("root        {}", model.root()));
    out(format_args!("name        {}", plain(&manifest.name)));
    out(format_args!(
        "semantics   {}, {}",
        plain(&manifest.spec),
        plain(&manifest.architecture)
    ));
    out(format_args!(
        "shape       {} layers of width {}, {} heads ({} for keys and values), {} tokens, context {}",
        shape.layers, shape.dim, shape.heads, shape.kv_heads, shape.vocab, shape.context_max
    ));
    Ok(exit::OK)
}
