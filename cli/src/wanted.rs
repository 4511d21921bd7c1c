//! What an answer must look like and ends at, and the tools that it may call: options of a question that are more than numbers.

use std::{fs, path::Path, path::PathBuf};

use assay_protocol::{
    limits,
    request::{Format, JobRequest, Tool},
};
use clap::Args;
use serde::Deserialize;

use crate::Failure;

/// Options of a question.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Wanted {
    /// Answer in JSON that follows the JSON Schema in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// End the answer where this text comes up; may be named several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
}

impl Wanted {
    /// Adds them to a request.
    pub(crate) fn apply(&self, request: &mut JobRequest) -> Result<(), Failure> {
        let Self { schema, stop } = self;
        if let Some(path) = schema {
            request.parameters.format = Some(Format::JsonSchema(read(path)?));
        }
        if !stop.is_empty() {
            request.parameters.stop = Some(stop.clone());
        }
        Ok(())
    }
}

/// The tools in a file.
pub(crate) fn tools(path: &Path) -> Result<Vec<Tool>, Failure> {
    read_tools(&read(path)?).map_err(|problem| Failure::Damaged {
        path: path.to_owned(),
        problem: format!(
            "{problem}; it should be a list like [{{\"type\": \"function\", \"function\": {{\"name\": ..}}}}]"
        ),
    })
}

/// A file that would fit into a request.
fn read(path: &Path) -> Result<String, Failure> {
    let found = fs::metadata(path).map_err(Failure::io(path))?.len();
    let max = limits::REQUEST_BYTES_MAX as u64;
    if found > max {
        return Err(Failure::TextTooLong {
            path: path.to_owned(),
            found,
            max,
        });
    }
    fs::read_to_string(path).map_err(Failure::io(path))
}

/// An entry of the list that OpenAI's interface takes.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Entry {
    Function { function: Function },
}

#[derive(Deserialize)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<serde_json::Map<String, serde_json::Value>>,
}

fn read_tools(json: &str) -> Result<Vec<Tool>, serde_json::Error> {
    let entries: Vec<Entry> = serde_json::from_str(json)?;
    let tool = |Entry::Function { function }| {
        let Function {
            name,
            description,
            parameters,
        } = function;
        Tool {
            name,
            description,
            parameters: parameters.map(|object| serde_json::Value::from(object).to_string()),
        }
    };
    Ok(entries.into_iter().map(tool).collect())
}

#[cfg(test)]
mod tests {
    use assay_protocol::request::{Assurance, ModelRef, Parameters, Sampling, Task};

    use super::*;

    fn request() -> JobRequest {
        JobRequest {
            model: ModelRef::Name("tiny".to_owned()),
            task: Task::question("why?"),
            parameters: Parameters::new(8, Sampling::GREEDY),
            seed: None,
            assurance: Assurance::Single,
        }
    }

    #[test]
    fn what_is_not_wanted_leaves_the_request_alone() {
        let mut asked = request();
        Wanted::default().apply(&mut asked).unwrap();
        assert_eq!(asked, request());
    }

    #[test]
    fn files_become_tools_and_schema() {
        let folder = tempfile::tempdir().unwrap();
        let (list_file, schema) = (folder.path().join("tools"), folder.path().join("schema"));
        let list = r#"[{"type": "function", "function": {"name": "weather", "description": "Now",
            "parameters": {"type": "object"}, "strict": true}}, {"type": "function", "function": {"name": "time"}}]"#;
        fs::write(&list_file, list).unwrap();
        fs::write(&schema, "{}").unwrap();
        let mut asked = request();
        let wanted = Wanted {
            schema: Some(schema),
            stop: vec!["\n".to_owned()],
        };
        wanted.apply(&mut asked).unwrap();
        let tool = |name: &str, description: Option<&str>, parameters: Option<&str>| Tool {
            name: name.to_owned(),
            description: description.map(str::to_owned),
            parameters: parameters.map(str::to_owned),
        };
        assert_eq!(
            tools(&list_file).unwrap(),
            [
                tool("weather", Some("Now"), Some(r#"{"type":"object"}"#)),
                tool("time", None, None)
            ]
        );
        assert_eq!(
            asked.parameters.format,
            Some(Format::JsonSchema("{}".to_owned()))
        );
        assert_eq!(asked.parameters.stops(), ["\n"]);
    }

    #[test]
    fn files_that_are_none_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tools.json");
        let refused = || tools(&path).unwrap_err().to_string();
        assert!(refused().contains("tools.json"));
        for bad in [
            "",
            "{}",
            r#"[{"name": "weather"}]"#,
            r#"[{"type": "web_search"}]"#,
            r#"[{"type": "function", "function": {"name": "x", "parameters": "text"}}]"#,
        ] {
            fs::write(&path, bad).unwrap();
            let told = refused();
            assert!(
                told.contains("tools.json") && told.contains("a list like"),
                "{told}"
            );
        }
        fs::write(&path, "x".repeat(limits::REQUEST_BYTES_MAX + 1)).unwrap();
        assert!(refused().contains("65537"), "{}", refused());
    }
}
