//! Whether a canister's answer is what the network certified (gateway specification, "Response Verification").
//!
//! The official crate decides. Before it sees an answer, everything that it reads by recursion is measured here, so that an
//! answer made to exhaust the stack or the memory is refused; it runs on a thread of its own, where even a panic is a refusal.

mod depth;
#[cfg(test)]
mod tests;

use std::io::Read;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use candid::Principal;
use ic_http_certification::{HttpRequest, HttpResponse, Method, StatusCode};
use ic_response_verification::{
    CertificateHeader, MIN_VERIFICATION_VERSION, ResponseVerificationError,
    verify_request_response_pair,
};
use thiserror::Error;

use self::depth::Harm;
use super::{
    limits::{
        CERTIFICATE_AGE_NANOS_MAX, CERTIFICATE_DEPTH_MAX, EXPRESSION_DEPTH_MAX, UNPACKED_BYTES_MAX,
    },
    upstream::Upstream,
    wire::{self, Asked, Header},
};

/// Base64 as the verifier reads it: with or without padding, and forgiving at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a verified answer may be shown with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// Only the body is certified.
    Body,
    /// The canister certified that it certifies nothing here.
    Nothing,
    /// Status and body are certified, and these headers.
    Headers(Vec<Header>),
}

/// Why an answer is not shown.
#[derive(Debug, Error)]
pub(super) enum VerifyError {
    #[error("it has no IC-Certificate header")]
    NoCertificate,
    #[error("its IC-Certificate header holds a field that is not base64")]
    NotBase64,
    #[error("its certificate claims more entries than it has bytes")]
    Inflated,
    #[error("its certificate holds a map that is broken off or has a key that is no text")]
    Torn,
    #[error("its certificate is nested more than {CERTIFICATE_DEPTH_MAX} deep")]
    CertificateTooDeep,
    #[error("its certificate expression is nested more than {EXPRESSION_DEPTH_MAX} deep")]
    ExpressionTooDeep,
    #[error("its body unpacks to more than {UNPACKED_BYTES_MAX} bytes")]
    UnpacksTooLarge,
    #[error(
        "it is certified in version 1, which this canister has left behind: its metadata `supported_certificate_versions` \
         says {0}"
    )]
    Downgrade(String),
    #[error(
        "it is a redirect certified in version 1, which covers neither status nor target; certify it in version 2"
    )]
    LegacyRedirect,
    #[error("{0}")]
    Wrong(String),
    #[error("its verification came to no end")]
    Crashed,
}

/// Checks an answer to a request, and gives back its body.
pub(super) async fn verify(
    upstream: &Upstream,
    canister: &Principal,
    asked: &Asked,
    answer: wire::HttpResponse,
) -> Result<(Verified, wire::HttpResponse), VerifyError> {
    let root_key = upstream.root_key().to_vec();
    let (now, id) = (upstream.now().0, *canister);
    let request = HttpRequest::builder()
        .with_method(
            Method::from_bytes(asked.method.as_bytes())
                .map_err(|_| VerifyError::Wrong("its request has no method".to_owned()))?,
        )
        .with_url(asked.url.clone())
        .with_headers(asked.headers.clone())
        .with_body(asked.body.clone())
        .build();
    let status = StatusCode::from_u16(answer.status_code)
        .map_err(|_| VerifyError::Wrong("its status is none".to_owned()))?;
    let checking = tokio::task::spawn_blocking(move || {
        measure(&answer.headers)?;
        if !unpacks(&answer) {
            return Err(VerifyError::UnpacksTooLarge);
        }
        let response = HttpResponse::builder()
            .with_status_code(status)
            .with_headers(answer.headers.clone())
            .with_body(answer.body.as_slice())
            .build();
        let info = verify_request_response_pair(
            request,
            response,
            id.as_slice(),
            now.into(),
            CERTIFICATE_AGE_NANOS_MAX.into(),
            &root_key,
            MIN_VERIFICATION_VERSION,
        )
        .map_err(describe)?;
        let verified = match (info.verification_version, info.response) {
            (1, _) => Verified::Body,
            (_, None) => Verified::Nothing,
            (_, Some(certified)) => Verified::Headers(certified.headers),
        };
        Ok((verified, answer))
    });
    let (verified, answer) = checking.await.unwrap_or(Err(VerifyError::Crashed))?;
    if verified == Verified::Body {
        check_legacy(upstream, canister, answer.status_code).await?;
    }
    Ok((verified, answer))
}

