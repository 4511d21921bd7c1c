//! What is made of published files: the certified answer to every path, with the headers that the rules give it.

use std::collections::BTreeMap;

use assay_protocol::frontend::{FrontendError, Published, RULES_FILE};
use ic_asset_certification::{Asset, AssetConfig, AssetEncoding, AssetFallbackConfig, AssetRouter};
use ic_http_certification::StatusCode;
use serde::Deserialize;

use crate::staging::Whole;

/// The page at `/`.
const INDEX: &str = "/index.html";
/// What is shown for paths that name no file.
const MISSING: &str = "/404.html";
const MISSING_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Not found</title><p>There is nothing here. <a href=\"/\">Go to the app</a>.";
/// The ending of a packed form.
const PACKED: &str = ".gz";
/// Bytes of the environment's names and values together: browsers drop a cookie of more than 4 KB without a word.
const ENVIRONMENT_BYTES_MAX: usize = 3_000;
/// The kind of file that is given the environment as a cookie.
const PAGE: &str = "html";

/// How files are served.
#[derive(Debug, Deserialize)]
struct Rules {
    /// Every file's headers.
    headers: BTreeMap<String, String>,
    /// The first rule whose beginning a path has adds its own; equal names replace.
    rules: Vec<Rule>,
    /// Content types by ending; that of no ending is the last resort.
    types: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    r#match: String,
    headers: BTreeMap<String, String>,
}

/// What pages learn of where they are.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// The network's root key, DER.
    pub(crate) root_key: Vec<u8>,
    /// Names and values.
    pub(crate) variables: BTreeMap<String, String>,
}

/// A site, ready to be served.
pub(crate) struct Site {
    pub(crate) router: AssetRouter<'static>,
    pub(crate) published: Published,
}

impl Environment {
    /// The cookie from which the page learns it, as asset canisters set it: names and values joined by `&`, then percent-encoded.
    fn cookie(&self) -> Result<String, FrontendError> {
        let invalid = |path: &str, problem: &str| FrontendError::Invalid {
            path: path.to_owned(),
            problem: problem.to_owned(),
        };
        let mut bytes = 0;
        for (name, value) in &self.variables {
            if name.contains(['&', '=']) || value.contains('&') {
                let problem = "an environment variable with & in it would be read as several";
                return Err(invalid(name, problem));
            }
            bytes += name.len() + value.len();
        }
        if bytes > ENVIRONMENT_BYTES_MAX {
            let problem = "environment variables of more than 3,000 bytes fit into no cookie";
            return Err(invalid("PUBLIC_", problem));
        }
        let root_key: String = self.root_key.iter().map(|b| format!("{b:02x}")).collect();
        let pairs = [("ic_root_key", &root_key)].into_iter().chain(
            self.variables
                .iter()
                .map(|(name, value)| (name.as_str(), value)),
        );
        let list: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let list = encode(&list.join("&"));
        Ok(format!("ic_env={list}; SameSite=Lax; Path=/"))
    }
}

/// Percent-encodes all but what no part of a cookie or address gives another meaning.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

impl Rules {
    fn content_type(&self, path: &str) -> String {
        let ending = ending(path);
        let found = self.types.get(ending).or_else(|| self.types.get(""));
        found
            .map_or("application/octet-stream", |text| text)
            .to_owned()
    }

