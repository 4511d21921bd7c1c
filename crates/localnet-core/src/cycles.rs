//! What things cost, in cycles: the Internet Computer's published fees.
//!
//! They are published for a subnet of 13 nodes and grow with the number of nodes. System subnets charge nothing for
//! what they do themselves, and subnets with a free schedule charge nothing at all. Whoever charges asks [`Prices`];
//! no number is anywhere else.

#[cfg(test)]
mod tests;

use crate::topology::{CostSchedule, Subnet};

/// Creating a canister.
pub const CREATE_CANISTER: u128 = 500_000_000_000;
/// Executing a message, before any instruction.
pub const EXECUTE: u128 = 5_000_000;
/// One instruction of a module with a 32-bit memory.
pub const INSTRUCTION: u128 = 1;
/// One instruction of a module with a 64-bit memory.
pub const INSTRUCTION_WIDE: u128 = 2;
/// A call to another canister.
pub const CALL: u128 = 260_000;
/// One byte of a call or of its answer.
pub const CALL_BYTE: u128 = 1_000;
/// An ingress message.
pub const INGRESS: u128 = 1_200_000;
/// One byte of an ingress message.
pub const INGRESS_BYTE: u128 = 2_000;
/// A GiB of memory for a second.
pub const GIB_SECOND: u128 = 127_000;
/// A percent of a processor for a second.
pub const COMPUTE_PERCENT_SECOND: u128 = 10_000_000;
/// Reading a canister's log from a canister, per node.
pub const LOG_FETCH: u128 = 1_000_000;
/// One byte of a log that a canister reads, per node.
pub const LOG_FETCH_BYTE: u128 = 800;
/// An HTTPS outcall, per node.
pub const OUTCALL_NODE: u128 = 3_000_000;
/// An HTTPS outcall, per pair of nodes.
pub const OUTCALL_NODE_NODE: u128 = 60_000;
/// One byte of an outcall's request, per node.
pub const OUTCALL_REQUEST_BYTE: u128 = 400;
/// One byte of an outcall's longest response, per node.
pub const OUTCALL_RESPONSE_BYTE: u128 = 800;
/// Nodes of the subnet that the fees are published for.
pub const NODES: u32 = 13;
/// What `provisional_create_canister_with_cycles` gives where no amount is asked for.
pub const PROVISIONAL: u128 = 100_000_000_000_000;
/// Seconds between two charges for memory and processors.
pub const CHARGE_SECONDS: u64 = 10;
/// Signing with a production key, on the subnet of 34 nodes that has it.
const SIGN_PRODUCTION: u128 = 26_153_846_153;
/// Signing with a test key, on a subnet of 13 nodes.
const SIGN_TEST: u128 = 10_000_000_000;
/// Bytes of memory in use on a subnet from which on more memory is paid for ahead.
const RESERVATION_FROM: u64 = 450 << 30;
/// Bytes of memory that a subnet has.
pub const SUBNET_BYTES: u64 = 2 << 40;
/// Seconds that are paid for ahead on a subnet that is nearly full.
const RESERVATION_SECONDS: u64 = 300_000_000;

const SECONDS_PER_DAY: u64 = 86_400;

/// The fees of one subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    nodes: u32,
    /// Whether the subnet takes nothing for messages and memory.
    idle: bool,
    /// Whether signatures are free as well.
    free: bool,
}

impl Prices {
    /// The fees of a subnet with so many nodes that charges.
    pub const fn of_nodes(nodes: u32) -> Self {
        Self {
            nodes,
            idle: false,
            free: false,
        }
    }

    /// The fees of this subnet.
    pub fn of(subnet: &Subnet) -> Self {
        let free = subnet.cost == CostSchedule::Free;
        Self {
            nodes: u32::try_from(subnet.nodes.len()).unwrap_or(u32::MAX),
            idle: free || subnet.kind.is_system(),
            free,
        }
    }

    /// How many nodes do the work.
    pub const fn nodes(self) -> u32 {
        self.nodes
    }

    /// Executing so many instructions of a module with a 32-bit or a wide, 64-bit memory.
    pub fn execution(self, instructions: u64, wide: bool) -> u128 {
        let each = if wide { INSTRUCTION_WIDE } else { INSTRUCTION };
        self.scaled(EXECUTE + each * u128::from(instructions))
    }

    /// Creating a canister.
    pub fn create_canister(self) -> u128 {
        self.scaled(CREATE_CANISTER)
    }

    /// Sending a call of so many bytes, the method's name among them.
    pub fn call(self, bytes: u64) -> u128 {
        self.scaled(CALL) + self.scaled(CALL_BYTE * u128::from(bytes))
    }

    /// Sending an answer of so many bytes; the caller pays it.
    pub fn answer(self, bytes: u64) -> u128 {
        self.scaled(CALL_BYTE * u128::from(bytes))
    }

