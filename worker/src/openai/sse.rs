//! Server-sent events (HTML standard, section 9.2): what a server streams, taken apart.

use super::http::ServerError;

/// Longest event, bytes.
pub(super) const EVENT_BYTES_MAX: usize = 1 << 20;
/// What ends a stream of OpenAI's interface.
const DONE: &str = "[DONE]";

/// Bytes as they come, cut into events.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: String,
    done: bool,
}

impl Events {
    /// The data of the events that these bytes complete, up to the last one of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, ServerError> {
        let mut events = Vec::new();
        for &byte in bytes {
            if self.done {
                break;
            }
            if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                    return Err(ServerError::Malformed(format!(
                        "an event has more than {EVENT_BYTES_MAX} bytes"
                    )));
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                let data = std::mem::take(&mut self.data);
                self.done = data == DONE;
                if !data.is_empty() && !self.done {
                    events.push(data);
                }
            } else if let Some(data) = line.strip_prefix(b"data:") {
                let data = data.strip_prefix(b" ").unwrap_or(data);
                let data = std::str::from_utf8(data).map_err(|_| {
                    ServerError::Malformed("an event is no text in UTF-8".to_owned())
                })?;
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data);
            }
        }
        Ok(events)
    }

    /// Whether the stream has come to its end.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\r\n\r\nevent: x\ndata: {\"a\":1}\n\ndata:one\ndata: two\r\n\r\n\ndata: caf\u{e9}\n\ndata: [DONE]\n\ndata: after\n\n";

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        for size in 1..STREAM.len() {
            let mut events = Events::default();
            let mut all = Vec::new();
            for part in STREAM.as_bytes().chunks(size) {
                all.extend(events.push(part).unwrap());
            }
            assert_eq!(
                all,
                ["{\"a\":1}", "one\ntwo", "caf\u{e9}"],
                "cut into {size}"
            );
            assert!(events.is_done());
        }
    }

    #[test]
    fn an_event_has_a_limit() {
        let of = |bytes: usize| {
            let text = format!("data: {}\n\n", "x".repeat(bytes - "data: ".len()));
            Events::default().push(text.as_bytes())
        };
        assert_eq!(of(EVENT_BYTES_MAX).unwrap().len(), 1);
        assert!(matches!(
            of(EVENT_BYTES_MAX + 1),
            Err(ServerError::Malformed(_))
        ));
        let mut many = Events::default();
        let line = format!("data: {}\n", "x".repeat(1_000));
        let told =
            (0..=EVENT_BYTES_MAX / 1_000).try_for_each(|_| many.push(line.as_bytes()).map(drop));
        assert!(matches!(told, Err(ServerError::Malformed(_))));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert!(matches!(
            Events::default().push(b"data: \xff\n\n"),
            Err(ServerError::Malformed(_))
        ));
    }
}
