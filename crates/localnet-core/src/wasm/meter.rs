//! What each Wasm operator costs, as the Internet Computer publishes it.
//!
//! Wasmtime subtracts these from its fuel, and one unit whenever a function of the module is entered, as the network
//! does. What its table cannot say, the rewritten module says by one-unit `nop`s before an operator ([`padding`]):
//! prices above 255, and those that depend on the width of the memory.
//!
//! Tables cannot be changed by canisters, so what that would cost is not here.

use wasmparser::Operator;
use wasmtime::OperatorCost;

/// The most that the price table can hold.
const MAX_PRICE: u8 = 255;
/// Published price of growing a memory, or of dropping a segment.
const GROW_OR_DROP: usize = 300;
/// How much dearer a load or a store is in a 64-bit memory.
const WIDE_ACCESS: usize = 1;

/// The price table, but for [`padding`].
pub(super) fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::default();
    macro_rules! price {
        ($($value:expr => $($op:ident)+;)*) => { $($(cost.$op = $value;)+)* };
    }
    price! {
        0 => Block Loop Else End;
        1 => Nop Drop Return Unreachable;
        2 => If Br BrIf BrTable;
        5 => Call;
        10 => CallIndirect;
        3 => ReturnCall;
        60 => ReturnCallIndirect;
        5 => RefIsNull TableGet;
        130 => RefFunc;
        2 => GlobalGet GlobalSet;
        20 => MemorySize;
        100 => TableSize MemoryFill MemoryCopy MemoryInit;
        MAX_PRICE => MemoryGrow DataDrop ElemDrop;
        10 => I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU;
        2 => F32Add F32Sub F32Mul F32Ceil F32Floor F32Trunc F32Nearest;
        2 => F64Add F64Sub F64Mul F64Ceil F64Floor F64Trunc F64Nearest;
        3 => F32Div F64Copysign;
        5 => F64Div F32Sqrt;
        8 => F64Sqrt;
        2 => F32Copysign;
        18 => F32Min F32Max F64Min F64Max;
        3 => F32Eq F32Ne F32Lt F32Gt F32Le F32Ge F64Eq F64Ne F64Lt F64Gt F64Le F64Ge;
        3 => F32ConvertI32S F32ConvertI64S F64ConvertI32S F64ConvertI64S;
        16 => F32ConvertI32U F32ConvertI64U F64ConvertI32U F64ConvertI64U;
        20 => I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U;
        20 => I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U;
        20 => I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U;
        20 => I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U;
        3 => I8x16Shuffle I8x16Popcnt I8x16Shl I8x16ShrS I64x2ShrS I32x4ExtAddPairwiseI16x8U;
        2 => I8x16ShrU I16x8Shl I16x8ShrS I16x8ShrU I32x4Shl I32x4ShrS I32x4ShrU I64x2Shl I64x2ShrU;
        2 => I8x16LtU I8x16GtU I16x8LtU I16x8GtU I32x4LtU I32x4GtU;
        2 => I16x8ExtAddPairwiseI8x16U I16x8ExtMulHighI8x16S I16x8ExtMulHighI8x16U I32x4Mul;
        2 => I32x4ExtMulLowI16x8S I32x4ExtMulHighI16x8S I32x4ExtMulLowI16x8U I32x4ExtMulHighI16x8U;
        4 => I64x2Mul;
        2 => F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F32x4Abs F32x4Neg F32x4Add F32x4Sub F32x4Mul;
        2 => F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest F64x2Abs F64x2Neg F64x2Add F64x2Sub F64x2Mul;
        5 => F32x4Sqrt F64x2Max;
        14 => F64x2Sqrt;
        10 => F32x4Div;
        12 => F64x2Div;
        4 => F32x4Min F32x4Max F64x2Min I32x4TruncSatF32x4U F32x4ConvertI32x4U;
        2 => I32x4TruncSatF32x4S I32x4TruncSatF64x2SZero;
        3 => I32x4TruncSatF64x2UZero;
    }
    cost
}

/// How many `nop`s to put before an operator; `wide` says that the module's memory has 64-bit addresses.
pub(super) fn padding(operator: &Operator<'_>, wide: bool) -> usize {
    match operator {
        Operator::MemoryGrow { .. } | Operator::DataDrop { .. } | Operator::ElemDrop { .. } => {
            GROW_OR_DROP - MAX_PRICE as usize
        }
        _ if wide && accesses_memory(operator) => WIDE_ACCESS,
        _ => 0,
    }
}

/// Whether the operator loads from memory or stores to it.
fn accesses_memory(operator: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::I32Load { .. }
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
            | O::I32Store { .. }
            | O::I64Store { .. }
            | O::F32Store { .. }
            | O::F64Store { .. }
            | O::I32Store8 { .. }
            | O::I32Store16 { .. }
            | O::I64Store8 { .. }
            | O::I64Store16 { .. }
            | O::I64Store32 { .. }
            | O::V128Load { .. }
            | O::V128Load8x8S { .. }
            | O::V128Load8x8U { .. }
            | O::V128Load16x4S { .. }
            | O::V128Load16x4U { .. }
            | O::V128Load32x2S { .. }
            | O::V128Load32x2U { .. }
            | O::V128Load8Splat { .. }
            | O::V128Load16Splat { .. }
            | O::V128Load32Splat { .. }
            | O::V128Load64Splat { .. }
            | O::V128Load32Zero { .. }
            | O::V128Load64Zero { .. }
            | O::V128Store { .. }
            | O::V128Load8Lane { .. }
            | O::V128Load16Lane { .. }
            | O::V128Load32Lane { .. }
            | O::V128Load64Lane { .. }
            | O::V128Store8Lane { .. }
            | O::V128Store16Lane { .. }
            | O::V128Store32Lane { .. }
            | O::V128Store64Lane { .. }
    )
}