    fn headers(&self, path: &str) -> BTreeMap<String, String> {
        let mut headers = self.headers.clone();
        if let Some(rule) = self
            .rules
            .iter()
            .find(|rule| path.starts_with(&rule.r#match))
        {
            for (name, value) in &rule.headers {
                headers.insert(name.clone(), value.clone());
            }
        }
        headers
    }
}

/// What stands behind the last dot of a file's name.
fn ending(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// Makes a site of files; refuses one that cannot be served.
pub(crate) fn build(
    mut files: Whole,
    generation: u64,
    environment: &Environment,
) -> Result<Site, FrontendError> {
    let invalid = |path: &str, problem: String| FrontendError::Invalid {
        path: path.to_owned(),
        problem,
    };
    let published = Published {
        files: files.len() as u32,
        bytes: files.values().map(|bytes| bytes.len() as u64).sum(),
        generation,
    };
    if files.is_empty() {
        let problem = "nothing is staged; see published, if an answer was lost";
        return Err(invalid("/", problem.into()));
    }
    let rules = files.remove(RULES_FILE).ok_or_else(|| {
        invalid(
            RULES_FILE,
            "is missing; it says how files are served".into(),
        )
    })?;
    let rules: Rules = serde_json::from_slice(&rules)
        .map_err(|error| invalid(RULES_FILE, format!("is not as expected: {error}")))?;
    if !files.contains_key(INDEX) {
        return Err(invalid(INDEX, "is missing; it is the page at /".into()));
    }
    files
        .entry(MISSING.to_owned())
        .or_insert_with(|| MISSING_PAGE.as_bytes().to_vec());

    let cookie = environment.cookie()?;
    let is_packed = |path: &str| {
        let plain = path.strip_suffix(PACKED);
        plain.is_some_and(|plain| files.contains_key(plain))
    };
    let configs: Vec<AssetConfig> = files
        .keys()
        .filter(|path| !is_packed(path))
        .map(|path| {
            let mut headers = rules.headers(path);
            if ending(path) == PAGE {
                headers.insert("Set-Cookie".to_owned(), cookie.clone());
            }
            let packed = files.contains_key(&format!("{path}{PACKED}"));
            let encodings = packed.then(|| AssetEncoding::Gzip.default_config());
            let fallback = (path == MISSING).then(|| AssetFallbackConfig {
                scope: "/".to_owned(),
                status_code: Some(StatusCode::NOT_FOUND),
            });
            AssetConfig::File {
                path: path[1..].to_owned(),
                content_type: Some(rules.content_type(path)),
                headers: headers.into_iter().collect(),
                fallback_for: fallback.into_iter().collect(),
                aliased_by: (path == INDEX)
                    .then(|| "/".to_owned())
                    .into_iter()
                    .collect(),
                encodings: encodings.into_iter().collect(),
            }
        })
        .collect();
    let packed: Vec<String> = files
        .keys()
        .filter(|path| is_packed(path))
        .cloned()
        .collect();
    let assets: Vec<Asset<'static, 'static>> = files
        .into_iter()
        .map(|(path, bytes)| Asset::new(path[1..].to_owned(), bytes))
        .collect();
    let mut router = AssetRouter::default();
    router
        .certify_assets(assets, configs)
        .map_err(|error| invalid("/", format!("cannot be certified: {error}")))?;
    // A packed form is an answer to its file's path; by its own it would come without any header.
    router.delete_assets_by_path(packed.iter().map(String::as_str));
    Ok(Site { router, published })
}

#[cfg(test)]
mod tests {
    use ic_asset_certification::AssetMap as _;
    use ic_http_certification::HttpRequest;

    use super::*;

    const RULES: &str = r#"{
        "about": "for people",
        "headers": { "X-Frame-Options": "DENY", "Cache-Control": "none" },
        "rules": [
            { "match": "/assets/", "headers": { "Cache-Control": "immutable" } },
            { "match": "/", "headers": { "Cache-Control": "no-cache" } }
        ],
        "types": { "html": "text/html", "js": "text/javascript", "": "text/plain" }
    }"#;

    fn files(more: &[(&str, &str)]) -> Whole {
        let base = [(RULES_FILE, RULES), (INDEX, "<p>app")];
        let all = base.iter().chain(more);
        all.map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    fn environment() -> Environment {
        Environment {
            root_key: vec![0x30, 0x81],
            variables: BTreeMap::from([(
                "PUBLIC_CANISTER_ID:jobs".to_owned(),
                "aaaaa-aa".to_owned(),
            )]),
        }
    }

    /// Status, headers in lower case and body of a path.
    fn get(site: &Site, path: &str, packed: bool) -> (u16, BTreeMap<String, String>, Vec<u8>) {
        let mut request = HttpRequest::get(path);
        if packed {
            request = request.with_headers(vec![("Accept-Encoding".into(), "gzip".into())]);
        }
        let answer = site.router.serve_asset(&[0; 8], &request.build()).unwrap();
        let headers = answer.headers().iter();
        (
            answer.status_code().as_u16(),
            headers
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .collect(),
            answer.body().to_vec(),
        )
    }

    #[test]
    fn every_file_has_its_headers_and_pages_the_cookie() {
        let site = build(
            files(&[
                ("/assets/x.js", "1"),
                ("/robots.txt", "2"),
                ("/LICENSE", "3"),
            ]),
            1,
            &environment(),
        )
        .unwrap();
        let (status, headers, body) = get(&site, "/", false);
        assert_eq!((status, &body[..]), (200, &b"<p>app"[..]));
        assert_eq!(headers["content-type"], "text/html");
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(
            headers["set-cookie"],
            "ic_env=ic_root_key%3D3081%26PUBLIC_CANISTER_ID%3Ajobs%3Daaaaa-aa; SameSite=Lax; Path=/"
        );
        let (_, headers, _) = get(&site, "/assets/x.js", false);
        assert_eq!(headers["cache-control"], "immutable");
        assert_eq!(headers["content-type"], "text/javascript");
        assert!(!headers.contains_key("set-cookie"));
        assert_eq!(
            get(&site, "/LICENSE", false).1["content-type"],
            "text/plain"
        );
        assert_eq!(site.published.files, 5);
    }

    #[test]
    fn a_packed_form_is_served_to_who_takes_it_and_has_no_path_of_its_own() {
        let site = build(
            files(&[("/assets/x.js", "plain"), ("/assets/x.js.gz", "packed")]),
            1,
            &environment(),
        )
        .unwrap();
        assert_eq!(get(&site, "/assets/x.js", false).2, b"plain");
        let (_, headers, body) = get(&site, "/assets/x.js", true);
        assert_eq!(
            (&headers["content-encoding"][..], &body[..]),
            ("gzip", &b"packed"[..])
        );
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(get(&site, "/assets/x.js.gz", false).0, 404);
    }

    #[test]
    fn variables_that_a_cookie_cannot_carry_are_refused() {
        let told = |name: &str, value: &str| {
            let variables = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let environment = Environment {
                variables,
                ..environment()
            };
            build(files(&[]), 1, &environment).map(|site| site.published.generation)
        };
        let longest = "x".repeat(ENVIRONMENT_BYTES_MAX - "PUBLIC_A".len());
        assert_eq!(told("PUBLIC_A", &longest), Ok(1));
        for (name, value) in [
            ("PUBLIC_A", &format!("{longest}x")[..]),
            ("PUBLIC_A", "https://x/?a=1&b=2"),
            ("PUBLIC_A&B", "1"),
            ("PUBLIC_A=B", "1"),
        ] {
            let told = told(name, value);
            assert!(
                matches!(told, Err(FrontendError::Invalid { .. })),
                "{told:?}"
            );
        }
    }

    #[test]
    fn paths_that_name_no_file_are_not_found_and_the_rules_are_not_served() {
        let site = build(files(&[]), 1, &environment()).unwrap();
        for path in ["/nothing", "/assets/none.js", RULES_FILE] {
            let (status, headers, body) = get(&site, path, false);
            assert_eq!(status, 404, "{path}");
            assert_eq!(headers["x-frame-options"], "DENY");
            assert_eq!(body, MISSING_PAGE.as_bytes());
        }
        assert!(
            site.router
                .get_assets()
                .get("/index.html", None, None)
                .is_some()
        );
    }

    #[test]
    fn a_site_without_rules_or_page_is_refused() {
        let told = |change: fn(&mut Whole)| {
            let mut files = files(&[]);
            change(&mut files);
            match build(files, 1, &environment()) {
                Err(FrontendError::Invalid { path, problem }) => format!("{path}: {problem}"),
                other => panic!("{:?}", other.map(|_| ())),
            }
        };
        assert!(
            told(|files| drop(files.remove(RULES_FILE))).starts_with("/assets.json: is missing")
        );
        assert!(told(|files| drop(files.remove(INDEX))).starts_with("/index.html: is missing"));
        assert!(told(Whole::clear).starts_with("/: nothing is staged"));
        let bad = |files: &mut Whole| drop(files.insert(RULES_FILE.to_owned(), b"{".to_vec()));
        assert!(told(bad).starts_with("/assets.json: is not as expected"));
    }
}
