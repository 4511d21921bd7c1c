//! The tensors of a model in the order of its file and of its root. The manifest alone decides them.

use alloc::{format, string::String, vec::Vec};

use super::{Manifest, encoder};

/// Names, rows and columns of all matrices.
pub(crate) fn matrix_shapes(manifest: &Manifest) -> Vec<(String, usize, usize)> {
    let shape = &manifest.shape;
    let (queries, keys) = (
        shape.heads * shape.head_dim,
        shape.kv_heads * shape.head_dim,
    );
    let mut shapes = Vec::new();
    shapes.push(("embedding".into(), shape.vocab, shape.dim));
    if manifest.encoder.is_some() {
        for layer in 0..shape.layers {
            for (name, rows, cols) in encoder::layer_matrices(shape) {
                shapes.push((format!("layers.{layer}.{name}"), rows, cols));
            }
        }
        return shapes;
    }
    for layer in 0..shape.layers {
        for (name, rows, cols) in [
            ("q", queries, shape.dim),
            ("k", keys, shape.dim),
            ("v", keys, shape.dim),
            ("o", shape.dim, queries),
            ("gate", shape.ff, shape.dim),
            ("up", shape.ff, shape.dim),
            ("down", shape.dim, shape.ff),
        ] {
            shapes.push((format!("layers.{layer}.{name}"), rows, cols));
        }
    }
    if !manifest.tied_head {
        shapes.push(("head".into(), shape.vocab, shape.dim));
    }
    shapes
}

/// Names, rows and columns of all vectors and tables; a vector is one row.
pub(crate) fn table_shapes(manifest: &Manifest) -> Vec<(String, usize, usize)> {
    let shape = &manifest.shape;
    let mut shapes = Vec::new();
    if manifest.encoder.is_some() {
        shapes.push(("positions".into(), shape.context_max, shape.dim));
        shapes.push(("embedding_norm.gain".into(), 1, shape.dim));
        shapes.push(("embedding_norm.bias".into(), 1, shape.dim));
        for layer in 0..shape.layers {
            for (name, len) in encoder::layer_tables(shape) {
                shapes.push((format!("layers.{layer}.{name}"), 1, len));
            }
        }
        return shapes;
    }
    let of_layer = manifest.blocks.tables(shape);
    for layer in 0..shape.layers {
        for (name, len) in of_layer.iter().filter(|(_, len)| *len > 0) {
            shapes.push((format!("layers.{layer}.{name}"), 1, *len));
        }
    }
    shapes.push(("final_norm".into(), 1, shape.dim));
    let mut rotations = |name: &str| {
        shapes.push((name.into(), shape.context_max, shape.head_dim / 2));
    };
    rotations("rope.cos");
    rotations("rope.sin");
    if manifest.blocks.window.is_some() {
        rotations("rope.local.cos");
        rotations("rope.local.sin");
    }
    shapes
}
