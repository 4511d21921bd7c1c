//! The core alone, in this process: no sockets, and signatures by themselves.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use assay_localnet_core::{
    cert::{Certification, RangeForm},
    ingress::{self, Kind},
    network::{Network, NetworkConfig},
    system::SystemPlan,
    topology::{SubnetKind, SubnetPlan, Topology},
    types::{Ingress, IngressStatus, Query, RequestId, Time},
};
use candid::{CandidType, Deserialize, Principal};
use ic_agent::{Agent, identity::BasicIdentity};

use crate::{
    modules::{count, counter},
    report::{Report, Unit},
};

/// Calls in one run, one after another.
const CALLS: u32 = 2_000;
/// Calls that are there when a round begins, as many as one round executes.
const TOGETHER: u32 = 500;
/// Certificates in one run.
const CERTIFICATES: u32 = 200;

/// The network, and numbers for its requests.
struct Core {
    network: Network,
    requests: u64,
}

#[derive(CandidType, Deserialize)]
struct CanisterId {
    canister_id: Principal,
}

#[derive(CandidType)]
struct Create {
    amount: Option<candid::Nat>,
}

#[derive(CandidType, Deserialize)]
enum Mode {
    #[serde(rename = "install")]
    Install,
}

#[derive(CandidType)]
struct Install<'a> {
    mode: Mode,
    canister_id: Principal,
    wasm_module: &'a serde_bytes::Bytes,
    arg: &'a serde_bytes::Bytes,
}

