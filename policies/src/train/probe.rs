//! Whether the image codes say where the object is: its position regressed from them.

use std::collections::HashMap;

use tch::{Device, Kind, TchError, Tensor};

use super::config::{Optimizing, TrainingConfig};
use super::demonstrations::Demonstrations;
use super::error::TrainError;
use super::parameters::{Parameters, normal};
use crate::formula;
use crate::vision::{VisionTokenizer, pixels};

/// Errors of the position on episodes that the regression has not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Mean distance in meters, horizontal.
    pub from_codes: f64,
    /// The same where the vectors are not rounded to codes.
    pub from_latents: f64,
    /// The same of the mean position of the task: what knows nothing of the images.
    pub from_nothing: f64,
    /// Observations tested.
    pub observations: usize,
}

/// Width of the regression's hidden layer.
const HIDDEN: i64 = 256;
const STEPS: u64 = 1500;
const BATCH: usize = 256;

/// Regresses the object's position at every third observation.
///
/// # Errors
/// Demonstrations without positions.
pub fn probe(
    config: &TrainingConfig,
    demonstrations: &Demonstrations,
    vision: &VisionTokenizer,
    seed: u64,
) -> Result<Probe, TrainError> {
    let set = Set::new(config, demonstrations, vision).map_err(TrainError::torch(0))?;
    if set.training.0.size()[0] == 0 || set.validation.0.size()[0] == 0 {
        let what = "has no positions of objects, or too few episodes";
        return Err(TrainError::content(std::path::Path::new("the demonstrations"), what));
    }
    let run = |rounded: bool| set.regress(rounded, seed).map_err(TrainError::torch(0));
    let distance = |predicted: &Tensor| {
        let apart = (predicted - &set.validation.2).narrow(1, 0, 2).square().sum_dim_intlist(
            [1_i64].as_slice(),
            false,
            Kind::Float,
        );
        apart.sqrt().mean(Kind::Float).double_value(&[])
    };
    Ok(Probe {
        from_codes: distance(&run(true)?),
        from_latents: distance(&run(false)?),
        from_nothing: distance(&set.validation.3),
        observations: set.validation.0.size()[0] as usize,
    })
}

/// Vectors of the codes `[n, c]`, latent vectors `[n, c]`, positions `[n, 3]`, and the mean position of
/// the task `[n, 3]`.
type Rows = (Tensor, Tensor, Tensor, Tensor);

struct Set {
    training: Rows,
    validation: Rows,
}

impl Set {
    fn new(
        config: &TrainingConfig,
        demonstrations: &Demonstrations,
        vision: &VisionTokenizer,
    ) -> Result<Self, TchError> {
        let _guard = tch::no_grad_guard();
        let mut means: HashMap<u16, ([f64; 3], f64)> = HashMap::new();
        let known = || demonstrations.episodes.iter().filter(|episode| !episode.target.is_empty());
        for episode in known() {
            let (sum, count) = means.entry(episode.task).or_default();
            for place in episode.target.chunks_exact(3) {
                (0..3).for_each(|axis| sum[axis] += f64::from(place[axis]));
                *count += 1.0;
            }
        }
        let mut rows: [Vec<Rows>; 2] = [vec![], vec![]];
        for episode in known() {
            // Lying, lifted and carried: where it lies at first hardly differs between LIBERO's episodes.
            for at in (0..episode.steps.len()).step_by(3) {
                let (mut codes, mut latents) = (vec![], vec![]);
                for view in &episode.views {
                    let image = Tensor::f_from_slice(&pixels(view.frame(at), view.size))?;
                    let image = image.f_view([1, 3, view.size.0 as i64, view.size.1 as i64])?;
                    let latent = vision.latent(&image);
                    codes.push(vision.nearest(&latent).f_reshape([1, -1])?);
                    latents.push(latent.f_reshape([1, -1])?);
                }
                let position = Tensor::f_from_slice(&episode.target[3 * at..3 * at + 3])?;
                let (sum, count) = means[&episode.task];
                let mean = Tensor::f_from_slice(&sum.map(|value| (value / count) as f32))?;
                let place = usize::from(episode.is_for_validation(config.validation_every));
                rows[place].push((
                    Tensor::f_cat(&codes, 1)?,
                    Tensor::f_cat(&latents, 1)?,
                    position.f_view([1, 3])?,
                    mean.f_view([1, 3])?,
                ));
            }
        }
        let join = |rows: &[Rows]| -> Result<Rows, TchError> {
            if rows.is_empty() {
                let none = || Tensor::zeros([0, 3], (Kind::Float, Device::Cpu));
                return Ok((none(), none(), none(), none()));
            }
            let part = |of: fn(&Rows) -> &Tensor| {
                Tensor::f_cat(&rows.iter().map(of).collect::<Vec<_>>(), 0)
            };
            Ok((part(|r| &r.0)?, part(|r| &r.1)?, part(|r| &r.2)?, part(|r| &r.3)?))
        };
        let [training, validation] = rows;
        Ok(Self { training: join(&training)?, validation: join(&validation)? })
    }

