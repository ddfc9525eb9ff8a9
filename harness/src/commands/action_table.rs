//! An action chunk as text, each number under its name and unit.

use udvla_sims::observation::ActionChunk;

use crate::benchmarks::{self, ActionNumber};

/// A line per control step; the numbers are headed by name and unit where the benchmark names as
/// many as an action has.
pub fn action_table(benchmark: &str, chunk: &ActionChunk) -> String {
    let named = benchmarks::find(benchmark).map_or(&[][..], |found| found.facts().action);
    let named: &[ActionNumber] = if named.len() == chunk.width { named } else { &[] };
    let line = |head: &str, cells: Vec<String>| {
        let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:>9}")).collect();
        format!("{head:>4}  {}\n", cells.join(" ").trim_end())
    };
    let mut text = String::new();
    if !named.is_empty() {
        text += &line("step", named.iter().map(|(name, _)| (*name).to_owned()).collect());
        text += &line("unit", named.iter().map(|(_, unit)| (*unit).to_owned()).collect());
    }
    for (step, action) in chunk.values.chunks_exact(chunk.width).enumerate() {
        let numbers = action.iter().map(|value| format!("{value:.4}")).collect();
        text += &line(&step.to_string(), numbers);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_an_action_has_its_name_and_unit() {
        let values = vec![0.5, -1.0, 0.0, 0.25, 0.0, 0.125, 1.0];
        let chunk = ActionChunk { width: 7, values };
        let text = action_table("calvin", &chunk);
        let expected = "\
step          x         y         z        rx        ry        rz   gripper
unit     0.02 m    0.02 m    0.02 m  0.05 rad  0.05 rad  0.05 rad -1 closes, 1 opens
   0     0.5000   -1.0000    0.0000    0.2500    0.0000    0.1250    1.0000
";
        assert_eq!(text, expected);
        let other = ActionChunk { width: 2, values: vec![0.5, 1.0] };
        assert_eq!(action_table("calvin", &other), "   0     0.5000    1.0000\n");
    }
}
