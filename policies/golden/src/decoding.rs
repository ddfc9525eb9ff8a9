//! Recomputes files of kinds `jd3p` and `independent_diffusion`.

use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tch::Tensor;
use udvla_policies::formula::uniform;
use udvla_policies::udvla::Attention;
use udvla_policies::udvla::checkpoint::SpecialIds;
use udvla_policies::udvla::decode::{
    Decoder, Generator, GoldenNoise, Independent, Jd3p, PrefixCache, Request, RestrictedHead,
    Rules, Step,
};
use udvla_policies::udvla::model::Transformer;
use udvla_policies::udvla::model::mask::Parts;
use udvla_policies::udvla::prompt::{
    Block, ImageTokens, Prompt, allowed_action_ids, allowed_image_ids,
};

use crate::error::GoldenError;
use crate::file::{self, LONGEST};
use crate::model::{ModelInputs, Models, Recipe};

/// Default number of action slots.
const ACTION_SLOTS: usize = 70;
/// Default digits: `*0125` in the released vocabulary.
const DIGIT_IDS: [i64; 5] = [9, 15, 16, 17, 20];
/// Masks of a probe, by key.
const MASKS: [(&str, Attention); 4] = [
    ("released", Attention::Released),
    ("paper_hybrid", Attention::Hybrid),
    ("released_bidirectional", Attention::ReleasedBidirectional),
    ("causal", Attention::Causal),
];

#[derive(Deserialize)]
struct Inputs {
    tag: Option<String>,
    views: Option<Vec<[usize; 2]>>,
    action_slots: Option<usize>,
    digit_ids: Option<Vec<i64>>,
    text_ids: Vec<i64>,
    prefix_ids: Option<Vec<i64>>,
    action_vocab_size: usize,
}

#[derive(Deserialize)]
struct JointInputs {
    steps: u16,
    logits_probe: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct StageInputs {
    image_steps: u16,
    action_steps: u16,
}

#[derive(Deserialize)]
struct ProbeInputs {
    input_ids: Vec<i64>,
    positions: Vec<i64>,
    token_ids: Vec<i64>,
}

/// A case to decode.
struct Task {
    model: Rc<Transformer>,
    vocabulary: i64,
    ids: SpecialIds,
    image: RestrictedHead,
    action: RestrictedHead,
    prompt: Prompt,
    block: Block,
}

impl Task {
    fn new(file: &Value, models: &mut Models) -> Result<Self, GoldenError> {
        let inputs: Inputs = file::inputs(file)?;
        let model: ModelInputs = file::inputs(file)?;
        let ids = Recipe::new(&model, 0)?.ids().clone();
        let prompt = prompt(&inputs, &ids)?;
        let recipe = Recipe::new(&model, prompt.parts.total())?;
        let model = models.get(&recipe)?;
        let vocabulary = 0..recipe.config.sizes.vocab_size;
        if let Some(id) = prompt.ids.iter().find(|id| !vocabulary.contains(id)) {
            return Err(GoldenError::value(
                "prefix_ids",
                format!("has {id}, outside the vocabulary"),
            ));
        }
        let digits = inputs.digit_ids.unwrap_or_else(|| DIGIT_IDS.to_vec());
        if i64::try_from(inputs.action_vocab_size).map_or(true, |n| n > ids.last_action_token_id) {
            let reason = format!("is {}, more ids than there are", inputs.action_vocab_size);
            return Err(GoldenError::value("action_vocab_size", reason));
        }
        let head = |ids: &[i64]| match ids.iter().find(|id| !vocabulary.contains(id)) {
            Some(id) => Err(GoldenError::value("digit_ids", format!("or actions reach {id}"))),
            None => RestrictedHead::new(&model, ids).map_err(|error| GoldenError::model(&error)),
        };
        Ok(Self {
            image: head(&allowed_image_ids(&ids, &digits))?,
            action: head(&allowed_action_ids(&ids, inputs.action_vocab_size))?,
            block: Block::new(&ids, &prompt.parts.images, prompt.parts.actions),
            model: model.clone(),
            vocabulary: recipe.config.sizes.vocab_size,
            ids,
            prompt,
        })
    }

