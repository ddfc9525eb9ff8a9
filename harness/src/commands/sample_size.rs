//! `plan`: episodes needed for an interval or a comparison.

use anyhow::Result;
use udvla_results::statistics::power::{
    episodes_for_interval, episodes_in_pairs, episodes_per_policy, sequences_for_interval,
};

use super::estimate::seconds_per_episode;
use crate::cli::PlanArguments;
use crate::exit::{Exit, Refused};

/// Prints the number, and the hours where a run tells the speed.
///
/// # Errors
/// [`Refused`] when nothing is asked for, or no number of episodes is enough.
pub fn run(arguments: &PlanArguments) -> Result<Exit> {
    let answers = answers(arguments)?;
    let seconds = match &arguments.like {
        None => None,
        Some(path) => {
            let run = super::reading::noted(path, arguments.reading.damage())?;
            let none = || Refused::new("the named run has no episode to tell the speed");
            Some(seconds_per_episode(&run).ok_or_else(none)?)
        }
    };
    for (what, n, runs) in answers {
        println!("{n} {what}");
        if let Some(seconds) = seconds {
            let hours = f64::from(n) * f64::from(runs) * seconds / 3600.0;
            println!("  {hours:.1} h at the {seconds:.1} s per episode of the named run");
        }
    }
    Ok(Exit::Complete)
}

type Answer = (String, u32, u32);

/// What is counted, how many, and for how many policies.
fn answers(arguments: &PlanArguments) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    let power = arguments.power;
    if let (Some(deviation), Some(half)) = (arguments.deviation, arguments.half_width) {
        let n = enough(sequences_for_interval(deviation, half))?;
        answers.push((format!("sequences for an average length to within {half} (95 %)"), n, 1));
    }
    let Some(rate) = arguments.rate else { return Ok(answers) };
    if let Some(half) = arguments.half_width {
        let n = enough(episodes_for_interval(rate, half))?;
        let what = format!("episodes for {rate} to within {half} (95 %, Wilson)");
        answers.push((what, n, 1));
    }
    if let Some(other) = arguments.other {
        let n = enough(episodes_per_policy(rate, other, power))?;
        let what =
            format!("different episodes per policy to tell {rate} from {other} with power {power}");
        answers.push((what, n, 2));
        if let Some(discordant) = arguments.discordant {
            answers.push(in_pairs(rate, other, discordant, power)?);
        }
    }
    if answers.is_empty() {
        return Err(Refused::new("no target given")
            .hint("add `--half-width 0.02` for an interval, or `--other 0.9` for a comparison")
            .into());
    }
    Ok(answers)
}

fn in_pairs(rate: f64, other: f64, discordant: f64, power: f64) -> Result<Answer> {
    let difference = rate - other;
    if discordant < difference.abs() {
        let text = format!("rates of {rate} and {other} differ on more than {discordant}");
        return Err(Refused::new(text).hint("raise `--discordant`").into());
    }
    let (a, b) = ((discordant + difference) / 2.0, (discordant - difference) / 2.0);
    let n = enough(episodes_in_pairs(a, b, power))?;
    let what = format!(
        "equal episodes of both policies to tell {rate} from {other} with power {power} where \
         they differ on {discordant}"
    );
    Ok((what, n, 2))
}

fn enough(n: Option<u32>) -> Result<u32> {
    n.ok_or_else(|| Refused::new("no number of episodes up to 100 million is enough").into())
}
