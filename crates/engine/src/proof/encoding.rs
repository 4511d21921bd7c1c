//! Proofs as bytes; the layout is drawn in the documentation of [`super`].

use alloc::{string::String, vec::Vec};

use super::{Operator, PROOF_BYTES_MAX, Place, Proof, ProofError, Step};
use crate::{model::manifest::MANIFEST_BYTES_MAX, trace::Hash};

const TAG: &[u8; 16] = b"CIS-1/proof/0001";
/// Tag, five numbers of the place and three lengths.
const FIXED_BYTES: usize = 16 + 4 * 8;

impl Proof {
    /// The bytes of the proof.
    pub fn encode(&self) -> Result<Vec<u8>, ProofError> {
        let Self {
            place,
            positions,
            manifest,
            opened,
            hashes,
        } = self;
        let Place {
            position,
            operator: Operator { layer, step },
            tile,
        } = *place;
        let found = self.bytes();
        if found > PROOF_BYTES_MAX {
            return Err(ProofError::Length { found });
        }
        let mut bytes = Vec::with_capacity(found);
        bytes.extend_from_slice(TAG);
        for number in [position, *positions, layer, step.code(), tile] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let mut put = |count: usize, part: &[u8]| {
            bytes.extend_from_slice(&(count as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        put(manifest.len(), manifest.as_bytes());
        put(opened.len(), opened);
        put(hashes.len(), hashes.as_flattened());
        Ok(bytes)
    }

    /// How many bytes [`Proof::encode`] gives.
    pub fn bytes(&self) -> usize {
        FIXED_BYTES + self.manifest.len() + self.opened.len() + 32 * self.hashes.len()
    }

    /// Reads exactly these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > PROOF_BYTES_MAX {
            let found = bytes.len();
            return Err(ProofError::Length { found });
        }
        let rest = bytes.strip_prefix(TAG).ok_or(ProofError::Version)?;
        let mut reader = Reader { rest };
        let position = reader.number("place")?;
        let positions = reader.number("place")?;
        let layer = reader.number("place")?;
        let step = reader.number("place")?;
        let tile = reader.number("place")?;
        let step = Step::from_code(step).ok_or(ProofError::Step(step))?;
        let length = reader.number("manifest")? as usize;
        if length > MANIFEST_BYTES_MAX {
            return Err(ProofError::End("manifest"));
        }
        let manifest = reader.take(length, "manifest")?.to_vec();
        let manifest = String::from_utf8(manifest).map_err(|_| ProofError::ManifestText)?;
        let length = reader.number("opened bytes")? as usize;
        let opened = reader.take(length, "opened bytes")?.to_vec();
        let count = reader.number("hashes")? as usize;
        let length = count.saturating_mul(32);
        let (hashes, _): (&[Hash], _) = reader.take(length, "hashes")?.as_chunks();
        if !reader.rest.is_empty() {
            return Err(ProofError::End("hashes"));
        }
        Ok(Self {
            place: Place {
                position,
                operator: Operator { layer, step },
                tile,
            },
            positions,
            manifest,
            opened,
            hashes: hashes.to_vec(),
        })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], ProofError> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(ProofError::End(what))?;
        self.rest = rest;
        Ok(head)
    }

    fn number(&mut self, what: &'static str) -> Result<u32, ProofError> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4, what)?);
        Ok(u32::from_le_bytes(bytes))
    }
}
