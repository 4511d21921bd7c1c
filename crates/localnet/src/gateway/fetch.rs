//! One request to a canister: asked, perhaps asked again as an update, put together, verified.
//!
//! Nothing is passed on before all of it is here and verified; so a page is right or absent, never half of it.

#[cfg(test)]
mod tests;

use assay_localnet_core::ingress::ARG_BYTES_MAX;
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use candid::Principal;

use super::{
    error::GatewayError,
    limits::{PARTS_MAX, RESPONSE_BYTES_MAX, RESPONSE_HEADER_BYTES_MAX, RESPONSE_HEADERS_MAX},
    upstream::Upstream,
    verify::{Verified, verify},
    wire::{self, Asked, Callback, Header, HttpResponse, StreamingStrategy},
};

/// Headers of one connection, which a canister knows nothing of.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// Gets a canister's answer; raw ones are not verified.
pub(super) async fn fetch(
    upstream: &Upstream,
    canister: &Principal,
    raw: bool,
    asked: Asked,
) -> Result<Response, GatewayError> {
    let fetching = Fetching {
        upstream,
        canister,
        asked,
    };
    let mut answer = fetching.query(&fetching.asked).await?;
    let upgraded = answer.upgrade == Some(true);
    if upgraded {
        answer = fetching.update().await?;
    }
    check_form(&answer)?;
    if let Some(StreamingStrategy::Callback(callback)) = answer.streaming_strategy.take() {
        fetching.stream(&mut answer.body, callback).await?;
    }
    // An update's answer went through consensus, so there is nothing to verify.
    let verifying = !raw && !upgraded;
    let answer = if verifying {
        fetching.verified(&fetching.asked, answer).await?
    } else {
        answer
    };
    let whole = answer.status_code == 206
        && !fetching.asked.has("range")
        && !fetching.asked.has("if-range");
    let answer = if whole && !upgraded {
        fetching.complete(answer, verifying).await?
    } else {
        answer
    };
    respond(&fetching.asked, answer)
}

struct Fetching<'a> {
    upstream: &'a Upstream,
    canister: &'a Principal,
    asked: Asked,
}

impl Fetching<'_> {
    async fn query(&self, asked: &Asked) -> Result<HttpResponse, GatewayError> {
        let arg = fit(with_identity(asked).as_query())?;
        let reply = self
            .upstream
            .query(self.canister, "http_request", &arg)
            .await?;
        read(&reply)
    }

    async fn update(&self) -> Result<HttpResponse, GatewayError> {
        let arg = fit(with_identity(&self.asked).as_update())?;
        let reply = self
            .upstream
            .update(self.canister, "http_request_update", &arg)
            .await?;
        read(&reply)
    }

    /// Appends the parts that a callback gives until it gives no token.
    async fn stream(&self, body: &mut Vec<u8>, callback: Callback) -> Result<(), GatewayError> {
        let method = match callback.callback.as_method() {
            Some((owner, method)) if owner == *self.canister => method.to_owned(),
            Some(_) => {
                return Err(GatewayError::Callback(
                    "a method of another canister, which is not allowed",
                ));
            }
            None => return Err(GatewayError::Callback("no method")),
        };
        let mut token = Some(callback.token);
        let mut parts = 1;
        while let Some(next) = token {
            parts += 1;
            if parts > PARTS_MAX {
                return Err(GatewayError::TooManyParts);
            }
            let arg = fit(next.as_argument())?;
            let reply = self.upstream.query(self.canister, &method, &arg).await?;
            // Some canisters answer an optional part, as the specification writes the callback.
            let part = wire::read::<wire::Part>(&reply)
                .or_else(|error| {
                    wire::read::<Option<wire::Part>>(&reply)
                        .ok()
                        .flatten()
                        .ok_or(error)
                })
                .map_err(|error| GatewayError::NotHttp(wire::reason(&error)))?;
            append(body, &part.body)?;
            token = part.token;
        }
        Ok(())
    }

    /// The answer with what is certified of it alone.
    async fn verified(
        &self,
        asked: &Asked,
        answer: HttpResponse,
    ) -> Result<HttpResponse, GatewayError> {
        let (verified, mut answer) = verify(self.upstream, self.canister, asked, answer).await?;
        match verified {
            Verified::Headers(headers) => answer.headers = headers,
            // How long to keep a page is not certified in version 1, and too dangerous to believe.
            Verified::Body => answer
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("cache-control")),
            Verified::Nothing => {}
        }
        Ok(answer)
    }

    /// The whole of what a canister began to send in ranges without being asked to.
    async fn complete(
        &self,
        mut first: HttpResponse,
        verifying: bool,
    ) -> Result<HttpResponse, GatewayError> {
        let range = Range::of(&first)?;
        if range.begin != 0 {
            return Err(GatewayError::Range(
                "a first range that does not begin at 0",
            ));
        }
        if range.total > RESPONSE_BYTES_MAX {
            return Err(GatewayError::AnswerTooLarge);
        }
        let mut parts = 1;
        while first.body.len() < range.total {
            parts += 1;
            if parts > PARTS_MAX {
                return Err(GatewayError::TooManyParts);
            }
            let mut asked = self.asked.clone();
            let begin = first.body.len();
            asked
                .headers
                .push(("range".to_owned(), format!("bytes={begin}-")));
            let answer = self.query(&asked).await?;
            check_form(&answer)?;
            if answer.streaming_strategy.is_some() || answer.upgrade == Some(true) {
                return Err(GatewayError::Range("a callback or an upgrade of its own"));
            }
            let answer = if verifying {
                self.verified(&asked, answer).await?
            } else {
                answer
            };
            let part = Range::of(&answer)?;
            if part.total != range.total || part.begin > begin || part.end < begin {
                return Err(GatewayError::Range(
                    "a range that does not continue the one before",
                ));
            }
            append(&mut first.body, &answer.body[begin - part.begin..])?;
        }
        first.status_code = 200;
        first
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("content-range"));
        Ok(first)
    }
}

