//! Model files.

use assay_worker::model::LocalModel;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Failure,
    args::Model,
    exit,
    show::{out, plain},
};

pub(super) fn run(command: Model) -> Result<u8, Failure> {
    match command {
        Model::Import { gguf, out: target } => {
            let bar = ProgressBar::new(0).with_style(
                ProgressStyle::with_template("  converting {bar:40} {percent}%")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            let root = assay_engine::import::convert_file(&gguf, &target, |progress| {
                bar.set_length(progress.total);
                bar.set_position(progress.done);
            })?;
            bar.finish_and_clear();
            out(format_args!("{}", hex::encode(root)));
        }
        Model::Info { file } => {
            let model = LocalModel::open(&file)?;
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
                shape.layers,
                shape.dim,
                shape.heads,
                shape.kv_heads,
                shape.vocab,
                shape.context_max
            ));
        }
    }
    Ok(exit::OK)
}
