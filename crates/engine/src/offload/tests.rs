use super::*;
use crate::{
    accelerator::{Host, tests::Spoiled},
    encoder,
    forward::{Kernels, Options, Session},
    model::tiny::{Family, Mix},
    run::{self, Request},
};

/// The host as a device with room for so many weights, that fails after so many products.
struct Limited {
    host: Host,
    room: usize,
    products: usize,
}

impl Limited {
    /// A device whose limits begin behind the known answers for this model.
    fn shared(model: &Model, room: usize, products: usize) -> Arc<Offload> {
        let shape = &model.shape;
        let widest = shape.dim.max(shape.ff).max(shape.heads * shape.head_dim);
        let mut all = Self {
            host: Host::default(),
            room: usize::MAX,
            products: usize::MAX,
        };
        kat::run_accelerator(&mut all, widest).unwrap();
        Offload::new(Box::new(Self {
            host: Host::default(),
            room: room.saturating_add(usize::MAX - all.room),
            products: products.saturating_add(usize::MAX - all.products),
        }))
    }
}

impl Accelerator for Limited {
    fn load(
        &mut self,
        rows: usize,
        cols: usize,
        weights: &[i8],
    ) -> Result<Handle, AcceleratorError> {
        let bytes = weights.len();
        self.room = self
            .room
            .checked_sub(bytes)
            .ok_or(AcceleratorError::Memory { bytes })?;
        self.host.load(rows, cols, weights)
    }

    fn multiply(
        &mut self,
        matrix: Handle,
        x: &PlaneBatch<'_>,
        sums: &mut [i64],
    ) -> Result<(), AcceleratorError> {
        self.products = self.products.checked_sub(1).ok_or_else(lost)?;
        self.host.multiply(matrix, x, sums)
    }
}

fn lost() -> AcceleratorError {
    AcceleratorError::Lost("unplugged".into())
}

fn models() -> Vec<Model> {
    let families = Family::ALL.map(|family| Model::tiny_of(family, 9));
    [Model::tiny(1), Model::tiny_half_split(2)]
        .into_iter()
        .chain(families)
        .collect()
}

/// What prefill, decode, a draw after each token and a batch leave: logits' bits, drawn tokens, roots.
fn left(model: &Model, options: &Options) -> (Vec<u32>, Vec<u32>, Vec<[u8; 32]>) {
    let mut mix = Mix::new(5);
    let tokens: Vec<u32> = (0..150)
        .map(|_| mix.below(model.shape.vocab as u64) as u32)
        .collect();
    let mut session = Session::new(model, tokens.len() + 1, options).unwrap();
    session.prefill(&tokens).unwrap();
    let logits = session.decode(tokens[0]).unwrap();
    let logits = logits.iter().map(|logit| logit.to_bits()).collect();
    let mut roots = vec![session.trace().root(tokens.len() + 1)];
    let request = Request {
        input: &tokens[..20],
        max_tokens: 6,
        ..Request::default()
    };
    let go_on = &mut |_, _| std::ops::ControlFlow::Continue(());
    let transcript = run::generate(model, &request, options, go_on).unwrap();
    let (output, finish) = (&transcript.output, transcript.finish);
    let checked = run::check(model, &request, output, finish, options).unwrap();
    assert_eq!(checked, run::Checked::Match(transcript.clone()));
    roots.push(transcript.trace_root);
    (logits, transcript.output, roots)
}

fn options(threads: usize, prefill_chunk: usize) -> Options {
    Options {
        threads,
        prefill_chunk,
        kernels: Kernels::Auto,
    }
}

#[test]
fn a_model_on_a_device_gives_the_same_bits() {
    for model in models() {
        let expected = left(&model, &options(1, 96));
        let device = Limited::shared(&model, usize::MAX, usize::MAX);
        let mut placed_model = model.clone();
        let placed = placed_model.offload(&device).unwrap();
        assert_eq!(
            (placed.matrices, placed.left),
            (7 * model.shape.layers + 1, 0)
        );
        for options in [options(1, 1), options(2, 7), options(3, 128)] {
            let before = device.calls();
            assert_eq!(left(&placed_model, &options), expected);
            assert!(device.calls() > before);
        }
        assert_eq!(device.failure(), None);
    }
}

