//! The table of addresses: what the router serves, and what it says that it serves.
//!
//! Both come from the same entries, so the description at `/api.json` cannot leave anything out or promise more.

use std::{collections::BTreeMap, convert::Infallible};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    routing::{self, MethodRouter},
};
use serde::Serialize;

use super::answer::Answer;

/// Where the description is.
const DESCRIPTION: &str = "/api.json";

/// One way to ask at an address, and who answers.
#[derive(Debug)]
pub(super) struct Endpoint<S> {
    verb: &'static str,
    route: MethodRouter<S, Infallible>,
}

pub(super) fn get<H, T, S>(handler: H) -> Endpoint<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Endpoint {
        verb: "get",
        route: routing::get(handler),
    }
}

pub(super) fn post<H, T, S>(handler: H) -> Endpoint<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Endpoint {
        verb: "post",
        route: routing::post(handler),
    }
}

pub(super) fn delete<H, T, S>(handler: H) -> Endpoint<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Endpoint {
        verb: "delete",
        route: routing::delete(handler),
    }
}

/// All addresses of a server.
#[derive(Debug)]
pub(super) struct Table<S> {
    router: Router<S>,
    /// What every address is for, by address and way to ask.
    entries: BTreeMap<String, BTreeMap<&'static str, &'static str>>,
}

impl<S: Clone + Send + Sync + 'static> Table<S> {
    pub(super) fn new() -> Self {
        Self {
            router: Router::new(),
            entries: BTreeMap::new(),
        }
    }

    /// Adds an endpoint.
    pub(super) fn at(mut self, path: &str, purpose: &'static str, endpoint: Endpoint<S>) -> Self {
        let Endpoint { verb, route } = endpoint;
        self.entries
            .entry(path.to_owned())
            .or_default()
            .insert(verb, purpose);
        self.router = self.router.route(path, route);
        self
    }

    /// Adds an endpoint that some clients ask for with a slash at the end.
    pub(super) fn at_both(self, path: &str, purpose: &'static str, endpoint: Endpoint<S>) -> Self {
        let Endpoint { verb, route } = endpoint;
        let again = Endpoint {
            verb,
            route: route.clone(),
        };
        self.at(path, purpose, Endpoint { verb, route })
            .at(&format!("{path}/"), purpose, again)
    }

    /// Refuses longer requests at the endpoints that are there so far.
    pub(super) fn limited(mut self, bytes_max: usize) -> Self {
        self.router = self.router.layer(DefaultBodyLimit::max(bytes_max));
        self
    }

    /// Adds the endpoints of another table.
    pub(super) fn with(mut self, other: Self) -> Self {
        let Self { router, entries } = other;
        self.router = self.router.merge(router);
        self.entries.extend(entries);
        self
    }

    /// The router, which also describes itself.
    pub(super) fn finish(mut self) -> Router<S> {
        self.entries
            .entry(DESCRIPTION.to_owned())
            .or_default()
            .insert("get", "this description");
        let description = describe(&self.entries);
        self.router.route(
            DESCRIPTION,
            routing::get(move || async move { description }),
        )
    }
}

#[derive(Serialize)]
struct Description<'a> {
    openapi: &'static str,
    info: Info,
    paths: BTreeMap<String, BTreeMap<&'a str, Operation<'a>>>,
}

#[derive(Serialize)]
struct Info {
    title: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Operation<'a> {
    summary: &'a str,
    parameters: Vec<Parameter>,
    responses: BTreeMap<&'static str, Responses>,
}

#[derive(Serialize)]
struct Parameter {
    name: String,
    #[serde(rename = "in")]
    place: &'static str,
    required: bool,
    schema: Schema,
}

#[derive(Serialize)]
struct Schema {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Responses {
    description: &'static str,
}

fn describe(entries: &BTreeMap<String, BTreeMap<&'static str, &'static str>>) -> Answer {
    let paths = entries
        .iter()
        .map(|(path, verbs)| {
            let path = path.replace("{*", "{");
            let operations = verbs
                .iter()
                .map(|(verb, purpose)| (*verb, operation(&path, purpose)))
                .collect();
            (path, operations)
        })
        .collect();
    Answer::of(&Description {
        openapi: "3.1.0",
        info: Info {
            title: "The PocketIC interface of assay-localnet",
            version: env!("CARGO_PKG_VERSION"),
        },
        paths,
    })
}

fn operation<'a>(path: &str, summary: &'a str) -> Operation<'a> {
    let names = path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.to_owned())
    });
    Operation {
        summary,
        parameters: names
            .map(|name| Parameter {
                name,
                place: "path",
                required: true,
                schema: Schema { kind: "string" },
            })
            .collect(),
        responses: BTreeMap::from([
            (
                "2XX",
                Responses {
                    description: "what was asked for, as JSON; 202 says where to read it later",
                },
            ),
            (
                "default",
                Responses {
                    description: "an object whose `message` says what is wrong",
                },
            ),
        ]),
    }
}
