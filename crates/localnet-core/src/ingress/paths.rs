//! Who may read which paths of the state tree (interface specification, "Request: Read state").

use candid::Principal;
use thiserror::Error;

use super::envelope::{Content, Envelope};
use crate::{
    cert::{Path, RangeForm},
    network::CanisterView,
    types::RequestId,
};

/// To what a read of the state is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A canister.
    Canister(Principal),
    /// A subnet.
    Subnet(Principal),
}

/// Why paths may not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// A path that nobody may ask for.
    #[error(
        "the path {path} cannot be requested; see the interface specification for those that can"
    )]
    Invalid {
        /// The path, printable.
        path: String,
    },
    /// Two messages in one request.
    #[error("all request_status paths of one request must name the same request id")]
    SeveralRequests,
    /// Two subnets' ranges in one request.
    #[error("all canister_ranges paths of one request must name the same subnet")]
    SeveralSubnets,
    /// Somebody else's message.
    #[error(
        "the message {id} was sent by somebody else, or to another canister than this request is addressed to"
    )]
    NotYours {
        /// The message.
        id: RequestId,
    },
    /// A message to a canister that the delegations do not cover.
    #[error(
        "canister {canister}, to which the message went, is not among the targets of the delegations"
    )]
    NotATarget {
        /// The callee.
        canister: Principal,
    },
    /// Another canister than the one addressed.
    #[error(
        "paths below /canister must name the canister {effective}, to which the request is addressed"
    )]
    OtherCanister {
        /// The canister addressed.
        effective: Principal,
    },
    /// Metadata for controllers.
    #[error("the custom section `{name}` is private: only controllers of the canister may read it")]
    Private {
        /// The section's name.
        name: String,
    },
}

/// Whence and whither a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Who sent it.
    pub sender: Principal,
    /// Its callee.
    pub canister: Principal,
    /// The canister to which it was addressed.
    pub effective: Principal,
}

/// What the network knows about the things that paths name.
pub trait Facts {
    /// The message with this id.
    fn request(&self, id: &RequestId) -> Option<Sent>;
    /// The canister with this id.
    fn canister(&self, id: &Principal) -> Option<CanisterView<'_>>;
}

/// Checks that the sender may read all of the envelope's paths at this place.
///
/// # Errors
/// For the first path that may not be read.
pub fn authorise(
    envelope: &Envelope,
    place: Place,
    form: RangeForm,
    root: &Principal,
    facts: &impl Facts,
) -> Result<(), PathError> {
    let Content::ReadState(paths) = &envelope.content else {
        return Ok(());
    };
    let mut request: Option<&[u8]> = None;
    let mut ranges: Option<&[u8]> = None;
    for path in paths {
        let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        match labels.as_slice() {
            [b"time"]
            | [b"subnet"]
            | [b"subnet", _]
            | [b"subnet", _, b"public_key" | b"type" | b"node"] => {}
            [b"subnet", _, b"node", _] | [b"subnet", _, b"node", _, b"public_key"] => {}
            [b"api_boundary_nodes"] | [b"api_boundary_nodes", _] => {}
            [
                b"api_boundary_nodes",
                _,
                b"domain" | b"ipv4_address" | b"ipv6_address",
            ] => {}
            [b"subnet", id, b"canister_ranges"]
                if form == RangeForm::Flat || *id == root.as_slice() => {}
            [b"subnet", id, b"metrics"] if matches!(place, Place::Subnet(own) if own.as_slice() == *id) =>
                {}
            [b"canister_ranges", id] if matches!(place, Place::Subnet(_)) => {
                if ranges.replace(id).is_some_and(|before| before != *id) {
                    return Err(PathError::SeveralSubnets);
                }
            }
            [b"request_status", id]
            | [
                b"request_status",
                id,
                b"status" | b"reply" | b"reject_code" | b"reject_message" | b"error_code",
            ] => {
                if request.replace(id).is_some_and(|before| before != *id) {
                    return Err(PathError::SeveralRequests);
                }
                check_request(envelope, place, id, facts)
                    .map_err(|error| error.unwrap_or_else(|| invalid(path)))?;
            }
            [
                b"canister",
                id,
                b"module_hash"
                | b"controllers"
                | b"canister_creation_timestamp"
                | b"last_install_timestamp",
            ] => check_canister(place, id)?,
            [b"canister", id, b"metadata", name] => {
                let canister = Principal::try_from_slice(id).map_err(|_| invalid(path))?;
                let name = std::str::from_utf8(name).map_err(|_| invalid(path))?;
                check_canister(place, id)?;
                check_metadata(&envelope.sender, &canister, name, facts)?;
            }
            _ => return Err(invalid(path)),
        }
    }
    Ok(())
}

/// `Err(None)` where the id is none.
fn check_request(
    envelope: &Envelope,
    place: Place,
    id: &[u8],
    facts: &impl Facts,
) -> Result<(), Option<PathError>> {
    let id = RequestId(id.try_into().map_err(|_| None)?);
    let Some(sent) = facts.request(&id) else {
        return Ok(());
    };
    let (Place::Canister(here) | Place::Subnet(here)) = place;
    if sent.sender != envelope.sender || here != sent.effective {
        return Err(Some(PathError::NotYours { id }));
    }
    match &envelope.targets {
        Some(targets) if !targets.contains(&sent.canister) => Err(Some(PathError::NotATarget {
            canister: sent.canister,
        })),
        _ => Ok(()),
    }
}

fn check_canister(place: Place, id: &[u8]) -> Result<(), PathError> {
    match place {
        Place::Canister(effective) if effective.as_slice() == id => Ok(()),
        Place::Canister(effective) | Place::Subnet(effective) => {
            Err(PathError::OtherCanister { effective })
        }
    }
}

fn check_metadata(
    sender: &Principal,
    id: &Principal,
    name: &str,
    facts: &impl Facts,
) -> Result<(), PathError> {
    let Some(canister) = facts.canister(id) else {
        return Ok(());
    };
    let private = canister
        .metadata
        .iter()
        .any(|section| section.name == name && !section.public);
    if private && !canister.controllers.contains(sender) {
        return Err(PathError::Private {
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn invalid(path: &Path) -> PathError {
    let labels = path
        .iter()
        .take(8)
        .map(|label| label[..label.len().min(64)].escape_ascii().to_string());
    PathError::Invalid {
        path: format!("/{}", labels.collect::<Vec<_>>().join("/")),
    }
}
