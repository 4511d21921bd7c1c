//! The instances of a server: networks with a number each.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use assay_localnet_core::{system::SystemPlan, topology::Topology};
use axum::{Router, http::StatusCode, routing::get};

use super::{
    answer::{Answer, ApiError},
    limits, plan,
};
use crate::{
    CALL_WAIT, OutcallPolicy,
    actor::{self, Handle, Pace, Setup, StartError},
    http,
    state::Plan,
};

/// What every key of every instance follows from, so that the same configuration gives the same subnets.
const SEED: &str = "pocket-ic";

/// A network with a number.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) network: Handle,
    /// The IC HTTP interface.
    pub(super) interface: Router,
    /// Whether it has a state folder, which somebody may open again once it has ended.
    pub(super) kept: bool,
    /// Messages that were submitted over this interface; each gets an id of its own from their number.
    messages: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Instance {
    pub(super) fn start(
        topology: Arc<Topology>,
        seed: [u8; 32],
        system: SystemPlan,
        pace: Pace,
        module_cache: Option<PathBuf>,
        state: Option<(PathBuf, Plan)>,
        outcalls: OutcallPolicy,
    ) -> Result<Self, StartError> {
        let kept = state.is_some();
        let (network, thread) = actor::start(Setup {
            topology,
            seed,
            system,
            module_cache,
            state,
            pace,
            outcalls,
        })?;
        let asked = network.clone();
        let interface = http::router(network.clone(), CALL_WAIT).route(
            "/_/topology",
            get(|| async move { Answer::of(&plan::describe(&asked.topology())) }),
        );
        Ok(Self {
            network,
            interface,
            kept,
            messages: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The subnets that there are now.
    pub(super) fn topology(&self) -> Arc<Topology> {
        self.network.topology()
    }

    /// The number of the next message.
    pub(super) fn next_message(&self) -> u64 {
        self.messages.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the network after what it does now, and waits for that.
    pub(super) fn end(&self) {
        self.network.stop();
        let thread = self
            .thread
            .lock()
            .expect("BUG: nothing panics with the thread")
            .take();
        if let Some(thread) = thread {
            // A thread that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}

/// The seed of every topology.
pub(super) fn seed() -> [u8; 32] {
    crate::seed_from_text(SEED)
}

/// All instances.
#[derive(Debug)]
pub(super) struct Instances {
    kept: Mutex<Kept>,
    instances_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    /// The next instance's number; numbers are never given twice.
    next: usize,
    /// Instances that are being made.
    reserved: usize,
    instances: BTreeMap<usize, Arc<Instance>>,
}

/// Room for an instance; it is given back unless the instance is put there.
#[derive(Debug)]
pub(super) struct Room<'a> {
    instances: &'a Instances,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.instances.lock().reserved -= 1;
    }
}

impl Room<'_> {
    /// Puts an instance there; gives its number.
    pub(super) fn put(self, instance: Arc<Instance>) -> usize {
        let mut kept = self.instances.lock();
        let id = kept.next;
        kept.next += 1;
        kept.instances.insert(id, instance);
        id
    }
}

impl Default for Instances {
    fn default() -> Self {
        Self::with(limits::INSTANCES_MAX)
    }
}

impl Instances {
    pub(super) fn with(instances_max: usize) -> Self {
        Self {
            kept: Mutex::default(),
            instances_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept
            .lock()
            .expect("BUG: nothing panics with the instances")
    }

    /// Room for one more.
    pub(super) fn reserve(&self) -> Result<Room<'_>, ApiError> {
        let mut kept = self.lock();
        if kept.instances.len() + kept.reserved >= self.instances_max {
            return Err(ApiError(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "there are {} instances already; delete some, or start another server",
                    self.instances_max
                ),
            ));
        }
        kept.reserved += 1;
        Ok(Room { instances: self })
    }

    /// The instance with this number.
    pub(super) fn get(&self, id: &str) -> Result<Arc<Instance>, ApiError> {
        id.parse()
            .ok()
            .and_then(|id: usize| self.lock().instances.get(&id).cloned())
            .ok_or_else(|| no_instance(id))
    }

    /// Takes an instance away; it ends when [`end`] is called with it.
    pub(super) fn remove(&self, id: &str) -> Result<(usize, Arc<Instance>), ApiError> {
        id.parse()
            .ok()
            .and_then(|id: usize| Some((id, self.lock().instances.remove(&id)?)))
            .ok_or_else(|| no_instance(id))
    }

    /// One word for each number that was given.
    pub(super) fn states(&self) -> Vec<&'static str> {
        let kept = self.lock();
        (0..kept.next)
            .map(|id| match kept.instances.contains_key(&id) {
                true => "Available",
                false => "Deleted",
            })
            .collect()
    }

    /// Takes all instances away.
    pub(super) fn drain(&self) -> Vec<Arc<Instance>> {
        std::mem::take(&mut self.lock().instances)
            .into_values()
            .collect()
    }
}

/// Ends an instance beside everything else.
pub(super) async fn end(instance: Arc<Instance>) {
    // A thread that panicked has said so on its own.
    let _ = tokio::task::spawn_blocking(move || instance.end()).await;
}

fn no_instance(id: &str) -> ApiError {
    let id: String = id.chars().take(20).collect();
    ApiError::missing(format!(
        "there is no instance {id}; it may have been deleted"
    ))
}
