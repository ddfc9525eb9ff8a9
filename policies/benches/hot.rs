//! Pure functions that run for every observation: `cargo bench --package udvla-policies`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use udvla_policies::frames::{Array, Value, openpi};
use udvla_policies::vision::resize_bicubic;

/// An image without pattern, [side, side, 3].
fn image(side: usize) -> Vec<u8> {
    (0..3 * side * side).map(|index| ((index * 2_654_435_761) >> 13) as u8).collect()
}

/// LIBERO's images as the model's tokenizer takes them.
fn resize(criterion: &mut Criterion) {
    let pixels = image(256);
    for side in [200, 80] {
        criterion.bench_function(&format!("resize 256 to {side}"), |bencher| {
            bencher.iter(|| resize_bicubic(black_box(&pixels), (256, 256), (side, side)));
        });
    }
}

/// An observation of LIBERO as openpi's protocol has it.
fn frames(criterion: &mut Criterion) {
    let array = |side: usize| Value::Array(Array::u8(&[side, side, 3], image(side)).unwrap());
    let state = Array::f64(&[8], &[0.1; 8]).unwrap();
    let observation = Value::map([
        ("observation/image", array(224)),
        ("observation/wrist_image", array(224)),
        ("observation/state", Value::Array(state)),
    ]);
    let bytes = openpi::encode(&observation);
    criterion.bench_function("encode an observation", |bencher| {
        bencher.iter(|| openpi::encode(black_box(&observation)));
    });
    criterion.bench_function("decode an observation", |bencher| {
        bencher.iter(|| openpi::decode(black_box(&bytes)).unwrap());
    });
}

criterion_group!(benches, resize, frames);
criterion_main!(benches);
