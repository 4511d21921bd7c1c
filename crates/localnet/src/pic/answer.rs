//! Answers and errors as JSON.

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

use super::limits::REST_BYTES_MAX;
use crate::actor::Unavailable;

/// An answer: a status and JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) json: Bytes,
}

/// Why a request is refused: a status and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError(pub(super) StatusCode, pub(super) String);

pub(super) type Outcome = Result<Answer, ApiError>;

/// The body of a request, if it could be read.
pub(super) type Body = Result<Bytes, BytesRejection>;

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

impl Answer {
    /// A value, with status 200.
    pub(super) fn of<T: Serialize>(value: &T) -> Self {
        Self::with(StatusCode::OK, value)
    }

    /// Done, and there is nothing to say.
    pub(super) fn null() -> Self {
        Self::of(&())
    }

    pub(super) fn with<T: Serialize>(status: StatusCode, value: &T) -> Self {
        let json = serde_json::to_vec(value).expect("BUG: answers are plain data");
        Self {
            status,
            json: json.into(),
        }
    }
}

impl ApiError {
    /// The request makes no sense here.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }

    /// What the request names is not there.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, message.into())
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        let status = match error {
            Unavailable::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Unavailable::Stopped => StatusCode::GONE,
        };
        Self(status, error.to_string())
    }
}

impl From<ApiError> for Answer {
    fn from(ApiError(status, message): ApiError) -> Self {
        Self::with(status, &Message { message: &message })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (
            self.status,
            [(header::CONTENT_TYPE, "application/json")],
            self.json,
        )
            .into_response()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        tracing::debug!(status = %self.0, reason = self.1, "request refused");
        Answer::from(self).into_response()
    }
}

/// The answer to send, whatever came out.
pub(super) fn settle(outcome: Outcome) -> Answer {
    outcome.unwrap_or_else(Answer::from)
}

/// The bytes of a body.
pub(super) fn bytes(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| {
        let message = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                format!("the request has more than {bytes_max} bytes")
            }
            _ => rejection.body_text(),
        };
        ApiError(rejection.status(), message)
    })
}

/// The value in a body. Fields that are not known are passed over: clients of other versions send some.
pub(super) fn parse<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    let bytes = bytes(body, REST_BYTES_MAX)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::bad(format!("the request's JSON is not as expected: {error}")))
}
