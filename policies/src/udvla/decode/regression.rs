//! Direct regression: the action chunk as numbers from the prompt alone, without denoising.
//!
//! A baseline of what the image codes hold, for checkpoints whose training left the weights for it
//! (the folder `regression`, written by `udvla-eval train`). Images are not generated.

use tch::{Kind, Tensor};
use udvla_sims::identity::Subject;

use super::decoder::{Decoder, Observer};
use super::generator::Generator;
use super::options::{DecoderKind, DecodingDefaults, DecodingOptions};
use super::request::{DecodeError, Generated, Request};
use crate::tokens::FastTokenizer;
use crate::udvla::model::{Sequence, Span, mask};

/// Direct regression by name.
pub(super) const KIND: DecoderKind = DecoderKind {
    name: "regression",
    summary: "The chunk regressed from the prompt, without denoising (a baseline)",
    left_to_right: false,
    approximate_cache: false,
    options: &[],
};

/// A linear map from the prompt's last hidden state to a chunk.
#[derive(Debug)]
pub struct Regression {
    weight: Vec<f32>, // [horizon * width, d]
    bias: Vec<f32>,   // [horizon * width]
    fast: FastTokenizer,
    horizon: usize,
    width: usize,
}

pub(super) fn open(
    _: &DecodingOptions,
    defaults: &DecodingDefaults,
    _: &mut Subject,
) -> Result<Box<dyn Decoder>, String> {
    let DecodingDefaults { checkpoint, benchmark, .. } = defaults;
    let layout = &benchmark.layout;
    let (horizon, width) = (usize::from(layout.horizon), layout.action_width);
    let outputs = (horizon * width) as i64;
    let d = checkpoint.config().map_err(|error| error.to_string())?.sizes.hidden_size;
    let [weight, bias] = checkpoint.regression([outputs, d]).map_err(|error| {
        format!("decoding `regression` needs the weights that `udvla-eval train` leaves: {error}")
    })?;
    Ok(Box::new(Regression {
        weight,
        bias,
        fast: checkpoint.fast(benchmark).map_err(|error| error.to_string())?,
        horizon,
        width,
    }))
}

impl Decoder for Regression {
    fn decode(
        &self,
        generator: &Generator,
        requests: &[Request],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Generated>, DecodeError> {
        let chunks = self
            .chunks(generator, requests)
            .map_err(|source| DecodeError::Torch { step: 0, source })?;
        observer.prefilled();
        if chunks.iter().any(|number| !number.is_finite()) {
            return Err(DecodeError::NotFinite { step: 0 });
        }
        let ids = generator.ids;
        let generated = |(request, chunk): (&Request, &[f64])| {
            let mut block = request.block.ids.clone();
            let chunk: Vec<f64> = chunk.iter().map(|number| number.clamp(-1.0, 1.0)).collect();
            let actions = self.fast.encode(&chunk, self.horizon, self.width);
            let actions = actions.into_iter().map(|id| ids.last_action_token_id - id);
            let slots = &mut block[request.block.image_positions + 1..];
            for (slot, id) in slots.iter_mut().zip(actions.chain([ids.eoa_token_id])) {
                *slot = id;
            }
            Generated { ids: block, remarks: vec![] }
        };
        let size = self.horizon * self.width;
        Ok(requests.iter().zip(chunks.chunks_exact(size)).map(generated).collect())
    }
}

impl Regression {
    /// Every request's chunk in the model's range, one after the other.
    fn chunks(
        &self,
        generator: &Generator,
        requests: &[Request],
    ) -> Result<Vec<f64>, tch::TchError> {
        let prompts = || requests.iter().map(|request| request.prompt);
        let runs: Vec<_> = prompts()
            .map(|prompt| {
                mask::before(&generator.attention.runs(&prompt.parts, None), prompt.ids.len())
            })
            .collect();
        let sequences: Vec<Sequence> = prompts()
            .zip(&runs)
            .map(|(prompt, runs)| Sequence { ids: &prompt.ids, runs, cache: None })
            .collect();
        let last =
            |(at, prompt): (usize, &crate::udvla::prompt::Prompt)| (at, vec![prompt.ids.len() - 1]);
        let spans: Vec<Span> = prompts().enumerate().map(last).collect();
        let (hidden, _) = generator.model.forward_batch(&sequences, &spans, &[])?;
        let (states, packing) = hidden.spans(0..spans.len())?;
        let weight = Tensor::f_from_slice(&self.weight)?
            .f_view([self.bias.len() as i64, -1])?
            .f_to_kind(states.kind())?
            .f_to_device(states.device())?;
        let bias = Tensor::f_from_slice(&self.bias)?
            .f_to_kind(states.kind())?
            .f_to_device(states.device())?;
        // All rows, so that none depends on how many there are.
        let all = states.f_linear(&weight, Some(&bias))?.f_to_kind(Kind::Double)?;
        let rows: Vec<i64> = (0..spans.len()).map(|at| packing.range(at).start as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(all.device())?;
        Vec::try_from(all.f_index_select(0, &rows)?.f_view(-1)?)
    }
}
