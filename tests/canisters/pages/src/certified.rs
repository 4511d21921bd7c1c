//! Pages that are certified, in version 2 or, below `/legacy`, in version 1.
//!
//! Certified data is the root of one tree with both: `http_assets` to the left, `http_expr` to the right.

use ic_http_certification::{
    CERTIFICATE_EXPRESSION_HEADER_NAME, CERTIFICATE_HEADER_NAME, DefaultCelBuilder,
    DefaultResponseCertification, HttpCertification, HttpCertificationPath, HttpCertificationTree,
    HttpCertificationTreeEntry, HttpRequest as CertifiedRequest, HttpResponse as CertifiedResponse,
    Method, StatusCode, utils::cbor_encode_to_base64,
};
use serde_bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{
    forms::{Callback, HttpRequest, HttpResponse, Kind, StreamingStrategy, Token},
    odd::{BIG_BYTES, PART_BYTES, big},
};

/// Headers that are certified; others are not.
const CERTIFIED: [&str; 4] = ["content-type", "set-cookie", "content-range", "location"];

type Hash = [u8; 32];

/// One certified answer.
struct Page {
    path: HttpCertificationPath<'static>,
    /// The value of the Range header for which it is the answer.
    range: Option<String>,
    certification: HttpCertification,
    answer: HttpResponse,
}

pub(crate) struct Site {
    tree: HttpCertificationTree,
    pages: Vec<Page>,
    certified_data: Hash,
}

impl Site {
    pub(crate) fn build() -> Self {
        let mut site = Self {
            tree: HttpCertificationTree::default(),
            pages: Vec::new(),
            certified_data: [0; 32],
        };
        let html = ("content-type", "text/html");
        let cookie = (
            "set-cookie",
            "ic_env=\"ic_root_key=308182&PUBLIC_CANISTER_ID%3Apages=x\"; SameSite=Lax",
        );
        site.page("/", 200, &[html, cookie], b"<h1>certified</h1>".to_vec());
        site.page("/moved", 308, &[("location", "/")], Vec::new());
        for lie in ["/tampered/body", "/tampered/header", "/tampered/status"] {
            site.page(lie, 200, &[html], b"the truth".to_vec());
        }
        site.page("/big", 200, &[html], big(0, BIG_BYTES));
        site.page("/a b/ü", 200, &[html], b"named in full".to_vec());
        site.ranges();
        site.skip("/skipped");
        let missing = HttpResponse::of(404, &[html], b"nothing here".to_vec());
        site.add(HttpCertificationPath::wildcard(""), None, missing);
        site.certified_data = fork_hash(&site.legacy_root(), &site.tree.root_hash());
        site
    }

    pub(crate) fn certified_data(&self) -> Hash {
        self.certified_data
    }