    /// Predicted positions of the validation rows.
    fn regress(&self, rounded: bool, seed: u64) -> Result<Tensor, TchError> {
        let of =
            |rows: &Rows| if rounded { rows.0.shallow_clone() } else { rows.1.shallow_clone() };
        let (inputs, tested) = (of(&self.training), of(&self.validation));
        let wanted = &self.training.2;
        let mean = wanted.f_mean_dim([0_i64].as_slice(), true, Kind::Float)?;
        let width = inputs.size()[1];
        let entries = vec![
            ("hidden.weight".to_owned(), vec![HIDDEN, width]),
            ("hidden.bias".to_owned(), vec![HIDDEN]),
            ("out.weight".to_owned(), vec![3, HIDDEN]),
            ("out.bias".to_owned(), vec![3]),
        ];
        let mut parameters = Parameters::new(entries, &mut |name, shape| match shape {
            [_, inputs] => normal(&format!("probe/{seed}/{name}"), shape) / (*inputs as f64).sqrt(),
            _ => Tensor::zeros(shape, (Kind::Float, Device::Cpu)),
        })?;
        let optimizing = Optimizing {
            rate: 2e-3,
            final_rate: 2e-5,
            warmup: 20,
            weight_decay: 0.05,
            clip: 1.0,
            average: 0.99,
        };
        let predict = |tensors: &HashMap<String, Tensor>, inputs: &Tensor| {
            let hidden = inputs
                .f_linear(&tensors["hidden.weight"], Some(&tensors["hidden.bias"]))?
                .f_relu()?;
            // In decimeters, which is about the spread.
            let out = hidden.f_linear(&tensors["out.weight"], Some(&tensors["out.bias"]))?;
            Ok::<_, TchError>(out * 0.1 + &mean)
        };
        let count = inputs.size()[0];
        // In products this small, threads mostly wait for one another.
        let threads = tch::get_num_threads();
        tch::set_num_threads(1);
        for step in 0..STEPS {
            let numbers = formula::uniform(&format!("probe/{seed}/{step}"), BATCH);
            let rows: Vec<i64> = numbers.iter().map(|u| (u * count as f64) as i64).collect();
            let rows = Tensor::f_from_slice(&rows)?;
            let tensors = parameters.tensors()?;
            let predicted = predict(&tensors, &inputs.f_index_select(0, &rows)?)?;
            let apart = (predicted - wanted.f_index_select(0, &rows)?) * 10.0;
            let gradient = parameters.gradient_of(apart.f_abs()?.f_mean(Kind::Float)?)?;
            parameters.update(&gradient, &optimizing, step, STEPS)?;
        }
        tch::set_num_threads(threads);
        predict(&parameters.averages()?, &tested)
    }
}
