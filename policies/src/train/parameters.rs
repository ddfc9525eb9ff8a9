//! Trained weights in one vector, their optimizer, and both on disk.
//!
//! With one vector for all weights, a step of the optimizer is a handful of operations, and its state
//! is four vectors that a file holds exactly: a training that goes on equals one that never stopped.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use sha2::{Digest, Sha256};
use tch::{Kind, TchError, Tensor};
use udvla_sims::protocol::hex;

use super::Figures;
use super::config::Optimizing;
use super::error::TrainError;
use crate::files::write_atomically;
use crate::formula;

/// AdamW's decay of the mean of gradients and of squares.
const DECAY: [f64; 2] = [0.9, 0.95];
/// Added to the root of the mean square.
const EPSILON: f64 = 1e-8;

/// Names and shapes of weights.
pub type Entries = Vec<(String, Vec<i64>)>;

/// Weights under training.
#[derive(Debug)]
pub struct Parameters {
    entries: Entries,
    /// All weights, in order.
    values: Tensor, // [n]
    first: Tensor,   // [n], mean of gradients
    second: Tensor,  // [n], mean of their squares
    average: Tensor, // [n], moving average of the weights
    decays: Tensor,  // [n], 1 for matrices
    /// Steps since the optimizer was started.
    steps: u64,
}

impl Parameters {
    /// Weights with the initial values of `init`.
    pub fn new(
        entries: Entries,
        init: &mut dyn FnMut(&str, &[i64]) -> Tensor,
    ) -> Result<Self, TchError> {
        let values: Vec<Tensor> =
            entries.iter().map(|(name, shape)| init(name, shape).reshape(-1)).collect();
        let is_matrix = |(_, shape): &(String, Vec<i64>)| shape.len() > 1;
        let decays: Vec<Tensor> = entries
            .iter()
            .zip(&values)
            .map(|(entry, values)| values.f_full_like(f64::from(is_matrix(entry))))
            .collect::<Result<_, _>>()?;
        let values = Tensor::f_cat(&values, 0)?.f_to_kind(Kind::Float)?;
        Ok(Self {
            entries,
            first: values.f_zeros_like()?,
            second: values.f_zeros_like()?,
            average: values.copy(),
            decays: Tensor::f_cat(&decays, 0)?.f_to_kind(Kind::Float)?,
            values: values.f_set_requires_grad(true)?,
            steps: 0,
        })
    }

    /// Takes over weights by name and shape, as the values to start from.
    ///
    /// # Errors
    /// Those of `get`, and what libtorch refuses.
    pub fn take(
        &mut self,
        get: impl Fn(&str, &[i64]) -> Result<Tensor, TrainError>,
    ) -> Result<(), TrainError> {
        let _guard = tch::no_grad_guard();
        let weights = self.entries.iter().map(|(name, shape)| Ok(get(name, shape)?.reshape(-1)));
        let weights = weights.collect::<Result<Vec<_>, TrainError>>()?;
        let copied = Tensor::f_cat(&weights, 0).and_then(|all| {
            self.values.f_detach()?.f_copy_(&all)?;
            self.average.f_copy_(&all)
        });
        copied.map_err(TrainError::torch(0))
    }

    /// Number of weights.
    pub fn count(&self) -> i64 {
        self.values.size()[0]
    }