    /// The page for a request, or what lies about it.
    pub(crate) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let path = request.path();
        if path.starts_with("/legacy") {
            return self.legacy(path);
        }
        let range = request.header("range");
        let page = self
            .pages
            .iter()
            .find(|page| {
                page.path == HttpCertificationPath::exact(decoded(path))
                    && page.range.as_deref() == range
            })
            .or_else(|| self.pages.last())
            .expect("BUG: the last page is for all other paths");
        let mut answer = page.answer.clone();
        let entry = HttpCertificationTreeEntry::new(page.path.clone(), page.certification);
        let witness = self
            .tree
            .witness(&entry, &decoded(path))
            .expect("BUG: every page is in the tree");
        let root = self.legacy_root();
        let assets = (4u8, Bytes::new(&root));
        let tree = cbor_encode_to_base64(&(1u8, assets, witness));
        let expr_path = cbor_encode_to_base64(&page.path.to_expr_path());
        answer.headers.push((
            CERTIFICATE_HEADER_NAME.to_owned(),
            format!(
                "certificate=:{}:, tree=:{tree}:, expr_path=:{expr_path}:, version=2",
                certificate()
            ),
        ));
        let uncertified = ("x-uncertified".to_owned(), "anything".to_owned());
        answer.headers.push(uncertified);
        match path {
            "/tampered/body" => answer.body = b"a lie".to_vec(),
            "/tampered/header" => answer.headers[0].1 = "text/plain".to_owned(),
            "/tampered/status" => answer.status_code = 201,
            "/big" => {
                answer.body.truncate(PART_BYTES);
                answer.streaming_strategy = Some(streaming(path, 1));
            }
            _ => {}
        }
        answer
    }

    fn page(&mut self, path: &'static str, status: u16, headers: &[(&str, &str)], body: Vec<u8>) {
        let answer = HttpResponse::of(status, headers, body);
        self.add(HttpCertificationPath::exact(path), None, answer);
    }

    /// A page that comes in ranges, each certified for the request that asks for it.
    fn ranges(&mut self) {
        for begin in (0..BIG_BYTES).step_by(PART_BYTES) {
            let end = (begin + PART_BYTES).min(BIG_BYTES);
            let range = format!("bytes {begin}-{}/{BIG_BYTES}", end - 1);
            let headers = [("content-type", "text/plain"), ("content-range", &range)];
            let answer = HttpResponse::of(206, &headers, big(begin, end));
            let asked = (begin > 0).then(|| format!("bytes={begin}-"));
            self.add(HttpCertificationPath::exact("/ranges"), asked, answer);
        }
    }

    fn skip(&mut self, path: &'static str) {
        let expression = DefaultCelBuilder::skip_certification().to_string();
        let mut answer =
            HttpResponse::of(200, &[("x-kept", "yes")], b"take it or leave it".to_vec());
        let header = CERTIFICATE_EXPRESSION_HEADER_NAME.to_owned();
        answer.headers.push((header, expression));
        self.put(Page {
            path: HttpCertificationPath::exact(path),
            range: None,
            certification: HttpCertification::skip(),
            answer,
        });
    }

    fn add(
        &mut self,
        path: HttpCertificationPath<'static>,
        range: Option<String>,
        mut answer: HttpResponse,
    ) {
        let expression = DefaultCelBuilder::full_certification()
            .with_request_headers(vec!["range"])
            .with_response_certification(DefaultResponseCertification::certified_response_headers(
                CERTIFIED.to_vec(),
            ))
            .build();
        let header = CERTIFICATE_EXPRESSION_HEADER_NAME.to_owned();
        answer.headers.push((header, expression.to_string()));
        let asked = range
            .iter()
            .map(|range| ("range".to_owned(), range.clone()))
            .collect();
        let request = CertifiedRequest::builder()
            .with_method(Method::GET)
            .with_url("/")
            .with_headers(asked)
            .build();
        let response = CertifiedResponse::builder()
            .with_status_code(
                StatusCode::from_u16(answer.status_code).expect("BUG: pages have real statuses"),
            )
            .with_headers(answer.headers.clone())
            .with_body(answer.body.as_slice())
            .build();
        let certification = HttpCertification::full(&expression, &request, &response, None)
            .expect("BUG: every page is certifiable");
        self.put(Page {
            path,
            range,
            certification,
            answer,
        });
    }

    fn put(&mut self, page: Page) {
        self.tree.insert(&HttpCertificationTreeEntry::new(
            page.path.clone(),
            page.certification,
        ));
        self.pages.push(page);
    }

    /// The tree of version 1: one page.
    fn legacy_root(&self) -> Hash {
        let leaf = leaf_hash(&sha256(LEGACY_BODY));
        labeled_hash(b"http_assets", &labeled_hash(b"/legacy", &leaf))
    }

    fn legacy(&self, path: &str) -> HttpResponse {
        let body = sha256(LEGACY_BODY);
        let leaf = (3u8, Bytes::new(&body));
        let page = (2u8, Bytes::new(b"/legacy"), leaf);
        let assets = (2u8, Bytes::new(b"http_assets"), page);
        let root = self.tree.root_hash();
        let expr = (4u8, Bytes::new(&root));
        let tree = cbor_encode_to_base64(&(1u8, assets, expr));
        let header = format!("certificate=:{}:, tree=:{tree}:", certificate());
        let headers = [
            (CERTIFICATE_HEADER_NAME, header.as_str()),
            ("cache-control", "max-age=99"),
            ("x-uncertified", "anything"),
        ];
        let status = if path == "/legacy/moved" { 308 } else { 200 };
        let body = match path {
            "/legacy/tampered" => b"a lie",
            _ => LEGACY_BODY,
        };
        HttpResponse::of(status, &headers, body)
    }
}

const LEGACY_BODY: &[u8] = b"as in old times";

pub(crate) fn streaming(path: &str, index: u64) -> StreamingStrategy {
    StreamingStrategy::Callback {
        callback: Callback::new(ic_cdk::api::canister_self(), "more".to_owned()),
        token: Token {
            path: path.to_owned(),
            index: index.into(),
            kind: if index.is_multiple_of(2) {
                Kind::Plain
            } else {
                Kind::Packed(index)
            },
            hash: Some(vec![7; 32]),
        },
    }
}

fn certificate() -> String {
    base64(&ic_cdk::api::data_certificate().unwrap_or_default())
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let word = (0..3).fold(0usize, |word, at| {
                word << 8 | usize::from(chunk.get(at).copied().unwrap_or_default())
            });
            (0..4).map(move |at| {
                if at > chunk.len() {
                    '='
                } else {
                    char::from(LETTERS[word >> (18 - 6 * at) & 63])
                }
            })
        })
        .collect()
}

/// A path as people write it.
fn decoded(path: &str) -> String {
    path.replace("%20", " ").replace("%C3%BC", "ü")
}

fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

fn separated(domain: &str) -> Sha256 {
    let length = u8::try_from(domain.len()).expect("BUG: domains are short");
    Sha256::new().chain_update([length]).chain_update(domain)
}

fn leaf_hash(data: &[u8]) -> Hash {
    separated("ic-hashtree-leaf")
        .chain_update(data)
        .finalize()
        .into()
}

fn labeled_hash(label: &[u8], content: &Hash) -> Hash {
    separated("ic-hashtree-labeled")
        .chain_update(label)
        .chain_update(content)
        .finalize()
        .into()
}

fn fork_hash(left: &Hash, right: &Hash) -> Hash {
    separated("ic-hashtree-fork")
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}
