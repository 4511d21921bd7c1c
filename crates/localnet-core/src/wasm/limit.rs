//! What one function may hold: which operators, and how much work they are for a compiler.

use wasmparser::{FunctionBody, Operator};

use super::{InvalidModule, prepare::invalid};
use crate::limits;

/// Checks a function; `each` sees every operator.
pub(super) fn check_function<'a>(
    index: usize,
    body: &FunctionBody<'a>,
    mut each: impl FnMut(&Operator<'a>),
) -> Result<(), InvalidModule> {
    let mut size = 0;
    let mut complexity = 0;
    for operator in body.get_operators_reader().map_err(invalid)? {
        let operator = operator.map_err(invalid)?;
        if let Some(name) = changes_table(&operator) {
            return Err(InvalidModule::Instruction { index, name });
        }
        size += 1;
        complexity += weight(&operator);
        each(&operator);
    }
    if complexity > limits::FUNCTION_COMPLEXITY_MAX {
        return Err(InvalidModule::FunctionTooComplex {
            index,
            found: complexity,
            max: limits::FUNCTION_COMPLEXITY_MAX,
        });
    }
    if size > limits::FUNCTION_INSTRUCTIONS_MAX {
        return Err(InvalidModule::FunctionTooLong {
            index,
            found: size,
            max: limits::FUNCTION_INSTRUCTIONS_MAX,
        });
    }
    Ok(())
}

/// The name of an operator that changes a table.
fn changes_table(operator: &Operator<'_>) -> Option<&'static str> {
    match operator {
        Operator::TableGrow { .. } => Some("table.grow"),
        Operator::TableSet { .. } => Some("table.set"),
        Operator::TableFill { .. } => Some("table.fill"),
        Operator::TableCopy { .. } => Some("table.copy"),
        Operator::TableInit { .. } => Some("table.init"),
        _ => None,
    }
}

/// The published weight of an operator in a function's complexity.
fn weight(operator: &Operator<'_>) -> usize {
    use Operator as O;
    match operator {
        O::Block { .. }
        | O::Loop { .. }
        | O::If { .. }
        | O::Br { .. }
        | O::BrIf { .. }
        | O::BrTable { .. }
        | O::Call { .. }
        | O::CallIndirect { .. }
        | O::MemoryGrow { .. } => 50,
        O::TableGet { .. } => 14,
        O::RefFunc { .. } => 8,
        O::RefIsNull => 6,
        O::I32TruncF32S
        | O::I32TruncF32U
        | O::I32TruncF64S
        | O::I32TruncF64U
        | O::I64ExtendI32S
        | O::I64ExtendI32U
        | O::I64TruncF32S
        | O::I64TruncF32U
        | O::I64TruncF64S
        | O::I64TruncF64U
        | O::F32ConvertI32S
        | O::F32ConvertI32U
        | O::F32ConvertI64S
        | O::F32ConvertI64U
        | O::F32DemoteF64
        | O::F64ConvertI32S
        | O::F64ConvertI32U
        | O::F64ConvertI64S
        | O::F64ConvertI64U => 5,
        O::F32Neg | O::F32Abs | O::F64Neg | O::F64Abs | O::MemoryCopy { .. } => 4,
        O::F32Copysign
        | O::F64Copysign
        | O::F64Eq
        | O::I32RemU
        | O::I32RemS
        | O::I64RemU
        | O::I64RemS
        | O::I32DivU
        | O::I32DivS
        | O::I64DivU
        | O::I64DivS
        | O::MemoryFill { .. }
        | O::I32Load { .. }
        | O::I64Load { .. }
        | O::F32Load { .. }
        | O::F64Load { .. }
        | O::I32Load8S { .. }
        | O::I32Load8U { .. }
        | O::I32Load16S { .. }
        | O::I32Load16U { .. }
        | O::I64Load8S { .. }
        | O::I64Load8U { .. }
        | O::I64Load16S { .. }
        | O::I64Load16U { .. }
        | O::I64Load32S { .. }
        | O::I64Load32U { .. }
        | O::I32TruncSatF32S
        | O::I32TruncSatF32U
        | O::I32TruncSatF64S
        | O::I32TruncSatF64U
        | O::I64TruncSatF32S
        | O::I64TruncSatF32U
        | O::I64TruncSatF64S
        | O::I64TruncSatF64U => 3,
        O::GlobalGet { .. }
        | O::I32Popcnt
        | O::I64Popcnt
        | O::Select
        | O::MemorySize { .. }
        | O::I32Store { .. }
        | O::I32Store16 { .. }
        | O::I32Store8 { .. }
        | O::I64Store { .. }
        | O::I64Store32 { .. }
        | O::I64Store16 { .. }
        | O::I64Store8 { .. }
        | O::F64Store { .. }
        | O::F32Store { .. }
        | O::I32Eqz
        | O::I32Eq
        | O::I32Ne
        | O::I32LtS
        | O::I32LtU
        | O::I32GtS
        | O::I32GtU
        | O::I32LeS
        | O::I32LeU
        | O::I32GeS
        | O::I32GeU
        | O::I64Eqz
        | O::I64Eq
        | O::I64Ne
        | O::I64LtS
        | O::I64LtU
        | O::I64GtS
        | O::I64GtU
        | O::I64LeS
        | O::I64LeU
        | O::I64GeS
        | O::I64GeU
        | O::F32Eq
        | O::F32Ne
        | O::F32Lt
        | O::F32Gt
        | O::F32Le
        | O::F32Ge
        | O::F64Ne
        | O::F64Lt
        | O::F64Gt
        | O::F64Le
        | O::F64Ge
        | O::F32Ceil
        | O::F64Ceil
        | O::F32Floor
        | O::F64Floor
        | O::F32Sqrt
        | O::F64Sqrt
        | O::F32Trunc
        | O::F64Trunc
        | O::I32ReinterpretF32
        | O::I64ReinterpretF64
        | O::F32ReinterpretI32
        | O::F64ReinterpretI64
        | O::I32WrapI64
        | O::I32Extend8S
        | O::I32Extend16S
        | O::I64Extend8S
        | O::I64Extend16S
        | O::I64Extend32S
        | O::F64PromoteF32 => 2,
        _ => 1,
    }
}
