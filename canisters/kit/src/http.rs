//! Requests and answers of a canister's web page.

use candid::CandidType;
use serde::Deserialize;

/// What a gateway asks.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub struct HttpRequest {
    /// For example `GET`.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The content.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// What there is to read; what is not asked for is not made.
#[derive(Debug)]
pub struct Pages<Page, Metrics, Logs> {
    /// At `/`, for people.
    pub page: Page,
    /// At `/metrics`, as Prometheus text.
    pub metrics: Metrics,
    /// At `/logs`, the latest log lines.
    pub logs: Logs,
}

/// What the canister answers.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct HttpResponse {
    /// For example 200.
    pub status_code: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The content.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// The path, without what follows a question mark.
    pub fn path(&self) -> &str {
        self.url.split(['?', '#']).next().unwrap_or_default()
    }
}

impl HttpResponse {
    /// Prometheus text.
    pub fn metrics(text: String) -> Self {
        Self::of(200, "text/plain; version=0.0.4; charset=utf-8", text)
    }

    /// A text for people.
    pub fn text(text: String) -> Self {
        Self::of(200, "text/plain; charset=utf-8", text)
    }

    /// Nothing here.
    pub fn not_found() -> Self {
        Self::of(
            404,
            "text/plain; charset=utf-8",
            "nothing here; there are /, /metrics and /logs\n".to_owned(),
        )
    }

    /// Anything but reading.
    pub fn method_not_allowed() -> Self {
        let mut response = Self::of(
            405,
            "text/plain; charset=utf-8",
            "this page can only be read, with GET\n".to_owned(),
        );
        response
            .headers
            .push(("Allow".to_owned(), "GET, HEAD".to_owned()));
        response
    }

    /// Answers `GET` of one of the pages.
    pub fn route<Page, Metrics, Logs>(
        request: &HttpRequest,
        pages: Pages<Page, Metrics, Logs>,
    ) -> Self
    where
        Page: FnOnce() -> String,
        Metrics: FnOnce() -> String,
        Logs: FnOnce() -> String,
    {
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Self::method_not_allowed();
        }
        match request.path() {
            "" | "/" => Self::text((pages.page)()),
            "/metrics" => Self::metrics((pages.metrics)()),
            "/logs" => Self::text((pages.logs)()),
            _ => Self::not_found(),
        }
    }

    fn of(status_code: u16, content_type: &str, body: String) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            status_code,
            headers: vec![
                header("Content-Type", content_type),
                header("Cache-Control", "no-store"),
                header("X-Content-Type-Options", "nosniff"),
                header("Content-Security-Policy", "default-src 'none'"),
            ],
            body: body.into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(method: &str, url: &str) -> (u16, String) {
        let request = HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let pages = Pages {
            page: || "page".to_owned(),
            metrics: || "metrics".to_owned(),
            logs: || "logs".to_owned(),
        };
        let response = HttpResponse::route(&request, pages);
        (
            response.status_code,
            String::from_utf8(response.body).unwrap(),
        )
    }

    #[test]
    fn pages_are_found_by_path_alone() {
        assert_eq!(get("GET", "/"), (200, "page".to_owned()));
        assert_eq!(get("GET", "/metrics?since=1"), (200, "metrics".to_owned()));
        assert_eq!(get("GET", "/logs#end"), (200, "logs".to_owned()));
        assert_eq!(get("GET", "/nothing").0, 404);
        assert_eq!(get("POST", "/").0, 405);
    }
}