    fn decode(
        &self,
        decoder: &dyn Decoder,
        watch: &mut dyn FnMut(usize, &Step),
    ) -> Result<(), GoldenError> {
        let Self { model, ids, image, action, .. } = self;
        let (attention, prefix_cache) = (Attention::Released, PrefixCache::Exact);
        let generator = Generator { model, ids, image, action, attention, prefix_cache };
        let request = Request { prompt: &self.prompt, block: &self.block, noise: &GoldenNoise };
        let mut observer = |sequence: usize, step: &Step| watch(sequence, step);
        tch::no_grad(|| decoder.decode(&generator, &[request], &mut observer))
            .map_err(|error| GoldenError::model(&error))?;
        Ok(())
    }
}

/// `trace`, and `logits_probe` where the file has one.
pub(crate) fn joint(file: &Value, models: &mut Models) -> Result<Value, GoldenError> {
    let inputs: JointInputs = file::inputs(file)?;
    let task = Task::new(file, models)?;
    let mut trace = vec![];
    if inputs.steps == 0 {
        return Err(GoldenError::value("steps", "is 0"));
    }
    let decoder = Jd3p { steps: inputs.steps, rules: Rules::default() };
    task.decode(&decoder, &mut |_, step| trace.push(pass(step)))?;
    let mut outputs = json!({ "trace": trace });
    if let Some(probe) = &inputs.logits_probe {
        outputs["logits_probe"] = tch::no_grad(|| logits(probe, &task))?;
    }
    Ok(outputs)
}

/// `trace`, with the stage of each step.
pub(crate) fn independent(file: &Value, models: &mut Models) -> Result<Value, GoldenError> {
    let inputs: StageInputs = file::inputs(file)?;
    let task = Task::new(file, models)?;
    let mut trace = vec![];
    let mut watch = |_: usize, step: &Step| {
        let mut pass = pass(step);
        let in_images = trace.len() < usize::from(inputs.image_steps);
        pass["stage"] = if in_images { "image".into() } else { "action".into() };
        trace.push(pass);
    };
    if inputs.action_steps == 0 {
        return Err(GoldenError::value("action_steps", "is 0"));
    }
    let StageInputs { image_steps, action_steps } = inputs;
    if image_steps == 0 {
        return Err(GoldenError::value("steps", "is 0"));
    }
    task.decode(&Independent { image_steps, action_steps }, &mut watch)?;
    Ok(json!({ "trace": trace }))
}

fn pass(step: &Step) -> Value {
    json!({
        "masked_after": step.masked,
        "sampled": step.sampled,
        "temperature_after": step.temperature,
    })
}

/// Logits and argmax of the file's own sequence, for each of its masks.
fn logits(probe: &Map<String, Value>, task: &Task) -> Result<Value, GoldenError> {
    let inputs: ProbeInputs = file::inputs(&Value::Object(probe.clone()))?;
    let parts = &task.prompt.parts;
    let vocabulary = task.vocabulary;
    let inside = |ids: &[i64], end: i64| ids.iter().all(|id| (0..end).contains(id));
    let length = inputs.input_ids.len();
    if length != parts.total() || !inside(&inputs.input_ids, vocabulary) {
        let reason = format!("is not a sequence of {} ids of the vocabulary", parts.total());
        return Err(GoldenError::value("logits_probe.input_ids", reason));
    }
    if !inside(&inputs.positions, length as i64) || !inside(&inputs.token_ids, vocabulary) {
        return Err(GoldenError::value(
            "logits_probe",
            "asks for a position or id that is not there",
        ));
    }
    let slots = length - parts.actions;
    let end = inputs.input_ids[slots..].iter().position(|&id| id == task.ids.eoa_token_id);
    let device = task.model.placement().device;
    let [positions, tokens] = [&inputs.positions, &inputs.token_ids]
        .map(|list| Tensor::from_slice(list).to_device(device));
    let named = MASKS.iter().any(|(key, _)| probe.contains_key(*key));
    let mut outputs = Map::new();
    for (key, attention) in MASKS.iter().filter(|(key, _)| !named || probe.contains_key(*key)) {
        let runs = attention.runs(parts, end.map(|at| slots + at));
        let answers = || {
            let (states, _) = task.model.forward(&inputs.input_ids, &runs, None)?;
            let logits = task.model.logits(&states.f_index_select(0, &positions)?)?;
            let argmax = Vec::<i64>::try_from(logits.f_argmax(1, false)?)?;
            let chosen = logits.f_index_select(1, &tokens)?.f_to_kind(tch::Kind::Double)?;
            Ok::<_, tch::TchError>((argmax, Vec::<Vec<f64>>::try_from(chosen)?))
        };
        let (argmax, logits) = answers().map_err(|error| GoldenError::model(&error))?;
        outputs.insert((*key).to_owned(), json!({ "logits": logits, "argmax": argmax }));
    }
    Ok(Value::Object(outputs))
}

/// The prompt of a case, whose prefix may have been left out.
fn prompt(inputs: &Inputs, ids: &SpecialIds) -> Result<Prompt, GoldenError> {
    let text = inputs.text_ids.len();
    let actions = inputs.action_slots.unwrap_or(ACTION_SLOTS);
    if !(1..=LONGEST).contains(&actions) {
        return Err(GoldenError::value("action_slots", format!("is {actions}")));
    }
    let sane = |[rows, columns]: &[usize; 2]| {
        [rows, columns].iter().all(|side| (1..=LONGEST).contains(*side))
            && rows * columns <= LONGEST
    };
    if let Some(grid) = inputs.views.iter().flatten().find(|grid| !sane(grid)) {
        return Err(GoldenError::value("views", format!("has a grid of {grid:?} codes")));
    }
    let Some(prefix) = &inputs.prefix_ids else {
        return generated(inputs, actions, ids);
    };
    if !prefix.starts_with(&inputs.text_ids) {
        return Err(GoldenError::value("prefix_ids", "does not begin with `text_ids`"));
    }
    let views = view_lengths(&prefix[text..], ids)
        .ok_or_else(|| GoldenError::value("prefix_ids", "is not text and whole views"))?;
    let grids = inputs.views.iter().flatten();
    let stated: Vec<usize> = grids.map(|grid| positions(*grid)).collect();
    if inputs.views.is_some() && stated != views {
        return Err(GoldenError::value("views", "are not those of `prefix_ids`"));
    }
    Ok(Prompt { ids: prefix.clone(), parts: Parts::new(text, views, actions) })
}

/// Lengths of the images that follow one another in `ids_after_text`, each from its begin to its
/// end mark; `None` when there is anything else.
fn view_lengths(ids_after_text: &[i64], ids: &SpecialIds) -> Option<Vec<usize>> {
    let images: Vec<&[i64]> =
        ids_after_text.split_inclusive(|&id| id == ids.eoi_token_id).collect();
    let is_whole = |image: &&[i64]| {
        image.len() > 1
            && image.first() == Some(&ids.boi_token_id)
            && image.last() == Some(&ids.eoi_token_id)
    };
    images.iter().all(is_whole).then(|| images.iter().map(|image| image.len()).collect())
}

/// The prompt whose codes follow from the tag.
fn generated(inputs: &Inputs, actions: usize, ids: &SpecialIds) -> Result<Prompt, GoldenError> {
    let (Some(tag), Some(views)) = (&inputs.tag, &inputs.views) else {
        return Err(GoldenError::value("prefix_ids", "is missing, and `tag` or `views` as well"));
    };
    let [bos, text @ ..] = &inputs.text_ids[..] else {
        return Err(GoldenError::value("text_ids", "is empty"));
    };
    if *bos != ids.bos_token_id || views.len() > 2 {
        return Err(GoldenError::value("prefix_ids", "is missing and cannot be made"));
    }
    let image = |(name, grid): (&str, &[usize; 2])| {
        let [rows, columns] = *grid;
        let codes = uniform(&format!("codes/{tag}/{name}"), rows * columns);
        let count = ids.visual_codes() as f64;
        ImageTokens {
            size: format!("1*{rows}*{columns}").bytes().map(character).collect(),
            codes: codes.iter().map(|u| (u * count) as i64).collect(),
        }
    };
    let images: Vec<ImageTokens> =
        ["static", "gripper"].into_iter().zip(views).map(image).collect();
    Ok(Prompt::new(ids, text, &images, actions))
}

/// Positions of a view: its codes, the characters of its size text and four marks.
fn positions([rows, columns]: [usize; 2]) -> usize {
    rows * columns + format!("1*{rows}*{columns}").len() + 4
}

/// The id of a character of a size text in the released vocabulary.
fn character(byte: u8) -> i64 {
    match byte {
        b'*' => 9,
        digit => i64::from(digit - b'0') + 15,
    }
}
