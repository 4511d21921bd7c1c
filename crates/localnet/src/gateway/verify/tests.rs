use super::*;

fn certificate(bytes: &[u8]) -> Vec<Header> {
    let value = format!(
        "certificate=:{}:, tree=:{}:, version=2",
        BASE64.encode([0xa0]),
        BASE64.encode(bytes)
    );
    vec![("IC-Certificate".to_owned(), value)]
}

/// Arrays of one inside each other.
fn nested(levels: usize) -> Vec<u8> {
    let mut bytes = vec![0x81; levels];
    bytes.push(0);
    bytes
}

#[test]
fn certificates_may_be_nested_up_to_the_limit() {
    assert!(measure(&certificate(&nested(CERTIFICATE_DEPTH_MAX))).is_ok());
    assert!(matches!(
        measure(&certificate(&nested(CERTIFICATE_DEPTH_MAX + 1))),
        Err(VerifyError::CertificateTooDeep)
    ));
    assert!(matches!(
        measure(&certificate(&nested(90_000))),
        Err(VerifyError::CertificateTooDeep)
    ));
}

/// A certificate whose delegation has this certificate.
fn delegated(inner: &[u8]) -> Vec<Header> {
    let mut outer = vec![0xa3, 0x64];
    outer.extend(b"tree\x81\x00");
    outer.extend(b"\x69signature\x40");
    outer.extend(b"\x6adelegation\xa2\x69subnet_id\x40\x6bcertificate\x59");
    outer.extend(u16::try_from(inner.len()).unwrap().to_be_bytes());
    outer.extend(inner);
    let value = format!(
        "certificate=:{}:, tree=:{}:",
        BASE64.encode(outer),
        BASE64.encode([0x81, 0x00])
    );
    vec![("ic-certificate".to_owned(), value)]
}

#[test]
fn the_certificate_of_a_delegation_is_measured_too() {
    assert!(measure(&delegated(&nested(CERTIFICATE_DEPTH_MAX))).is_ok());
    assert!(matches!(
        measure(&delegated(&nested(CERTIFICATE_DEPTH_MAX + 1))),
        Err(VerifyError::CertificateTooDeep)
    ));
    let inflated = [0xbb, 0, 0, 0, 0x40, 0, 0, 0, 0];
    assert!(matches!(
        measure(&delegated(&inflated)),
        Err(VerifyError::Inflated)
    ));
    assert!(matches!(
        measure(&certificate(&inflated)),
        Err(VerifyError::Inflated)
    ));
}

#[test]
fn expressions_may_be_nested_up_to_the_limit() {
    let expression = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        vec![("ic-certificateExpression".to_owned(), value)]
    };
    assert!(measure(&expression(EXPRESSION_DEPTH_MAX)).is_ok());
    assert!(matches!(
        measure(&expression(EXPRESSION_DEPTH_MAX + 1)),
        Err(VerifyError::ExpressionTooDeep)
    ));
}

#[test]
fn a_field_that_is_no_base64_is_malformed() {
    let headers = vec![("ic-certificate".to_owned(), "tree=:%%:".to_owned())];
    assert!(matches!(measure(&headers), Err(VerifyError::NotBase64)));
}

#[test]
fn a_body_may_unpack_up_to_the_limit() {
    let answer = |bytes: usize| {
        let mut packed = flate2::read::GzEncoder::new(
            std::io::repeat(0).take(bytes as u64),
            flate2::Compression::fast(),
        );
        let mut body = Vec::new();
        packed.read_to_end(&mut body).unwrap();
        wire::HttpResponse {
            status_code: 200,
            headers: vec![("Content-Encoding".to_owned(), "gzip".to_owned())],
            body,
            upgrade: None,
            streaming_strategy: None,
        }
    };
    assert!(unpacks(&answer(UNPACKED_BYTES_MAX)));
    assert!(!unpacks(&answer(UNPACKED_BYTES_MAX + 1)));
}

#[test]
fn a_certificate_of_broken_maps_is_refused_and_not_read() {
    // Lists of ten in maps of two: the official reader would go through each map twice for every map around it.
    let mut bytes = vec![0xa2];
    bytes.extend([0x8a, 0x28, 0xa2].repeat(40));
    assert!(matches!(
        measure(&certificate(&bytes)),
        Err(VerifyError::Torn)
    ));
    assert!(matches!(
        measure(&delegated(&bytes)),
        Err(VerifyError::Torn)
    ));
}