/// What version 1 asks beyond the certificate.
async fn check_legacy(
    upstream: &Upstream,
    canister: &Principal,
    status: u16,
) -> Result<(), VerifyError> {
    if (300..400).contains(&status) && status != 304 {
        return Err(VerifyError::LegacyRedirect);
    }
    // Where the section is absent or private, nothing is known against version 1.
    let versions = upstream
        .metadata(canister, "supported_certificate_versions")
        .await;
    if let Ok(Some(versions)) = versions {
        let versions = String::from_utf8_lossy(&versions).into_owned();
        if versions.split(',').any(|version| version.trim() == "2") {
            return Err(VerifyError::Downgrade(versions));
        }
    }
    Ok(())
}

fn describe(error: ResponseVerificationError) -> VerifyError {
    match error {
        ResponseVerificationError::HeaderMissingCertification => VerifyError::NoCertificate,
        error => VerifyError::Wrong(error.to_string()),
    }
}

/// Refuses headers that would harm a recursive reader.
pub(super) fn measure(headers: &[Header]) -> Result<(), VerifyError> {
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("ic-certificate") {
            for field in value.split(',') {
                measure_field(field.trim())?;
            }
            // The certificate of a delegation is read again, out of the first one.
            let delegation = CertificateHeader::from(value)
                .ok()
                .and_then(|header| header.certificate.delegation);
            if let Some(delegation) = delegation {
                depth::check(&delegation.certificate, CERTIFICATE_DEPTH_MAX)?;
            }
        }
        if name.eq_ignore_ascii_case("ic-certificateexpression")
            && depth::of_brackets(value) > EXPRESSION_DEPTH_MAX
        {
            return Err(VerifyError::ExpressionTooDeep);
        }
    }
    Ok(())
}

fn measure_field(field: &str) -> Result<(), VerifyError> {
    let Some((name, value)) = field.split_once('=') else {
        return Ok(());
    };
    if !matches!(name, "certificate" | "tree" | "expr_path") {
        return Ok(());
    }
    let value = value.strip_prefix(':').unwrap_or(value);
    let value = value.strip_suffix(':').unwrap_or(value);
    let bytes = BASE64.decode(value).map_err(|_| VerifyError::NotBase64)?;
    Ok(depth::check(&bytes, CERTIFICATE_DEPTH_MAX)?)
}

impl From<Harm> for VerifyError {
    fn from(harm: Harm) -> Self {
        match harm {
            Harm::TooDeep => Self::CertificateTooDeep,
            Harm::Inflated => Self::Inflated,
            Harm::Torn => Self::Torn,
        }
    }
}

/// Whether a packed body stays within the limit when it is unpacked, as version 1 does.
fn unpacks(answer: &wire::HttpResponse) -> bool {
    let mut encodings = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    encodings.all(|(_, encoding)| match encoding.as_str() {
        "gzip" => fits(flate2::read::GzDecoder::new(answer.body.as_slice())),
        "deflate" => fits(flate2::read::DeflateDecoder::new(answer.body.as_slice())),
        _ => true,
    })
}

/// Reads to the end or past the limit; damage ends the reading, and is the verifier's to report.
fn fits(packed: impl Read) -> bool {
    let limit = UNPACKED_BYTES_MAX as u64;
    let mut limited = packed.take(limit + 1);
    let _ = std::io::copy(&mut limited, &mut std::io::sink());
    limited.limit() > 0
}