/// Measures it.
pub(crate) fn alone(subject: &str, report: &mut Report) -> anyhow::Result<()> {
    let seed = [7; 32];
    let plan = [SubnetPlan::of(SubnetKind::Application)];
    let topology = Arc::new(Topology::plan(&seed, &plan)?);
    let subnet = topology.default_subnet().id;
    let start = wall_clock();
    let mut certification = Certification::new(topology.clone(), start);
    let mut core = Core {
        network: Network::new(NetworkConfig {
            seed,
            start,
            topology,
            system: SystemPlan::none(),
            module_cache: None,
        }),
        requests: 0,
    };
    let canister = core.counter()?;
    let envelopes = signed(canister)?;
    let query = Query {
        sender: Principal::anonymous(),
        canister,
        method: "get".to_owned(),
        arg: Vec::new(),
        info: None,
    };

    let mut rows = report.rows_of(subject, "the core alone, without HTTP");
    let (mut alone, mut together, mut queries) = (Vec::new(), Vec::new(), Vec::new());
    let (mut opened, mut first, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let per_call =
        |begun: Instant, calls: u32| begun.elapsed().as_secs_f64() * 1e6 / f64::from(calls);
    for run in 0..=rows.runs().len() {
        let warm = run > 0;
        let begun = Instant::now();
        for _ in 0..CALLS {
            let id = core.submit(canister, "inc", Vec::new())?;
            core.network.round();
            core.reply(&id)?;
        }
        keep(warm, &mut alone, per_call(begun, CALLS));

        let begun = Instant::now();
        let mut last = None;
        for _ in 0..TOGETHER {
            last = Some(core.submit(canister, "inc", Vec::new())?);
        }
        core.network.round();
        keep(warm, &mut together, per_call(begun, TOGETHER));
        core.reply(&last.context("BUG: nothing was submitted")?)?;

        let begun = Instant::now();
        for _ in 0..CALLS {
            core.network
                .query(&query, None)
                .map_err(|reject| anyhow::anyhow!("a query is refused: {reject:?}"))?;
        }
        keep(warm, &mut queries, per_call(begun, CALLS));

        let begun = Instant::now();
        let topology = Arc::clone(core.network.topology());
        for envelope in &envelopes {
            ingress::open(envelope, Kind::Call, wall_clock(), &topology)?;
        }
        keep(
            warm,
            &mut opened,
            per_call(begun, u32::try_from(envelopes.len())?),
        );

        let (mut signing, mut sharing) = (0.0, 0.0);
        for _ in 0..CERTIFICATES {
            let id = core.submit(canister, "inc", Vec::new())?;
            core.network.round();
            let begun = Instant::now();
            certification.refresh(&core.network);
            certification.request_certificate(&subnet, &id, RangeForm::Sharded);
            signing += per_call(begun, CERTIFICATES);
            let begun = Instant::now();
            certification.request_certificate(&subnet, &id, RangeForm::Sharded);
            sharing += per_call(begun, CERTIFICATES);
        }
        keep(warm, &mut first, signing);
        keep(warm, &mut others, sharing);
    }
    let calls = u64::from(CALLS + TOGETHER + CERTIFICATES) * (rows.runs().len() as u64 + 1);
    let reply = core.network.query(&query, None);
    let found = count(&reply.ok().context("the last query is refused")?)?;
    ensure!(found == calls, "the counter says {found}, not {calls}");

    rows.put("an update in a round of its own", Unit::Microseconds, alone);
    rows.put(
        "an update among 500 of one round",
        Unit::Microseconds,
        together,
    );
    rows.put("a query", Unit::Microseconds, queries);
    rows.put(
        "checking an envelope's Ed25519 signature",
        Unit::Microseconds,
        opened,
    );
    rows.put(
        "the first certificate after a round",
        Unit::Microseconds,
        first,
    );
    rows.put(
        "further certificates of that round",
        Unit::Microseconds,
        others,
    );
    Ok(())
}

fn keep(warm: bool, runs: &mut Vec<f64>, value: f64) {
    if warm {
        runs.push(value);
    }
}

fn wall_clock() -> Time {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

/// Calls as a user's client signs them.
fn signed(canister: Principal) -> anyhow::Result<Vec<Vec<u8>>> {
    let agent = Agent::builder()
        .with_url("http://localhost")
        .with_identity(BasicIdentity::from_raw_key(&[1; 32]))
        .build()?;
    (0..CERTIFICATES)
        .map(|_| Ok(agent.update(&canister, "inc").sign()?.signed_update))
        .collect()
}

impl Core {
    fn counter(&mut self) -> anyhow::Result<Principal> {
        let create = candid::encode_one(Create {
            amount: Some(100_000_000_000_000u64.into()),
        })?;
        let manage = Principal::management_canister();
        let id = self.submit(manage, "provisional_create_canister_with_cycles", create)?;
        self.network.round();
        let CanisterId { canister_id } = candid::decode_one(&self.reply(&id)?)?;
        let install = candid::encode_one(Install {
            mode: Mode::Install,
            canister_id,
            wasm_module: serde_bytes::Bytes::new(&counter()?),
            arg: serde_bytes::Bytes::new(&[]),
        })?;
        let id = self.submit_at(canister_id, manage, "install_code", install)?;
        self.network.round();
        self.reply(&id)?;
        Ok(canister_id)
    }

    fn submit(
        &mut self,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> anyhow::Result<RequestId> {
        self.submit_at(canister, canister, method, arg)
    }

    fn submit_at(
        &mut self,
        effective_canister: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> anyhow::Result<RequestId> {
        self.requests += 1;
        let mut id = [0; 32];
        // Spread like hashes are.
        id[..8].copy_from_slice(
            &self
                .requests
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .to_be_bytes(),
        );
        id[8..16].copy_from_slice(&self.requests.to_be_bytes());
        let message = Ingress {
            id: RequestId(id),
            sender: Principal::anonymous(),
            canister,
            effective_canister,
            method: method.to_owned(),
            arg,
            expiry: self.network.time().plus_nanos(240_000_000_000),
            info: None,
            bytes: 0,
        };
        match self.network.submit(message) {
            Ok(()) => Ok(RequestId(id)),
            Err(reject) => bail!("a call is refused: {reject:?}"),
        }
    }

    fn reply(&self, id: &RequestId) -> anyhow::Result<Vec<u8>> {
        match self.network.status(id).map(|record| &record.status) {
            Some(IngressStatus::Replied(reply)) => Ok(reply.clone()),
            other => bail!("a call is not replied to: {other:?}"),
        }
    }
}
