//! A double of a server with OpenAI's interface: it answers by a script, and remembers what it was asked.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::{Value, json};

/// What it calls its model.
pub const MODEL: &str = "big-model";
/// Tokens of its context.
pub const CONTEXT: u32 = 4_096;

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Script {
    /// Whose program it says it is: `vllm`, `llama.cpp` or `ollama`; anything else does not say.
    pub dialect: &'static str,
    /// What every answer ends with.
    pub suffix: &'static str,
    /// What it wants to be shown.
    pub bearer: Option<&'static str>,
    /// Whether it tells the tokens used while it streams.
    pub usage: bool,
    /// Whether its streams end in the middle.
    pub breaks_off: bool,
    /// What it answers to every question instead.
    pub status: Option<(u16, &'static str)>,
}

impl Script {
    /// All is well.
    pub const GOOD: Self = Self {
        dialect: "vllm",
        suffix: "",
        bearer: None,
        usage: true,
        breaks_off: false,
        status: None,
    };
}

/// The server; its thread ends with the process.
#[derive(Debug)]
pub struct ModelServer {
    /// Where it answers.
    pub url: String,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl ModelServer {
    /// Starts one.
    ///
    /// # Panics
    /// Where this machine has no free port.
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (script, asked) = (Arc::new(Mutex::new(script)), Arc::default());
        let server = Self {
            url: format!("http://{address}"),
            script: Arc::clone(&script),
            asked: Arc::clone(&asked),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, questions) = (locked(&script).clone(), Arc::clone(&asked));
                // Who goes away in the middle is no matter.
                thread::spawn(move || drop(serve(stream, &script, &questions)));
            }
        });
        server
    }

    /// Lets it behave so from now on.
    pub fn follow(&self, script: Script) {
        *locked(&self.script) = script;
    }

    /// The bodies of all questions so far.
    pub fn asked(&self) -> Vec<Value> {
        locked(&self.asked).clone()
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, script: &Script, asked: &Mutex<Vec<Value>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let (mut length, mut bearer) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => bearer = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if script
        .bearer
        .is_some_and(|wanted| bearer.as_deref() != Some(wanted))
    {
        return reply(stream, 401, &json!({"error": {"message": "wrong key"}}));
    }
    match (path.as_str(), script.dialect) {
        ("/v1/models", _) => {
            let model = json!({"id": MODEL, "object": "model", "max_model_len": CONTEXT});
            reply(stream, 200, &json!({"object": "list", "data": [model]}))
        }
        ("/version", "vllm") | ("/api/version", "ollama") => {
            reply(stream, 200, &json!({"version": "1.2.3"}))
        }
        ("/props", "llama.cpp") => reply(stream, 200, &json!({"build_info": "b1-abc"})),
        ("/v1/chat/completions" | "/v1/completions", _) => {
            let question: Value = serde_json::from_slice(&body)?;
            locked(asked).push(question.clone());
            answer(stream, script, &question, path.contains("chat"))
        }
        _ => reply(stream, 404, &json!({"detail": "Not Found"})),
    }
}

/// The answer is the last word of the question, again and again, until there are enough tokens.
fn answer(
    mut stream: TcpStream,
    script: &Script,
    question: &Value,
    chats: bool,
) -> std::io::Result<()> {
    if let Some((status, why)) = script.status {
        return reply(stream, status, &json!({"error": {"message": why}}));
    }
    let last = question["messages"].as_array().and_then(|all| all.last());
    let prompt = last.map_or(&question["prompt"], |message| &message["content"]);
    let prompt = prompt.as_str().unwrap_or_default();
    let word = prompt.split_whitespace().last().unwrap_or("nothing");
    let max = question["max_tokens"].as_u64().unwrap_or(1).min(40);
    let count = if max > 4 { 4 } else { max };
    let finish = if count == max { "length" } else { "stop" };
    let mut pieces: Vec<String> = (0..count).map(|_| format!("{word} ")).collect();
    if let Some(last) = pieces.last_mut() {
        last.push_str(script.suffix);
    }
    let usage =
        json!({"prompt_tokens": prompt.split_whitespace().count(), "completion_tokens": count});
    if question["stream"] != json!(true) {
        let text = pieces.concat();
        let choice = match chats {
            true => {
                json!({"message": {"role": "assistant", "content": text}, "finish_reason": finish})
            }
            false => json!({"text": text, "finish_reason": finish}),
        };
        return reply(stream, 200, &json!({"choices": [choice], "usage": usage}));
    }
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    )?;
    let mut send = |event: &Value| stream.write_all(format!("data: {event}\n\n").as_bytes());
    for piece in &pieces {
        let choice = match chats {
            true => json!({"delta": {"content": piece}, "finish_reason": null}),
            false => json!({"text": piece, "finish_reason": null}),
        };
        send(&json!({"choices": [choice]}))?;
        if script.breaks_off {
            return Ok(());
        }
    }
    let choice = match chats {
        true => json!({"delta": {}, "finish_reason": finish}),
        false => json!({"text": "", "finish_reason": finish}),
    };
    send(&json!({"choices": [choice]}))?;
    if script.usage {
        send(&json!({"choices": [], "usage": usage}))?;
    }
    stream.write_all(b"data: [DONE]\n\n")
}

fn reply(mut stream: TcpStream, status: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} .\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())
}