#[test]
fn what_has_no_room_stays_on_the_host() {
    let model = Model::tiny(3);
    let expected = left(&model, &options(1, 96));
    let layers: usize = model
        .layers
        .iter()
        .map(|layer| layer.q.weights().len() + layer.gate.weights().len())
        .sum();
    for room in [0, 1, layers, 3 * layers] {
        let device = Limited::shared(&model, room, usize::MAX);
        let mut some = model.clone();
        let placed = some.offload(&device).unwrap();
        assert!(placed.left > 0 && placed.weights <= room as u64);
        assert_eq!(placed.matrices + placed.left, 7 * model.shape.layers + 1);
        assert_eq!(left(&some, &options(2, 16)), expected, "{placed:?}");
    }
}

#[test]
fn a_device_that_is_lost_leaves_the_rest_to_the_host() {
    let model = Model::tiny(4);
    let expected = left(&model, &options(1, 96));
    for products in [0, 1, 2, 9, 50] {
        let device = Limited::shared(&model, usize::MAX, products);
        let mut placed = model.clone();
        placed.offload(&device).unwrap();
        assert_eq!(left(&placed, &options(2, 100)), expected);
        assert_eq!(device.failure(), Some(&lost()));
        assert_eq!(device.calls(), products as u64);
    }
}

#[test]
fn a_device_whose_code_panics_is_not_asked_again() {
    let model = Model::tiny(1);
    let expected = left(&model, &options(1, 96));
    let device = Offload::new(Box::new(Spoiled(Host::default(), |_: &mut [i64]| {
        panic!("as a driver might")
    })));
    assert!(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            model.clone().offload(&device)
        }))
        .is_err()
    );
    let mut placed = model.clone();
    let told = placed.offload(&device);
    assert!(matches!(told, Err(KatFailure::Accelerator(_))), "{told:?}");
    assert_eq!(left(&placed, &options(1, 96)), expected);
}

#[test]
fn a_matrix_that_a_device_refuses_is_an_error() {
    struct Never;
    impl Accelerator for Never {
        fn load(&mut self, _: usize, _: usize, _: &[i8]) -> Result<Handle, AcceleratorError> {
            Err(lost())
        }
        fn multiply(
            &mut self,
            _: Handle,
            _: &PlaneBatch<'_>,
            _: &mut [i64],
        ) -> Result<(), AcceleratorError> {
            Err(lost())
        }
    }
    let device = Offload::new(Box::new(Never));
    let refused = Err(KatFailure::Accelerator(lost()));
    assert_eq!(Model::tiny(1).offload(&device), refused);
}

#[test]
fn a_device_that_is_not_exact_takes_no_model() {
    let device = Offload::new(Box::new(Spoiled(Host::default(), |sums: &mut [i64]| {
        sums[0] += 1;
    })));
    let told = Model::tiny(1).offload(&device);
    assert!(matches!(told, Err(KatFailure::Wrong { .. })), "{told:?}");
}

#[test]
fn an_encoder_on_a_device_gives_the_same_bits() {
    let model = Encoder::tiny(1);
    let text: Vec<u32> = (0..40)
        .map(|token| token % model.shape.vocab as u32)
        .collect();
    let vector = |model: &Encoder| encoder::embed(model, &text, &options(2, 64)).unwrap();
    let expected = vector(&model);
    let device = Offload::new(Box::new(Host::default()));
    let mut placed = model.clone();
    let matrices = placed.offload(&device).unwrap().matrices;
    assert_eq!(matrices, 6 * model.shape.layers);
    assert_eq!(vector(&placed), expected);
    assert_eq!(device.calls(), matrices as u64);
}