    /// The weights by name; gradients flow through them.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>, TchError> {
        self.split(&self.values)
    }

    /// The moving average of the weights by name.
    pub fn averages(&self) -> Result<HashMap<String, Tensor>, TchError> {
        self.split(&self.average)
    }

    fn split(&self, vector: &Tensor) -> Result<HashMap<String, Tensor>, TchError> {
        let count = |shape: &[i64]| shape.iter().product::<i64>();
        let lengths: Vec<i64> = self.entries.iter().map(|(_, shape)| count(shape)).collect();
        let parts = vector.f_split_with_sizes(&lengths[..], 0)?;
        self.entries
            .iter()
            .zip(parts)
            .map(|((name, shape), part)| Ok((name.clone(), part.f_view(&shape[..])?)))
            .collect()
    }

    /// Gradient, for all weights, of the sum of the losses of `shards`: `[n]`; and the sums of their
    /// figures.
    ///
    /// Threads of one core each take the shards in turn; the sums are taken in the order of the shards,
    /// so that the number of threads changes nothing.
    pub fn gradient<S: Sync>(
        &self,
        shards: &[S],
        threads: usize,
        loss: impl Fn(&S, &HashMap<String, Tensor>) -> Result<(Tensor, Figures), TchError> + Sync,
    ) -> Result<(Tensor, Figures), TchError> {
        let threads = threads.clamp(1, shards.len().max(1));
        let work = |first: usize, mine: Self| -> Result<Vec<(Tensor, Figures)>, TchError> {
            tch::set_num_threads(1);
            let each = shards.iter().skip(first).step_by(threads).map(|shard| {
                let (loss, mut figures) = loss(shard, &mine.tensors()?)?;
                figures.push(("loss", loss.f_double_value(&[])?));
                Ok((mine.gradient_of(loss)?, figures))
            });
            each.collect()
        };
        let parts = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|first| {
                    let mine = self.share();
                    scope.spawn(move || work(first, mine))
                })
                .collect();
            let ended = running.into_iter().map(|thread| thread.join().expect("no panic"));
            ended.collect::<Result<Vec<_>, _>>()
        })?;
        let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
        let mut sum = self.first.f_zeros_like()?;
        let mut sums = Figures::new();
        for shard in 0..shards.len() {
            let (gradient, figures) =
                parts[shard % threads].next().expect("every shard has a gradient");
            let _ = sum.f_add_(&gradient)?;
            for (name, value) in figures {
                match sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, total)) => *total += value,
                    None => sums.push((name, value)),
                }
            }
        }
        Ok((sum, sums))
    }

    /// Gradient of `loss` for all weights, `[n]`.
    pub fn gradient_of(&self, loss: Tensor) -> Result<Tensor, TchError> {
        let gradients = Tensor::f_run_backward(&[loss], &[&self.values], false, false)?;
        Ok(gradients.into_iter().next().expect("one vector was asked for"))
    }

    /// The same weights for another thread.
    fn share(&self) -> Self {
        let clone = Tensor::shallow_clone;
        Self {
            entries: self.entries.clone(),
            values: clone(&self.values),
            first: clone(&self.first),
            second: clone(&self.second),
            average: clone(&self.average),
            decays: clone(&self.decays),
            steps: self.steps,
        }
    }

    /// Updates the weights at step `step` of `total` (from 0); returns the gradient's norm and the
    /// rate. A norm that is no number leaves the weights as they are.
    pub fn update(
        &mut self,
        gradient: &Tensor,
        settings: &Optimizing,
        step: u64,
        total: u64,
    ) -> Result<[f64; 2], TchError> {
        let _guard = tch::no_grad_guard();
        let norm = gradient.f_norm()?.f_double_value(&[])?;
        let rate = rate(settings, step, total);
        if !norm.is_finite() {
            return Ok([norm, rate]);
        }
        let gradient = gradient * (settings.clip / (norm + 1e-6)).min(1.0);
        self.steps += 1;
        let [b1, b2] = DECAY;
        let count = self.steps as f64;
        let _ = self.first.f_mul_scalar_(b1)?.f_add_(&(&gradient * (1.0 - b1)))?;
        let _ = self.second.f_mul_scalar_(b2)?.f_addcmul_(&(&gradient * (1.0 - b2)), &gradient)?;
        let root = (&self.second / (1.0 - b2.powf(count))).f_sqrt()?.f_add_scalar(EPSILON)?;
        let mut change = (&self.first / (1.0 - b1.powf(count))).f_div(&root)?;
        let mut values = self.values.f_detach()?;
        change = change.f_add(&(&self.decays * &values * settings.weight_decay))?;
        let _ = values.f_sub_(&(change * rate))?;
        // A young average forgets faster.
        let keep = settings.average.min((1.0 + count) / (10.0 + count));
        let _ = self.average.f_mul_scalar_(keep)?.f_add_(&(&values * (1.0 - keep)))?;
        Ok([norm, rate])
    }

    /// Starts the optimizer anew from the moving average.
    pub fn restart(&mut self) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        self.values.f_detach()?.f_copy_(&self.average)?;
        let _ = self.first.f_zero_()?;
        let _ = self.second.f_zero_()?;
        self.steps = 0;
        Ok(())
    }

    /// Writes everything that a later [`Parameters::resume`] needs, with notes.
    pub fn save(&self, file: &Path, notes: HashMap<String, String>) -> Result<(), TrainError> {
        let mut notes = notes;
        notes.insert("optimizer_steps".into(), self.steps.to_string());
        let parts = [
            ("values", &self.values),
            ("first", &self.first),
            ("second", &self.second),
            ("average", &self.average),
        ];
        let tensors = parts.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        save_tensors(file, &tensors, Some(notes))
    }

    /// Takes over what [`Parameters::save`] wrote; returns its notes.
    ///
    /// # Errors
    /// An unreadable file, or one of another number of weights.
    pub fn resume(&mut self, file: &Path) -> Result<HashMap<String, String>, TrainError> {
        let wrong = |what: &str| TrainError::content(file, what);
        let bytes = crate::files::read(file)
            .map_err(|source| TrainError::Read { file: file.to_owned(), source })?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|_| wrong("is damaged"))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|_| wrong("is damaged"))?;
        let notes = header.metadata().clone().unwrap_or_default();
        let steps = notes.get("optimizer_steps").and_then(|steps| steps.parse().ok());
        self.steps = steps.ok_or_else(|| wrong("does not say its step"))?;
        let _guard = tch::no_grad_guard();
        for (name, own) in [
            ("values", &self.values),
            ("first", &self.first),
            ("second", &self.second),
            ("average", &self.average),
        ] {
            let stored = tensors.tensor(name).map_err(|_| wrong("lacks a vector"))?;
            if stored.dtype() != Dtype::F32 || stored.shape() != [self.count() as usize] {
                return Err(wrong("belongs to a model of other sizes"));
            }
            let words = stored.data().chunks_exact(4);
            let values: Vec<f32> = words
                .map(|word| f32::from_le_bytes(word.try_into().expect("four bytes")))
                .collect();
            own.detach().copy_(&Tensor::from_slice(&values));
        }
        Ok(notes)
    }
}

