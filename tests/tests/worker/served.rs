//! A market of two workers, each with the engine's model and one on a server of its own.

use std::process::Command;

use assay_cli::local::ProviderPlan;
use assay_protocol::{
    job::JobView,
    registry::ModelManifest,
    request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task},
};
use assay_worker::{
    client::Registry,
    openai::{ServerModel, Settings},
};
use candid::IDLArgs;

use crate::harness::{Market, needed};

/// Under which name the servers' model is registered.
const NAME: &str = "big-model";

pub(crate) struct Served {
    pub(crate) market: Market,
}

impl Served {
    /// Each worker is given one of these servers, which must be of one class.
    pub(crate) async fn start(servers: &[Settings; 2]) -> Self {
        let plans = ProviderPlan::honest(2);
        let mut market = Market::start(&plans).await;
        for (plan, server) in plans.iter().zip(servers) {
            let settings = market.market.fleet.processes()[&plan.name]
                .place()
                .join("worker.toml");
            let mut text = std::fs::read_to_string(&settings).unwrap();
            text += &format!(
                "[[models]]\nname = {NAME:?}\nask_input = 1000\nask_output = 1000\n[models.openai]\nurl = {:?}\nmodel = {:?}\ntopology = {:?}\n",
                server.url,
                server.model,
                server.topology.name()
            );
            std::fs::write(settings, text).unwrap();
        }
        // Anybody registers what `assay-worker models` prints.
        let config = market.market.fleet.processes()[&plans[0].name]
            .place()
            .join("worker.toml");
        let printed = Command::new(needed("ASSAY_WORKER_BIN"))
            .args(["models", "--license", "MIT", "--config"])
            .arg(config)
            .output()
            .unwrap();
        assert!(printed.status.success(), "{printed:?}");
        let printed = String::from_utf8(printed.stdout).unwrap();
        let own = ServerModel::open(&servers[0]).await.unwrap();
        let line = printed.lines().last().unwrap();
        let manifest = decode(line);
        assert_eq!(manifest, own.registration(NAME, "MIT"), "{line}");
        let local = decode(printed.lines().next().unwrap());
        assert_eq!(local.model_root, market.market.model.manifest.model_root);
        let operator = market
            .market
            .connect(&market.market.operator)
            .await
            .unwrap();
        let registry = Registry::new(&operator, market.market.canisters.registry);
        registry.register_model(&manifest).await.unwrap();
        market
            .market
            .jobs()
            .await
            .unwrap()
            .sync_registry()
            .await
            .unwrap();
        for plan in &plans {
            market.signal(&plan.name, "-TERM").await;
            market.market.fleet.start(&plan.name).unwrap();
        }
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        market.market.wait_until_ready(&names).await.unwrap();
        Self { market }
    }

    /// A request to the servers' model.
    pub(crate) fn request(
        &self,
        prompt: &str,
        parameters: Parameters,
        assurance: Assurance,
    ) -> JobRequest {
        JobRequest {
            model: ModelRef::Name(NAME.to_owned()),
            assurance,
            ..self.market.request(Task::question(prompt), parameters)
        }
    }

    /// Asks for eight tokens, and waits.
    pub(crate) async fn ask(&self, prompt: &str, assurance: Assurance) -> JobView {
        let parameters = Parameters::new(8, Sampling::GREEDY);
        let request = self.request(prompt, parameters, assurance);
        let job = self.market.submit(1, request).await;
        self.market.until_ended(job).await
    }
}

/// A manifest as it was printed, read as the registry's interface says.
fn decode(text: &str) -> ModelManifest {
    let arguments: IDLArgs = candid_parser::parse_idl_args(text).unwrap();
    candid::decode_one(&arguments.to_bytes().unwrap()).unwrap()
}
