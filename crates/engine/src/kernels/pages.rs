//! Keys and values of one sequence, in pages that sequences share.
//!
//! A page holds the same [`PAGE`] positions of every layer and head. Within one head's part keys lie as (block of 16 positions, group of 4
//! dimensions, position in block, dimension in group), offset by 128 to unsigned, so that a vector holds one group of 16 positions.
//! Values lie as (quad of positions, dimension, position in quad), so that a vector holds four positions of 16 dimensions. Dimensions
//! are padded with zeros; positions not yet written get weight zero.
//!
//! What a page holds depends on the tokens up to its end only, so sequences that begin alike share their first pages. A shared page is
//! copied before it is written to.

use std::sync::Arc;

use super::attention::BLOCK;
use crate::model::Shape;

/// Positions of a page: whole blocks.
pub(crate) const PAGE: usize = 4 * BLOCK;
/// Values of this many dimensions fill a vector.
const DIMS_STEP: usize = 16;

/// Sizes that all pages of a model have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    layers: usize,
    kv_heads: usize,
    head_dim: usize,
    groups: usize, // of four dimensions, in keys
    dims: usize,   // padded, in values
}

/// Keys and values of [`PAGE`] positions.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    keys: Vec<u8>,          // (layer, kv_head, block, group, 16, 4)
    values: Vec<i8>,        // (layer, kv_head, quad, dim, 4)
    key_scales: Vec<f32>,   // (layer, kv_head, position)
    value_scales: Vec<f32>, // (layer, kv_head, position)
}

/// The pages of one sequence.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    geometry: Geometry,
    pages: Vec<Arc<Page>>,
}

/// One head of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    geometry: Geometry,
    index: usize,
    pages: &'a [Arc<Page>],
}

/// One head's part of a page.
pub(crate) struct Part<'a> {
    pub(crate) keys: &'a [u8],
    pub(crate) values: &'a [i8],
    pub(crate) key_scales: &'a [f32],
    pub(crate) value_scales: &'a [f32],
}

/// Key and value rows of several tokens, as the trace sees them.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) keys: Vec<i8>,          // (token, kv_head, head_dim)
    pub(crate) key_scales: Vec<f32>,   // (token, kv_head)
    pub(crate) values: Vec<i8>,        // (token, kv_head, head_dim)
    pub(crate) value_scales: Vec<f32>, // (token, kv_head)
}

impl Geometry {
    fn new(shape: &Shape) -> Self {
        Self {
            layers: shape.layers,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            groups: shape.head_dim.div_ceil(4),
            dims: shape.head_dim.next_multiple_of(DIMS_STEP),
        }
    }

    fn page(&self) -> Page {
        let positions = self.layers * self.kv_heads * PAGE;
        Page {
            keys: vec![128; positions * self.groups * 4],
            values: vec![0; positions * self.dims],
            key_scales: vec![0.0; positions],
            value_scales: vec![0.0; positions],
        }
    }
}

impl Cache {
    /// Without any position.
    pub(crate) fn new(shape: &Shape) -> Self {
        Self {
            geometry: Geometry::new(shape),
            pages: Vec::new(),
        }
    }

    /// One that goes on behind whole pages of another sequence of the same model.
    pub(crate) fn behind(shape: &Shape, pages: Vec<Arc<Page>>) -> Self {
        Self {
            geometry: Geometry::new(shape),
            pages,
        }
    }

    /// Bytes of one page.
    pub(crate) fn page_bytes(shape: &Shape) -> usize {
        let Geometry {
            layers,
            kv_heads,
            groups,
            dims,
            ..
        } = Geometry::new(shape);
        layers * kv_heads * PAGE * (groups * 4 + dims + 2 * size_of::<f32>())
    }

    /// A page of this sequence, to be shared.
    pub(crate) fn page(&self, index: usize) -> Arc<Page> {
        self.pages[index].clone()
    }

    /// Makes room for this many positions.
    pub(crate) fn reserve(&mut self, positions: usize) {
        let Self { geometry, pages } = self;
        let wanted = positions.div_ceil(PAGE);
        if wanted > pages.len() {
            pages.resize_with(wanted, || Arc::new(geometry.page()));
        }
    }

    /// Writes rows of a layer for `tokens` tokens, the first of them at `position` and in row `from`. There is room for them.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        position: usize,
        rows: &Rows,
        from: usize,
        tokens: usize,
    ) {
        let Geometry {
            kv_heads,
            head_dim,
            groups,
            dims,
            ..
        } = self.geometry;
        for token in 0..tokens {
            let (page, at) = ((position + token) / PAGE, (position + token) % PAGE);
            let page = Arc::make_mut(&mut self.pages[page]);
            for head in 0..kv_heads {
                let (index, row) = (layer * kv_heads + head, (from + token) * kv_heads + head);
                page.key_scales[index * PAGE + at] = rows.key_scales[row];
                page.value_scales[index * PAGE + at] = rows.value_scales[row];
                let block = (index * PAGE + at / BLOCK * BLOCK) * groups * 4;
                let block = &mut page.keys[block..][..BLOCK * groups * 4];
                let keys = &rows.keys[row * head_dim..(row + 1) * head_dim];
                for (group, key) in keys.chunks(4).enumerate() {
                    let cell = (group * BLOCK + at % BLOCK) * 4;
                    for (cell, k) in block[cell..].iter_mut().zip(key) {
                        *cell = *k as u8 ^ 0x80;
                    }
                }
                let quad = &mut page.values[(index * PAGE + at / 4 * 4) * dims..][..4 * dims];
                let values = &rows.values[row * head_dim..(row + 1) * head_dim];
                for (dim, v) in values.iter().enumerate() {
                    quad[dim * 4 + at % 4] = *v;
                }
            }
        }
    }

    /// One head of one layer.
    pub(crate) fn head(&self, layer: usize, kv_head: usize) -> Head<'_> {
        Head {
            geometry: self.geometry,
            index: layer * self.geometry.kv_heads + kv_head,
            pages: &self.pages,
        }
    }
}

impl<'a> Head<'a> {
    /// Padded width of a value.
    pub(crate) fn dims(&self) -> usize {
        self.geometry.dims
    }

    /// This head's part of a page.
    pub(crate) fn part(&self, page: usize) -> Part<'a> {
        let page: &'a Page = &self.pages[page];
        let of = |per_position: usize| {
            let len = PAGE * per_position;
            self.index * len..(self.index + 1) * len
        };
        Part {
            keys: &page.keys[of(self.geometry.groups * 4)],
            values: &page.values[of(self.geometry.dims)],
            key_scales: &page.key_scales[of(1)],
            value_scales: &page.value_scales[of(1)],
        }
    }
}

impl Rows {
    pub(crate) fn new(shape: &Shape, tokens: usize) -> Self {
        let heads = tokens * shape.kv_heads;
        let (len, scales) = (heads * shape.head_dim, heads);
        Self {
            keys: vec![0; len],
            key_scales: vec![0.0; scales],
            values: vec![0; len],
            value_scales: vec![0.0; scales],
        }
    }
}
