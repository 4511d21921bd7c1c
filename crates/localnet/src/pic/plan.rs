//! From what a client asks for to the subnets of a network, and back to how clients see them.

use assay_localnet_core::topology::{
    self, InstructionLimits, Subnet, SubnetKind, SubnetPlan, Topology,
};
use candid::Principal;

use super::shapes::{
    self, CanisterRange, CostSchedule, InstructionConfig, PrincipalId, StateConfig,
    SubnetConfigSet, SubnetSpec,
};

/// The subnets that a client asks for, in the order in which ranges of ids are handed out.
///
/// # Errors
/// One sentence, for what is not possible.
pub(super) fn plan(set: &SubnetConfigSet) -> Result<Vec<SubnetPlan>, String> {
    let SubnetConfigSet {
        nns,
        sns,
        ii,
        fiduciary,
        bitcoin,
        test_threshold_keys,
        system,
        application,
        cloud_engine,
        verified_application,
    } = set;
    if test_threshold_keys.is_some() {
        return Err(
            "the subnet for testing threshold keys is not available: this network has no threshold keys; leave \
             test_threshold_keys out"
                .to_owned(),
        );
    }
    let named = [
        (SubnetKind::Nns, nns),
        (SubnetKind::Sns, sns),
        (SubnetKind::Ii, ii),
        (SubnetKind::Fiduciary, fiduciary),
        (SubnetKind::Bitcoin, bitcoin),
    ];
    let flexible = [
        (SubnetKind::System, system),
        (SubnetKind::Application, application),
        (SubnetKind::CloudEngine, cloud_engine),
        (SubnetKind::VerifiedApplication, verified_application),
    ];
    let named = named
        .into_iter()
        .filter_map(|(kind, spec)| Some((kind, spec.as_ref()?)));
    let flexible = flexible
        .into_iter()
        .flat_map(|(kind, specs)| specs.iter().map(move |spec| (kind, spec)));
    let plan = named
        .chain(flexible)
        .map(|(kind, spec)| subnet(kind, spec))
        .collect::<Result<Vec<_>, _>>()?;
    if plan.is_empty() {
        return Err("the configuration must contain at least one subnet".to_owned());
    }
    Ok(plan)
}

fn subnet(kind: SubnetKind, spec: &SubnetSpec) -> Result<SubnetPlan, String> {
    let SubnetSpec {
        state_config,
        instruction_config,
        subnet_admins,
        cost_schedule,
    } = spec;
    let rented = matches!(kind, SubnetKind::Application | SubnetKind::CloudEngine);
    let free = *cost_schedule == CostSchedule::Free;
    let name = kind_name(kind);
    if *state_config != StateConfig::New {
        return Err(format!(
            "the {name} subnet cannot be loaded from a saved state: states of other networks cannot be read; use a new \
             subnet"
        ));
    }
    if subnet_admins.is_some() && !(rented && free) {
        return Err(
            "subnet admins can only be specified for subnets of kind Application or CloudEngine with cost schedule \
             Free"
                .to_owned(),
        );
    }
    if free && !rented {
        return Err(
            "the cost schedule Free can only be specified for subnets of kind Application or CloudEngine".to_owned(),
        );
    }
    if kind == SubnetKind::CloudEngine && !free {
        return Err("subnets of kind CloudEngine must have the cost schedule Free".to_owned());
    }
    Ok(SubnetPlan {
        kind,
        cost: match cost_schedule {
            CostSchedule::Normal => topology::CostSchedule::Normal,
            CostSchedule::Free => topology::CostSchedule::Free,
        },
        instructions: match instruction_config {
            InstructionConfig::Production => InstructionLimits::Production,
            InstructionConfig::Benchmarking => InstructionLimits::Benchmarking,
        },
        admins: subnet_admins
            .iter()
            .flatten()
            .map(|PrincipalId(id)| *id)
            .collect(),
    })
}

/// The network's subnets as clients see them; a root subnet that nobody asked for is not among them.
pub(super) fn describe(topology: &Topology) -> shapes::Topology {
    shapes::Topology {
        subnet_configs: topology
            .subnets()
            .iter()
            .filter(|subnet| !subnet.hidden)
            .map(|subnet| (subnet.id.to_text(), describe_subnet(subnet)))
            .collect(),
        default_effective_canister_id: topology.default_effective_canister().into(),
    }
}

fn describe_subnet(subnet: &Subnet) -> shapes::SubnetConfig {
    let admins = &subnet.admins;
    shapes::SubnetConfig {
        subnet_kind: kind_name(subnet.kind),
        subnet_admins: (!admins.is_empty())
            .then(|| admins.iter().copied().map(PrincipalId).collect::<Vec<_>>()),
        cost_schedule: match subnet.cost {
            topology::CostSchedule::Normal => CostSchedule::Normal,
            topology::CostSchedule::Free => CostSchedule::Free,
        },
        subnet_seed: subnet.seed,
        instruction_config: match subnet.instructions {
            InstructionLimits::Production => InstructionConfig::Production,
            InstructionLimits::Benchmarking => InstructionConfig::Benchmarking,
        },
        canister_ranges: subnet
            .ranges
            .iter()
            .map(|range| CanisterRange {
                start: range.first_id().into(),
                end: range.last_id().into(),
            })
            .collect(),
    }
}

/// As clients call it.
const fn kind_name(kind: SubnetKind) -> &'static str {
    match kind {
        SubnetKind::Nns => "NNS",
        SubnetKind::Ii => "II",
        SubnetKind::Sns => "SNS",
        SubnetKind::Fiduciary => "Fiduciary",
        SubnetKind::Bitcoin => "Bitcoin",
        SubnetKind::System => "System",
        SubnetKind::Application => "Application",
        SubnetKind::VerifiedApplication => "VerifiedApplication",
        SubnetKind::CloudEngine => "CloudEngine",
    }
}

/// The id through which calls that concern a whole subnet are routed to it.
pub(super) fn routing_id(subnet: &Subnet) -> Principal {
    subnet.allocation.first_id()
}
