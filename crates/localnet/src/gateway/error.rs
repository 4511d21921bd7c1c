//! Why a request got no page, in words for the person who asked.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use candid::Principal;
use thiserror::Error;

use super::{
    host::HostError,
    limits::{
        PARTS_MAX, PATH_SEGMENTS_MAX, REQUEST_HEADER_BYTES_MAX, RESPONSE_BYTES_MAX,
        RESPONSE_HEADER_BYTES_MAX, RESPONSE_HEADERS_MAX, URL_BYTES_MAX,
    },
    upstream::UpstreamError,
    verify::VerifyError,
};

#[derive(Debug, Error)]
pub(super) enum GatewayError {
    #[error("{0}")]
    Host(#[from] HostError),
    #[error("the method {0} cannot be used on a canister")]
    Method(String),
    #[error("the address has more than {URL_BYTES_MAX} bytes or {PATH_SEGMENTS_MAX} path segments")]
    AddressTooLong,
    #[error("the request's headers have more than {REQUEST_HEADER_BYTES_MAX} bytes")]
    HeadersTooLarge,
    #[error("the header `{0}` is not plain text, and a canister only takes text")]
    HeaderNotText(String),
    #[error("the request's body could not be read")]
    Body,
    #[error(
        "the request has more than {max} bytes, which is what a canister takes in one message, headers included"
    )]
    RequestTooLarge { max: usize },
    #[error("the canister did not answer: {0}")]
    Upstream(#[from] UpstreamError),
    #[error("the canister's answer is no HTTP response: {0}")]
    NotHttp(String),
    #[error(
        "the canister's answer has the status {0}; canisters may use the statuses from 200 to 599"
    )]
    Status(u16),
    #[error("the canister's answer has the header `{0}`, which HTTP does not allow")]
    Header(String),
    #[error(
        "the canister's answer has more than {RESPONSE_HEADERS_MAX} headers or {RESPONSE_HEADER_BYTES_MAX} bytes of them"
    )]
    TooManyHeaders,
    #[error("the canister's answer has more than {RESPONSE_BYTES_MAX} bytes")]
    AnswerTooLarge,
    #[error("the canister's answer comes in more than {PARTS_MAX} parts")]
    TooManyParts,
    #[error("the canister's answer goes on in a callback that is {0}")]
    Callback(&'static str),
    #[error("a part of the canister's answer has {0}")]
    Range(&'static str),
    #[error("the canister's answer is not verified: {0}")]
    Unverified(#[from] VerifyError),
}

impl GatewayError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Host(_) | Self::HeaderNotText(_) | Self::Body => StatusCode::BAD_REQUEST,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::AddressTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RequestTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unverified(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(error) => upstream_status(error),
            Self::NotHttp(_)
            | Self::Status(_)
            | Self::Header(_)
            | Self::TooManyHeaders
            | Self::AnswerTooLarge
            | Self::TooManyParts
            | Self::Callback(_)
            | Self::Range(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// What to do about it.
    fn advice(&self, canister: Option<&Principal>) -> String {
        let id = canister.map_or_else(|| "<canister-id>".to_owned(), Principal::to_text);
        match self {
            Self::Host(HostError::Foreign { served, .. }) => {
                let domain = served.first().map_or("localhost", String::as_str);
                format!("Open http://{id}.{domain} with the port of this network.")
            }
            Self::Host(_) => "Check the canister id; `icp canister status` shows it.".to_owned(),
            Self::Method(_) => "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.".to_owned(),
            Self::AddressTooLong => "Send the data in the body.".to_owned(),
            Self::HeadersTooLarge => "Clear this site's cookies, or send less.".to_owned(),
            Self::HeaderNotText(_) => "Encode the value, for example percent-encoded.".to_owned(),
            Self::Body => "Send it again.".to_owned(),
            Self::RequestTooLarge { .. } => "Send it in several requests.".to_owned(),
            Self::Upstream(error) => upstream_advice(error),
            Self::Unverified(VerifyError::NoCertificate) => format!(
                "Certify the answer (ic-http-certification, ic-asset-certification or the asset canister do), or open the \
                 page unverified at http://{id}.raw.localhost with the port of this network."
            ),
            Self::Unverified(_) => format!(
                "What the canister sent differs from what it certified. Compare it at http://{id}.raw.localhost with the \
                 port of this network, where nothing is verified."
            ),
            Self::NotHttp(_)
            | Self::Status(_)
            | Self::Header(_)
            | Self::TooManyHeaders
            | Self::AnswerTooLarge
            | Self::TooManyParts
            | Self::Callback(_)
            | Self::Range(_) => {
                "Correct http_request in the canister's code, and upgrade the canister.".to_owned()
            }
        }
    }

    /// The whole answer: HTML for browsers, text for the rest.
    pub(super) fn into_response(
        self,
        asked: &str,
        canister: Option<&Principal>,
        headers: &HeaderMap,
    ) -> Response {
        let (status, advice) = (self.status(), self.advice(canister));
        tracing::debug!(%status, asked, error = %self, "gateway refused");
        let reason = status.canonical_reason().unwrap_or_default();
        let html = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        let (content_type, body) = if html {
            let body = format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{code} {reason}</title>\n\
                 <h1>{code} {reason}</h1>\n<p>{error}.</p>\n<p>{advice}</p>\n<p>Asked: <code>{asked}</code></p>\n</html>\n",
                code = status.as_u16(),
                error = escape(&self.to_string()),
                advice = escape(&advice),
                asked = escape(asked),
            );
            ("text/html; charset=utf-8", body)
        } else {
            let body = format!(
                "{} {reason}\n{self}\n{advice}\nAsked: {asked}\n",
                status.as_u16()
            );
            ("text/plain; charset=utf-8", body)
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let fixed = [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        ];
        for (name, value) in fixed {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn upstream_status(error: &UpstreamError) -> StatusCode {
    match error {
        UpstreamError::Rejected { code: 3, .. } => StatusCode::NOT_FOUND,
        UpstreamError::Rejected { error, .. } => match error.as_deref() {
            Some("IC0508" | "IC0509") => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        },
        UpstreamError::Refused { status: 400, .. } => StatusCode::NOT_FOUND,
        UpstreamError::Refused { status, .. } => {
            StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY)
        }
        UpstreamError::Malformed(_) => StatusCode::BAD_GATEWAY,
        UpstreamError::NotAnswered => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn upstream_advice(error: &UpstreamError) -> String {
    let text = match error {
        UpstreamError::Rejected { code: 3, .. } | UpstreamError::Refused { status: 400, .. } => {
            "Check the canister id. A network that keeps no state forgets its canisters when it stops: deploy them again."
        }
        UpstreamError::Rejected { error, .. } => match error.as_deref() {
            Some("IC0508" | "IC0509") => "Start the canister, and load the page again.",
            Some("IC0536") => "Only canisters that export the query `http_request` serve pages.",
            Some("IC0537") => "Install a module in the canister first.",
            _ => "The canister's log may say more: `icp canister logs`.",
        },
        UpstreamError::NotAnswered => {
            "It may still be executed. Where time stands still, let the network make progress."
        }
        UpstreamError::Refused { .. } | UpstreamError::Malformed(_) => "Try again in a moment.",
    };
    text.to_owned()
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '&' => "&amp;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            letter => letter.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(error: GatewayError, asked: &str, accept: &'static str) -> (StatusCode, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        let response = error.into_response(asked, None, &headers);
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn pages_say_what_was_asked_and_never_repeat_it_as_markup() {
        let error = GatewayError::Host(HostError::Malformed("<script>".to_owned()));
        let (status, body) = page(error, "GET /<b>'\"&", "text/html,*/*").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(
            !body.contains("<script>") && !body.contains("<b>"),
            "{body}"
        );
        assert!(
            body.contains("&lt;script&gt;") && body.contains("GET /&lt;b&gt;&#39;&quot;&amp;"),
            "{body}"
        );
    }

    #[tokio::test]
    async fn programs_get_text() {
        let error = GatewayError::Unverified(VerifyError::NoCertificate);
        let (status, body) = page(error, "GET /", "*/*").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            body.starts_with(
                "503 Service Unavailable\nthe canister's answer is not verified: it has no IC-Certificate header\n"
            ),
            "{body}"
        );
    }
}