    /// Taking in an ingress message of so many bytes, the method's name among them.
    pub fn ingress(self, bytes: u64) -> u128 {
        self.scaled(INGRESS) + self.scaled(INGRESS_BYTE) * u128::from(bytes)
    }

    /// Holding so much memory for so long.
    pub fn storage(self, bytes: u64, seconds: u64) -> u128 {
        self.scaled((u128::from(bytes) * GIB_SECOND).saturating_mul(u128::from(seconds)) >> 30)
    }

    /// Keeping so many percent of a processor for so long.
    pub fn compute(self, percent: u64, seconds: u64) -> u128 {
        self.scaled(
            (u128::from(percent) * COMPUTE_PERCENT_SECOND).saturating_mul(u128::from(seconds)),
        )
    }

    /// What a canister costs while it does nothing for so many seconds: its part of what a day costs.
    pub fn idle(self, bytes: u64, percent: u64, seconds: u64) -> u128 {
        let part =
            |day: u128| day.saturating_mul(u128::from(seconds)) / u128::from(SECONDS_PER_DAY);
        part(self.storage(bytes, SECONDS_PER_DAY)) + part(self.compute(percent, SECONDS_PER_DAY))
    }

    /// What a canister costs in a day in which it does nothing.
    pub fn idle_day(self, bytes: u64, percent: u64) -> u128 {
        self.storage(bytes, SECONDS_PER_DAY) + self.compute(percent, SECONDS_PER_DAY)
    }

    /// What a canister keeps so that it can do nothing for so many seconds.
    pub fn freezing(self, bytes: u64, percent: u64, seconds: u64) -> u128 {
        self.idle_day(bytes, percent)
            .saturating_mul(u128::from(seconds))
            / u128::from(SECONDS_PER_DAY)
    }

    /// What is set aside when so many bytes are added to a subnet on which `used` are in use: the fuller it is, the
    /// longer they are paid for ahead.
    pub fn reservation(self, used: u64, added: u64) -> u128 {
        self.reserved_up_to(used.saturating_add(added)) - self.reserved_up_to(used)
    }

    /// What is set aside when a subnet is filled up to so many bytes: half of the bytes above the threshold times the
    /// seconds for which the last of them is paid ahead.
    fn reserved_up_to(self, used: u64) -> u128 {
        let room = SUBNET_BYTES - RESERVATION_FROM;
        let above = used.min(SUBNET_BYTES).saturating_sub(RESERVATION_FROM);
        let seconds = u128::from(RESERVATION_SECONDS) * u128::from(above) / u128::from(room);
        self.storage(above, u64::try_from(seconds / 2).unwrap_or(u64::MAX))
    }

    /// An HTTPS outcall with a request of so many bytes and a response of at most so many, made by all nodes.
    pub fn http_request(self, request: u64, response_max: u64) -> u128 {
        if self.idle {
            return 0;
        }
        let nodes = u128::from(self.nodes);
        let bytes = OUTCALL_REQUEST_BYTE * u128::from(request)
            + OUTCALL_RESPONSE_BYTE * u128::from(response_max);
        (OUTCALL_NODE + OUTCALL_NODE_NODE * nodes + bytes) * nodes
    }

    /// An HTTPS outcall that is paid for by what it uses: bytes, milliseconds, and instructions of its transform.
    pub fn http_request_v2(
        self,
        request: u64,
        milliseconds: u64,
        raw_response: u64,
        transformed_response: u64,
        instructions: u64,
    ) -> u128 {
        if self.idle {
            return 0;
        }
        let nodes = u128::from(self.nodes);
        let each = 1_000_000
            + 50 * u128::from(request)
            + 140_000 * nodes
            + 800 * nodes * nodes
            + 50 * u128::from(raw_response)
            + 300 * u128::from(milliseconds)
            + u128::from(instructions) / 13
            + (10 * nodes + 650) * u128::from(transformed_response);
        each * nodes
    }

    /// Reading so many bytes of a log from a canister.
    pub fn log_fetch(self, bytes: u64) -> u128 {
        if self.idle {
            return 0;
        }
        (LOG_FETCH + LOG_FETCH_BYTE * u128::from(bytes)) * u128::from(self.nodes)
    }

    /// A threshold signature or key by the key of this name, where there is such a key on the Internet Computer. The
    /// subnet that has the key charges, so it costs the same everywhere.
    pub fn threshold_signature(self, key: &str) -> Option<u128> {
        let price = match key {
            "key_1" => SIGN_PRODUCTION,
            "test_key_1" | "dfx_test_key" => SIGN_TEST,
            _ => return None,
        };
        Some(if self.free { 0 } else { price })
    }

    fn scaled(self, cycles: u128) -> u128 {
        if self.idle {
            0
        } else {
            cycles.saturating_mul(u128::from(self.nodes)) / u128::from(NODES)
        }
    }
}

/// A number of cycles as the Internet Computer writes it in its messages, such as `26_153_846_153`.
pub(crate) fn grouped(cycles: u128) -> String {
    let digits = cycles.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}
