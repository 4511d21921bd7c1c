//! What compiling a module costs, in instructions, as the Internet Computer counts it.
//!
//! It counts the operators of the module as they are compiled there: with those that count down instructions, which
//! are put at the beginning of every straight piece of code and around those whose price depends on an operand. Two
//! functions and three globals are added to each module. What stable memory functions are replaced by is not counted
//! here; it is a few hundred operators where a module has them all.

use wasmparser::{FunctionBody, Operator};

use super::{InvalidModule, prepare::invalid};

/// Instructions for making any canister's state from a module.
const BASE: u64 = 20_000_000;
/// Instructions for compiling one operator, or one byte of a module that cannot be compiled.
const EACH: u64 = 6_000;
/// How much less it takes where the subnet has compiled the module before.
const KNOWN_FACTOR: u64 = 100;
/// Operators that every module gets: those of two functions, and of three globals with their ends.
const ADDED: u64 = 20 + 46 + 3 * 2;
/// Operators of a global: its value and an end.
const GLOBAL: u64 = 2;
/// Operators that count instructions down, and those that look whether any are left.
const COUNT: u64 = 4;
const LOOK: u64 = 6;
/// Operators around a memory's growth.
const GROW: u64 = 3;

/// Instructions for compiling a module with so many operators; see [`function`].
pub(crate) fn compiling(operators: u64, known: bool) -> u64 {
    let compiling = operators.saturating_mul(EACH);
    BASE + if known {
        compiling / KNOWN_FACTOR
    } else {
        compiling
    }
}

/// Instructions for finding out that a module cannot be compiled.
pub(crate) fn refusing(sent: &[u8]) -> u64 {
    BASE + (declared_bytes(sent) as u64).saturating_mul(EACH)
}

/// The length of a module as it says itself, where it is packed.
fn declared_bytes(sent: &[u8]) -> usize {
    match sent.last_chunk() {
        Some(length) if sent.starts_with(&[0x1f, 0x8b, 0x08]) => {
            sent.len().max(u32::from_le_bytes(*length) as usize)
        }
        _ => sent.len(),
    }
}

/// Operators of a module besides its functions'.
pub(super) fn outside_functions(globals: usize) -> u64 {
    ADDED + GLOBAL * globals as u64
}

/// Operators of a function as it is compiled.
pub(super) fn function(body: &FunctionBody<'_>, wide: bool) -> Result<u64, InvalidModule> {
    use Operator as O;
    let mut operators = 0;
    // Functions and loops look whether instructions are left; other pieces only count, and only if they cost.
    let (mut looks, mut costs) = (true, true);
    for operator in body.get_operators_reader().map_err(invalid)? {
        let operator = operator.map_err(invalid)?;
        costs |= !matches!(
            operator,
            O::Block { .. } | O::Loop { .. } | O::Else | O::End
        );
        let (ends, next_looks) = match operator {
            O::Loop { .. } => (true, true),
            O::If { .. }
            | O::Else
            | O::End
            | O::Br { .. }
            | O::BrIf { .. }
            | O::BrTable { .. }
            | O::Return
            | O::Unreachable
            | O::ReturnCall { .. }
            | O::ReturnCallIndirect { .. } => (true, false),
            _ => (false, false),
        };
        if ends {
            operators += match (looks, costs) {
                (true, _) => COUNT + LOOK,
                (false, true) => COUNT,
                (false, false) => 0,
            };
            (looks, costs) = (next_looks, false);
        }
        operators += 1 + match operator {
            O::MemoryGrow { .. } => GROW,
            // A call, with the operand made wide and narrow again where it is not wide.
            O::MemoryFill { .. } | O::MemoryCopy { .. } if wide => 1,
            O::MemoryFill { .. } | O::MemoryCopy { .. } | O::MemoryInit { .. } => 3,
            _ => 0,
        };
    }
    Ok(operators)
}

#[cfg(test)]
mod tests {
    use wasmparser::{Parser, Payload};

    use super::*;

    fn operators(body: &str) -> u64 {
        let module = wat::parse_str(format!("(module (memory 1) (func {body}))")).unwrap();
        Parser::new(0)
            .parse_all(&module)
            .find_map(|payload| match payload.unwrap() {
                Payload::CodeSectionEntry(body) => Some(function(&body, false).unwrap()),
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn operators_are_counted_with_those_that_count_instructions() {
        // An end, and before it the counting at the function's beginning.
        assert_eq!(operators(""), 10 + 1);
        assert_eq!(operators("nop nop"), 10 + 3);
        // The block's end begins a piece that costs nothing.
        assert_eq!(operators("(block)"), 10 + 3);
        assert_eq!(operators("(block nop) nop"), 10 + 4 + 5);
        assert_eq!(operators("(loop nop)"), 10 + 10 + 4);
        assert_eq!(operators("(loop)"), 10 + 10 + 3);
        // i32.const, if, nop, else, nop, end, end; three pieces that cost.
        assert_eq!(
            operators("(if (i32.const 0) (then nop) (else nop))"),
            10 + 4 + 4 + 7
        );
        assert_eq!(operators("(block (br_if 0 (i32.const 0)) nop)"), 10 + 4 + 6);
        assert_eq!(operators("return nop"), 10 + 4 + 3);
        assert_eq!(operators("(drop (memory.grow (i32.const 1)))"), 10 + 3 + 4);
        let bulk = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))";
        assert_eq!(operators(bulk), 10 + 3 + 5);
    }

    #[test]
    fn modules_that_are_known_or_broken_cost_otherwise() {
        assert_eq!(compiling(100, false), 20_000_000 + 600_000);
        assert_eq!(compiling(100, true), 20_000_000 + 6_000);
        assert_eq!(refusing(b"no module"), 20_000_000 + 9 * 6_000);
        let packed = [0x1f, 0x8b, 0x08, 0x10, 0x27, 0, 0];
        assert_eq!(refusing(&packed), 20_000_000 + 10_000 * 6_000);
        assert_eq!(outside_functions(3), 20 + 46 + 6 + 6);
    }
}
