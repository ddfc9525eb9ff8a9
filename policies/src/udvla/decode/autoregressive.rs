//! Autoregressive decoding: one id after another, each the argmax.

use udvla_sims::identity::Subject;

use super::decoder::{Decoder, Observer};
use super::generator::Generator;
use super::left_to_right::{Greedy, Progress};
use super::options::{DecoderKind, DecodingDefaults, DecodingOptions};
use super::request::{DecodeError, Generated, Request};

/// Autoregressive decoding by name.
pub(super) const KIND: DecoderKind = DecoderKind {
    name: "ar",
    summary: "One id after another, each the most probable",
    left_to_right: true,
    approximate_cache: false,
    options: &[],
};

/// Autoregressive decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Autoregressive;

pub(super) fn open(
    _: &DecodingOptions,
    _: &DecodingDefaults,
    _: &mut Subject,
) -> Result<Box<dyn Decoder>, String> {
    Ok(Box::new(Autoregressive))
}

impl Decoder for Autoregressive {
    fn decode(
        &self,
        generator: &Generator,
        requests: &[Request],
        _: &mut dyn Observer,
    ) -> Result<Vec<Generated>, DecodeError> {
        requests.iter().map(|request| decode_one(generator, request)).collect()
    }
}

fn decode_one(generator: &Generator, request: &Request) -> Result<Generated, DecodeError> {
    let block = request.block;
    let greedy = Greedy { generator, block };
    let mut progress = greedy.begin(request.prompt)?;
    let mut ids: Vec<i64> = vec![];
    while ids.len() < block.ids.len() {
        let id = greedy.given(ids.len()).unwrap_or(progress.next);
        ids.push(id);
        if greedy.is_end(id) {
            break;
        }
        let (hidden, cache) = greedy.forward(&[id], Some(&progress.cache))?;
        progress = Progress { cache, next: greedy.predict(&hidden, ids.len())?[0] };
    }
    Ok(Generated { ids, remarks: vec![] })
}
