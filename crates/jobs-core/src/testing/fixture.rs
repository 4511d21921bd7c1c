//! Who is there: principals, models and workers of a test market.

use assay_protocol::{
    Hash32, Timestamp,
    registry::{
        Board, Hardware, Model, ModelManifest, Provider, Record, SPEC_CIS_1, Worker, WorkerStatus,
    },
    request::{JobRequest, ModelRef},
};
use candid::Principal;

/// Models of every fixture.
pub const MODELS: [&str; 2] = ["tiny", "small"];

/// Providers, their workers and the models.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// What a registry would tell, in its order.
    pub records: Vec<Record>,
    /// Operators of the workers.
    pub workers: Vec<Principal>,
}

impl Fixture {
    /// `providers` providers with `each` workers of `slots` slots.
    pub fn new(providers: u8, each: u8, slots: u16) -> Self {
        let mut records: Vec<Record> = MODELS
            .iter()
            .map(|name| Record::Model(model(name)))
            .collect();
        let mut workers = Vec::new();
        for p in 0..providers {
            records.push(Record::Provider(Provider {
                id: provider(p),
                name: format!("provider {p}"),
                contact: String::new(),
                payout: payout(p),
                registered_at: Timestamp(0),
            }));
            for _ in 0..each {
                let operator = worker(workers.len() as u8);
                workers.push(operator);
                records.push(Record::Worker(machine(operator, provider(p), slots)));
            }
        }
        Self { records, workers }
    }

    /// So many workers that their number does not fit into a byte, 200 to a provider.
    pub fn crowd(workers: u32, slots: u16) -> Self {
        let person = |kind: &str, i: u32| Principal::self_authenticating(format!("{kind} {i}"));
        let mut crowd = Self::new(0, 0, slots);
        for i in 0..workers {
            let owner = person("owner", i / 200);
            if i % 200 == 0 {
                crowd.records.push(Record::Provider(Provider {
                    id: owner,
                    name: format!("owner {}", i / 200),
                    contact: String::new(),
                    payout: owner,
                    registered_at: Timestamp(0),
                }));
            }
            let operator = person("operator", i);
            crowd.workers.push(operator);
            let record = machine(operator, owner, slots);
            crowd.records.push(Record::Worker(record));
        }
        crowd
    }

    /// A worker's record.
    pub fn worker(&self, operator: Principal) -> &Worker {
        let found = self.records.iter().find_map(|record| match record {
            Record::Worker(worker) if worker.operator == operator => Some(worker),
            _ => None,
        });
        found.expect("the fixture has this worker")
    }

    /// The model that a request is for.
    pub fn model_of(&self, request: &JobRequest) -> &Model {
        let models = self.records.iter().filter_map(|record| match record {
            Record::Model(model) => Some(model),
            _ => None,
        });
        let found = models.into_iter().find(|model| match &request.model {
            ModelRef::Name(name) => model.manifest.name == *name,
            ModelRef::Version(id) => model.id == *id,
        });
        found.expect("requests are for models there are")
    }

    /// A model's record, by its place in [`MODELS`].
    pub fn model(&self, i: usize) -> &Model {
        match &self.records[i] {
            Record::Model(model) => model,
            _ => panic!("models come first"),
        }
    }
}

fn machine(operator: Principal, provider: Principal, slots: u16) -> Worker {
    Worker {
        operator,
        provider,
        hardware: Hardware {
            board: Board::Cpu,
            chips: 1,
            memory_bytes: 1 << 30,
            driver: String::new(),
            tokens_per_second_milli: Some(20_000),
            watts: None,
        },
        backends: vec!["cpu".into()],
        region: String::new(),
        slots,
        status: WorkerStatus::Active,
        added_at: Timestamp(0),
    }
}

fn model(name: &str) -> Model {
    let manifest = ModelManifest {
        name: name.into(),
        architecture: "llama".into(),
        semantics: SPEC_CIS_1.into(),
        files: Vec::new(),
        model_root: Hash32::sha256(name.as_bytes()),
        tokenizer_sha256: Hash32::sha256(b"tokenizer"),
        template_sha256: Hash32::sha256(b"template"),
        context_max: 8_192,
        license: "Apache-2.0".into(),
        royalty_bps: 500,
        verifiable: true,
    };
    Model {
        id: manifest.id(),
        manifest,
        owner: model_owner(),
        registered_at: Timestamp(0),
        deprecated: false,
    }
}

/// The jobs canister.
pub fn canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 1, 1])
}

/// The ledger.
pub fn ledger() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 8, 1, 1])
}

/// Who registered the models.
pub fn model_owner() -> Principal {
    person(b'm', 0)
}

/// Who pays deposits for others.
pub fn funder() -> Principal {
    person(b'f', 0)
}

/// Somebody who has nothing to do with any of it.
pub fn stranger() -> Principal {
    person(b'x', 0)
}

/// A requester.
pub fn requester(i: u8) -> Principal {
    person(b'r', i)
}

/// A provider's owner.
pub fn provider(i: u8) -> Principal {
    person(b'p', i)
}

/// A provider's payout account.
pub fn payout(i: u8) -> Principal {
    person(b'a', i)
}

/// A worker's operator.
pub fn worker(i: u8) -> Principal {
    person(b'w', i)
}

fn person(kind: u8, i: u8) -> Principal {
    Principal::self_authenticating([kind, i])
}
