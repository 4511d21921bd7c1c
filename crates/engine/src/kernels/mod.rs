//! Fast code for the operators: blocked, vectorised and threaded, equal to [`crate::ops`] bit for bit.
//!
//! Only exact integer sums are reordered; maps run the same F32Z sequence per element. `unsafe` lives here and nowhere else in the forward
//! pass: vector loads and stores, and shared buffers that threads write in disjoint parts.

#![allow(
    unsafe_code,
    reason = "vector loads and stores, and disjoint writes from several threads"
)]

#[cfg(target_arch = "x86_64")]
mod amx;
pub(crate) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod known;
pub(crate) mod maps;
pub(crate) mod matmul;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod pages;
pub(crate) mod pool;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use crate::forward::Kernels;

/// An instruction set that this machine was found to have. Invariant: a value exists only after detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Amx,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
}

impl Level {
    /// What this machine has, slowest first.
    pub(crate) fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "some machines have no other level")]
        let mut found = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                found.push(Self(Kind::Avx2));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                found.push(Self(Kind::Avx512));
                if amx::permitted() {
                    found.push(Self(Kind::Amx));
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            if std::arch::is_aarch64_feature_detected!("neon") {
                found.push(Self(Kind::Neon));
                if std::arch::is_aarch64_feature_detected!("dotprod") {
                    found.push(Self(Kind::NeonDot));
                }
            }
        }
        // A module with these instructions does not load where they are missing, so there is nothing to detect.
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        found.push(Self(Kind::Simd128));
        found
    }

    /// The level for a wish, or none when this machine lacks it.
    pub(crate) fn choose(kernels: Kernels) -> Option<Self> {
        let mut available = Self::available().into_iter();
        match kernels {
            Kernels::Auto => available.next_back(),
            wish => available.find(|level| Kernels::from(*level) == wish),
        }
    }
}

impl From<Level> for Kernels {
    fn from(level: Level) -> Self {
        match level.0 {
            Kind::Portable => Self::Portable,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Self::Avx2,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => Self::Amx,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => Self::Neon,
            #[cfg(target_arch = "aarch64")]
            Kind::NeonDot => Self::NeonDot,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 => Self::Simd128,
        }
    }
}

/// Compiles one inlined body for every level and picks by the level in hand.
macro_rules! per_level {
    ($(#[$meta:meta])* pub(crate) fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path;) => {
        $(#[$meta])*
        pub(crate) fn $name(level: $crate::kernels::Level, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            match level.0 {
                $crate::kernels::Kind::Portable => $body($($arg),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level exists, so the features were detected.
                $crate::kernels::Kind::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level exists, so the features were detected.
                $crate::kernels::Kind::Avx512 | $crate::kernels::Kind::Amx => unsafe { avx512($($arg),*) },
                // Compiled with these instructions everywhere.
                #[cfg(target_arch = "aarch64")]
                $crate::kernels::Kind::Neon | $crate::kernels::Kind::NeonDot => $body($($arg),*),
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                $crate::kernels::Kind::Simd128 => $body($($arg),*),
            }
        }
    };
}
pub(crate) use per_level;
