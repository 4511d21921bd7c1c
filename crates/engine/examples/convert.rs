//! Converts a GGUF checkpoint into a model file and opens it again: `convert SOURCE.gguf TARGET.assay`.

use std::{env, error::Error, io::Write as _, path::PathBuf, process::ExitCode, time::Instant};

use assay_engine::{import, model::Model};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(source), Some(target), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("usage: convert SOURCE.gguf TARGET.assay");
        return ExitCode::from(2);
    };
    match convert(&source, &target) {
        Ok(report) => {
            let _ = writeln!(std::io::stdout(), "{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", source.display());
            ExitCode::FAILURE
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "an example may look at the clock"
)]
fn convert(source: &PathBuf, target: &PathBuf) -> Result<String, Box<dyn Error>> {
    let begin = Instant::now();
    let root = import::convert_file(source, target, |progress| {
        eprint!("\r{:3}%", 100 * progress.done / progress.total);
    })?;
    let converted = begin.elapsed();
    let begin = Instant::now();
    let model = Model::open(target)?;
    let opened = begin.elapsed();
    assert_eq!(model.root(), root, "BUG: the file opens as another model");
    let hex: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "\rroot {hex}, converted in {converted:.2?}, opened and checked in {opened:.2?}"
    ))
}
