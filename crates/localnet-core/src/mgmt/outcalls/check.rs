//! What an outcall and its answer may look like.

use candid::Principal;
use ic_management_canister_types::{HttpHeader, HttpRequestArgs, HttpRequestResult};

use super::failed;
use crate::{
    limits,
    types::{ErrorCode, Reject, RejectCode},
};

/// Checks what a canister asks for.
pub(super) fn request(args: &HttpRequestArgs, caller: &Principal) -> Result<(), Reject> {
    if let Some(transform) = &args.transform
        && transform.function.0.principal != *caller
    {
        return Err(refused(format!(
            "transform principal id expected to be {caller}, got {}",
            transform.function.0.principal
        )));
    }
    if args.url.len() > limits::OUTCALL_URL_BYTES_MAX {
        return Err(refused(format!(
            "url size {} exceeds {}",
            args.url.len(),
            limits::OUTCALL_URL_BYTES_MAX
        )));
    }
    headers(&args.headers).map_err(refused)?;
    let bytes = header_bytes(&args.headers) + args.body.as_ref().map_or(0, Vec::len);
    if bytes > limits::OUTCALL_REQUEST_BYTES_MAX {
        return Err(refused(format!(
            "total number of bytes to represent all http header names and values and http body {bytes} exceeds {}",
            limits::OUTCALL_REQUEST_BYTES_MAX
        )));
    }
    match args.max_response_bytes {
        Some(given) if given > limits::OUTCALL_RESPONSE_BYTES_MAX => {
            return Err(refused(format!(
                "max_response_bytes expected to be in the range [0..{}], got {given}",
                limits::OUTCALL_RESPONSE_BYTES_MAX
            )));
        }
        _ => {}
    }
    Ok(())
}

/// Checks what the world answers, of which the canister takes so many bytes.
pub(super) fn response(response: &HttpRequestResult, max: u64) -> Result<(), Reject> {
    headers(&response.headers).map_err(|what| failed(RejectCode::SysFatal, what))?;
    let head = header_bytes(&response.headers) as u64;
    if head > max {
        return Err(failed(
            RejectCode::SysFatal,
            format!("Header size exceeds specified response size limit {max}"),
        ));
    }
    if head + response.body.len() as u64 > max {
        return Err(failed(
            RejectCode::SysFatal,
            format!("Http body exceeds size limit of {max} bytes."),
        ));
    }
    Ok(())
}

/// Bytes of all names and values.
pub(super) fn header_bytes(headers: &[HttpHeader]) -> usize {
    headers
        .iter()
        .map(|header| header.name.len() + header.value.len())
        .sum()
}

fn headers(headers: &[HttpHeader]) -> Result<(), String> {
    if headers.len() > limits::OUTCALL_HEADERS_MAX {
        return Err(format!(
            "number of all http headers {} exceeds {}",
            headers.len(),
            limits::OUTCALL_HEADERS_MAX
        ));
    }
    for header in headers {
        for (what, len) in [("name", header.name.len()), ("value", header.value.len())] {
            if len > limits::OUTCALL_HEADER_BYTES_MAX {
                return Err(format!(
                    "number of bytes to represent some http header {what} {len} exceeds {}",
                    limits::OUTCALL_HEADER_BYTES_MAX
                ));
            }
        }
    }
    let bytes = header_bytes(headers);
    if bytes > limits::OUTCALL_HEADERS_BYTES_MAX {
        return Err(format!(
            "total number of bytes to represent all http header names and values {bytes} exceeds {}",
            limits::OUTCALL_HEADERS_BYTES_MAX
        ));
    }
    Ok(())
}

pub(super) fn refused(reason: String) -> Reject {
    Reject::of(ErrorCode::CanisterRejectedMessage, reason)
}