/// The bytes that an answer with status 206 holds: from `begin` to `end`, both included, of `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    begin: usize,
    end: usize,
    total: usize,
}

impl Range {
    fn of(answer: &HttpResponse) -> Result<Self, GatewayError> {
        if answer.status_code != 206 {
            return Err(GatewayError::Range("not the status 206"));
        }
        let value = answer
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-range"))
            .map(|(_, value)| value.as_str());
        let range = value.and_then(Self::parse).ok_or(GatewayError::Range(
            "no Content-Range that says where it belongs",
        ))?;
        if answer.body.len() != range.end - range.begin + 1 {
            return Err(GatewayError::Range("a Content-Range of another length"));
        }
        Ok(range)
    }

    fn parse(value: &str) -> Option<Self> {
        let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (begin, end) = range.split_once('-')?;
        let [begin, end, total] = [begin, end, total].map(|number| number.parse::<usize>().ok());
        let range = Self {
            begin: begin?,
            end: end?,
            total: total?,
        };
        (range.begin <= range.end && range.end < range.total).then_some(range)
    }
}

/// The same request, whose sender takes unpacked answers, as every client does.
fn with_identity(asked: &Asked) -> Asked {
    let mut asked = asked.clone();
    for (name, value) in &mut asked.headers {
        let has_identity = || {
            value
                .split(',')
                .any(|encoding| encoding.trim().eq_ignore_ascii_case("identity"))
        };
        if name.eq_ignore_ascii_case("accept-encoding") && !has_identity() {
            *value = format!("{value}, identity");
        }
    }
    asked
}

fn fit(arg: Result<Vec<u8>, candid::Error>) -> Result<Vec<u8>, GatewayError> {
    let arg = arg.map_err(|error| GatewayError::NotHttp(wire::reason(&error)))?;
    if arg.len() > ARG_BYTES_MAX {
        return Err(GatewayError::RequestTooLarge { max: ARG_BYTES_MAX });
    }
    Ok(arg)
}

fn read(reply: &[u8]) -> Result<HttpResponse, GatewayError> {
    wire::read(reply).map_err(|error| GatewayError::NotHttp(wire::reason(&error)))
}

fn append(body: &mut Vec<u8>, part: &[u8]) -> Result<(), GatewayError> {
    if body.len() + part.len() > RESPONSE_BYTES_MAX {
        return Err(GatewayError::AnswerTooLarge);
    }
    body.extend_from_slice(part);
    Ok(())
}

fn check_form(answer: &HttpResponse) -> Result<(), GatewayError> {
    if !(200..600).contains(&answer.status_code) {
        return Err(GatewayError::Status(answer.status_code));
    }
    let bytes: usize = answer
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if answer.headers.len() > RESPONSE_HEADERS_MAX || bytes > RESPONSE_HEADER_BYTES_MAX {
        return Err(GatewayError::TooManyHeaders);
    }
    Ok(())
}

fn respond(asked: &Asked, answer: HttpResponse) -> Result<Response, GatewayError> {
    let HttpResponse {
        status_code,
        headers,
        body,
        upgrade: _,
        streaming_strategy: _,
    } = answer;
    // The length of what a HEAD request leaves out is for the canister to tell.
    let tells_length = asked.method == "HEAD" && body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status_code).map_err(|_| GatewayError::Status(status_code))?;
    for (name, value) in headers {
        if let Some((name, value)) = header(&name, &value, tells_length)? {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// A header as HTTP has it; none where it is not for a canister to set.
fn header(
    name: &str,
    value: &str,
    tells_length: bool,
) -> Result<Option<(HeaderName, HeaderValue)>, GatewayError> {
    let bad = || GatewayError::Header(name.chars().take(80).collect());
    let lower = name.to_ascii_lowercase();
    let its_own = match lower.as_str() {
        "content-length" => tells_length && value.parse::<u64>().is_ok(),
        lower => !OF_THE_CONNECTION.contains(&lower),
    };
    let parsed: Header = (lower, value.to_owned());
    let name = HeaderName::from_bytes(parsed.0.as_bytes()).map_err(|_| bad())?;
    let value = HeaderValue::from_bytes(parsed.1.as_bytes()).map_err(|_| bad())?;
    Ok(its_own.then_some((name, value)))
}