/// SHA-256 (hex) of settings, by which a state belongs to them.
pub(super) fn digest(settings: &serde_json::Value) -> String {
    hex(&Sha256::digest(settings.to_string().as_bytes()))
}

/// Standard normal numbers, a function of `name`: libtorch's generator belongs to the whole process.
pub(super) fn normal(name: &str, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let numbers = formula::uniform(name, 2 * count);
    // Box and Muller.
    let number = |pair: &[f64]| {
        ((-2.0 * pair[0].ln()).sqrt() * (std::f64::consts::TAU * pair[1]).cos()) as f32
    };
    let values: Vec<f32> = numbers.chunks_exact(2).map(number).collect();
    Tensor::from_slice(&values).view(shape)
}

/// Learning rate at step `step` (from 0) of `total`: linear warm-up, then a cosine.
pub(super) fn rate(settings: &Optimizing, step: u64, total: u64) -> f64 {
    if step < settings.warmup {
        return settings.rate * (step + 1) as f64 / settings.warmup as f64;
    }
    let span = (total - settings.warmup.min(total)).max(1) as f64;
    let done = ((step - settings.warmup) as f64 / span).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
    settings.final_rate + (settings.rate - settings.final_rate) * cosine
}

/// Writes tensors as f32.
pub(super) fn save_tensors(
    file: &Path,
    tensors: &[(String, Tensor)],
    notes: Option<HashMap<String, String>>,
) -> Result<(), TrainError> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let shape = tensor.size().iter().map(|&side| side as usize).collect();
            let values = tensor.detach().to_kind(Kind::Float).contiguous().view(-1);
            let values = Vec::<f32>::try_from(values).expect("f32 on the processor");
            (name.clone(), shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, data)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), data);
        (name.clone(), view.expect("the bytes were made for this shape"))
    });
    let all = serialize(views, notes).expect("a small header");
    write_atomically(file, &all)
        .map_err(|source| TrainError::Write { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Optimizing {
        Optimizing {
            rate: 0.1,
            final_rate: 0.01,
            warmup: 4,
            weight_decay: 0.0,
            clip: 1.0,
            average: 0.9,
        }
    }

    fn parameters() -> Parameters {
        let entries = vec![("a".into(), vec![2, 3]), ("b".into(), vec![2])];
        Parameters::new(entries, &mut |_, shape| {
            Tensor::ones(shape, (Kind::Float, tch::Device::Cpu))
        })
        .unwrap()
    }

    /// A quadratic loss whose minimum is 3 in `a` and -1 in `b`.
    fn train(parameters: &mut Parameters, steps: std::ops::Range<u64>) {
        for step in steps {
            let loss = |share: &f64, tensors: &HashMap<String, Tensor>| {
                let loss = (&tensors["a"] - 3.0).square().sum(Kind::Float)
                    + (&tensors["b"] + 1.0).square().sum(Kind::Float);
                Ok((loss * *share, vec![("share", *share)]))
            };
            let (gradient, figures) = parameters.gradient(&[0.25, 0.75], 2, loss).unwrap();
            assert_eq!(figures[0], ("share", 1.0));
            parameters.update(&gradient, &settings(), step, 200).unwrap();
        }
    }

    #[test]
    fn the_rate_warms_up_and_falls_to_the_last() {
        let rates = [0, 3, 4, 102, 200].map(|step| rate(&settings(), step, 200));
        for (got, wanted) in rates.iter().zip([0.025, 0.1, 0.1, 0.055, 0.01]) {
            assert!((got - wanted).abs() < 1e-9, "{rates:?}");
        }
    }

    #[test]
    fn a_training_finds_the_minimum_and_its_average_follows() {
        let mut parameters = parameters();
        train(&mut parameters, 0..200);
        for tensors in [parameters.tensors().unwrap(), parameters.averages().unwrap()] {
            assert!((tensors["a"].double_value(&[1, 2]) - 3.0).abs() < 0.01);
            assert!((tensors["b"].double_value(&[0]) + 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn a_gradient_that_is_no_number_changes_nothing() {
        let mut parameters = parameters();
        for bad in [f64::NAN, f64::INFINITY] {
            let gradient = Tensor::full([8], bad, (Kind::Float, tch::Device::Cpu));
            let [norm, _] = parameters.update(&gradient, &settings(), 0, 200).unwrap();
            assert!(!norm.is_finite());
        }
        let untouched = self::parameters();
        assert_eq!(parameters.values.detach(), untouched.values.detach());
        assert_eq!((parameters.first, parameters.second), (untouched.first, untouched.second));
        assert_eq!((parameters.average, parameters.steps), (untouched.average, 0));
    }

    #[test]
    fn a_resumed_training_equals_the_uninterrupted_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.safetensors");
        let (mut whole, mut first, mut second) = (parameters(), parameters(), parameters());
        train(&mut whole, 0..30);
        train(&mut first, 0..13);
        first.save(&file, HashMap::from([("step".into(), "13".into())])).unwrap();
        assert_eq!(second.resume(&file).unwrap()["step"], "13");
        train(&mut second, 13..30);
        for vector in [|p: &Parameters| p.values.detach(), |p: &Parameters| p.average.detach()] {
            assert_eq!(vector(&whole), vector(&second));
        }
    }

    #[test]
    fn the_state_of_another_model_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.safetensors");
        parameters().save(&file, HashMap::new()).unwrap();
        let entries = vec![("a".into(), vec![2, 2])];
        let ones =
            &mut |_: &str, shape: &[i64]| Tensor::ones(shape, (Kind::Float, tch::Device::Cpu));
        let error = Parameters::new(entries, ones).unwrap().resume(&file).unwrap_err();
        assert!(error.to_string().contains("other sizes"), "{error}");
    }
}
