//! The methods that can be called by queries: of users, and of composite queries.

use candid::Principal;
use ic_management_canister_types::{LogVisibility, SnapshotVisibility, StatusVisibility};

use super::{Target, absent, decode, info, logs, methods::Method, permitted, status, subnet};
use crate::{
    network::Network,
    types::{ErrorCode, Query, Reject},
};

/// Answers a query to the management canister.
pub(crate) fn query(network: &mut Network, query: &Query) -> Result<Vec<u8>, Reject> {
    let method = Method::parse(&query.method);
    // Canisters see the subnet that they live on, and no other.
    if let Some(from) = network.canisters.get(&query.sender)
        && let Ok(target) = decode::<Target>(&query.arg)
        && let Some(to) = network.canisters.get(&target.canister_id)
        && from.home.index != to.home.index
    {
        return Err(crate::exec::not_found(&target.canister_id));
    }
    if let Some(method) = method
        && let Some(target) = method.target(&query.arg)?
    {
        permitted(network, &target, &query.sender, method)?;
    }
    match method {
        Some(Method::Status) => status::reply_for(network, &query.arg),
        Some(Method::Metrics) => status::metrics_for(network, &query.arg),
        Some(Method::Info) => info::info(network, &query.arg),
        Some(Method::FetchLogs) => logs::fetch(network, &query.sender, &query.arg),
        Some(Method::ListCanisters) => subnet::list_canisters(network, query),
        _ => Err(Reject::of(
            ErrorCode::CanisterMethodNotFound,
            format!("Query method {} not found.", absent::shown(&query.method)),
        )),
    }
}

/// Something that controllers may show to others.
pub(super) trait Shown {
    /// Whether somebody who is not a controller sees it.
    fn shown_to(&self, caller: &Principal) -> bool;
}

macro_rules! shown {
    ($($visibility:ident)*) => {$(
        impl Shown for $visibility {
            fn shown_to(&self, caller: &Principal) -> bool {
                match self {
                    Self::Controllers => false,
                    Self::Public => true,
                    Self::AllowedViewers(viewers) => viewers.contains(caller),
                }
            }
        }
    )*};
}

shown! { LogVisibility SnapshotVisibility StatusVisibility }

/// Whether somebody who is not a controller sees it.
pub(super) fn shows(what: &impl Shown, caller: &Principal) -> bool {
    what.shown_to(caller)
}
