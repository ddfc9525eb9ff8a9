//! From a server's answer to actions in the simulator's units.

use udvla_sims::observation::ActionChunk;

use super::Layout;
use super::error::Fault;
use super::layout::Gripper;
use crate::frames::Value;

/// How many steps of a chunk are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Execute {
    /// All.
    Whole,
    /// So many, or all of a shorter chunk.
    AtMost(u16),
    /// So many; a shorter chunk is a fault.
    Exactly(u16),
}

/// The actions to execute, from an answer's `actions` (or vla-eval's older `action`): numbers
/// `[width]`, `[steps, width]` or `[1, steps, width]`.
///
/// # Errors
/// [`Fault::Answer`] with both values for another shape, numbers that are not finite, and a chunk
/// that is too short.
pub(super) fn chunk(
    answer: &Value,
    layout: &Layout,
    execute: Execute,
) -> Result<ActionChunk, Fault> {
    let width = layout.action_width;
    let actions = ["actions", "action"].iter().find_map(|key| answer.get(key));
    // RoboArena's servers answer with the array itself.
    let actions = actions.or_else(|| answer.as_array().map(|_| answer));
    let unusable = |what: String| Fault::Answer(format!("answered {what}"));
    let Some(actions) = actions else {
        return Err(unusable(format!("{answer}, which has no `actions`")));
    };
    let Some((shape, numbers)) = numbers(actions) else {
        return Err(unusable(format!("`actions` as {actions}, not as numbers")));
    };
    let steps = match shape.as_slice() {
        [n] if *n == width => 1,
        [steps, n] | [1, steps, n] if *n == width && *steps > 0 => *steps,
        _ => {
            return Err(unusable(format!(
                "actions of shape {shape:?}, needed is [steps, {width}]"
            )));
        }
    };
    if let Some(index) = numbers.iter().position(|number| !number.is_finite()) {
        let (step, number) = (index / width, index % width);
        return Err(unusable(format!(
            "{} as number {number} of step {step}, needed are finite numbers",
            numbers[index]
        )));
    }
    let executed = match execute {
        Execute::Whole => steps,
        Execute::AtMost(most) => steps.min(most.into()),
        Execute::Exactly(wanted) if usize::from(wanted) > steps => {
            return Err(unusable(format!(
                "a chunk with steps: {steps}, `--execute` needs at least {wanted}"
            )));
        }
        Execute::Exactly(wanted) => wanted.into(),
    };
    let values = numbers[..executed * width].chunks_exact(width);
    let values = values.flat_map(|action| converted(action, layout)).collect();
    Ok(ActionChunk { width, values })
}

/// One action in the simulator's units.
fn converted(action: &[f64], layout: &Layout) -> Vec<f32> {
    let factor = |index: usize| layout.scale.get(index).copied().unwrap_or(1.0);
    let number = |(index, number): (usize, &f64)| match &layout.gripper {
        Some(gripper) if gripper.number == index => gripper.command(*number) as f32,
        _ => (number * factor(index)) as f32,
    };
    action.iter().enumerate().map(number).collect()
}

impl Gripper {
    fn command(&self, number: f64) -> f64 {
        let command = match number {
            number if number > self.threshold => 1.0,
            number if number < self.threshold => -1.0,
            _ => self.at_threshold,
        };
        if self.invert { -command } else { command }
    }
}

/// Shape and numbers of an array, or of nested lists of numbers.
fn numbers(value: &Value) -> Option<(Vec<usize>, Vec<f64>)> {
    match value {
        Value::Array(array) => Some((array.shape().to_vec(), array.numbers())),
        Value::List(values) => {
            if let Some(row) = values.iter().map(Value::as_number).collect::<Option<Vec<_>>>() {
                return Some((vec![row.len()], row));
            }
            let rows = values.iter().map(numbers).collect::<Option<Vec<_>>>()?;
            let (inner, _) = rows.first()?;
            let shape = [&[rows.len()], inner.as_slice()].concat();
            let is_even = rows.iter().all(|(other, _)| other == inner);
            is_even.then(|| (shape, rows.into_iter().flat_map(|(_, row)| row).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Array;
    use crate::remote::ServerProtocol;

    fn layout(benchmark: &str, protocol: ServerProtocol) -> Layout {
        Layout::bundled(benchmark, protocol).unwrap()
    }

    fn answer(shape: &[usize], numbers: &[f32]) -> Value {
        Value::map([("actions", Array::f32(shape, numbers).unwrap().into())])
    }

    #[test]
    fn chunks_of_all_forms_are_taken() {
        let toy = layout("toy", ServerProtocol::Openpi);
        let six = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let rows =
            Value::List(vec![Value::List(six[..3].iter().map(|n| f64::from(*n).into()).collect())]);
        for (answer, values) in [
            (answer(&[2, 3], &six), &six[..]),
            (answer(&[1, 2, 3], &six), &six),
            (answer(&[3], &six[..3]), &six[..3]),
            (Value::map([("actions", rows)]), &six[..3]),
        ] {
            assert_eq!(chunk(&answer, &toy, Execute::AtMost(5)).unwrap().values, values);
        }
        let first = chunk(&answer(&[2, 3], &six), &toy, Execute::Exactly(1)).unwrap();
        assert_eq!(first.values, six[..3]);
    }

    #[test]
    fn units_and_grippers_are_converted() {
        let action = [0.02, 0.0, 0.0, 0.05, 0.0, 0.0, 0.4];
        let play = |benchmark, protocol| {
            let layout = layout(benchmark, protocol);
            chunk(&answer(&[7], &action), &layout, Execute::Whole).unwrap().values
        };
        let calvin = play("calvin", ServerProtocol::VlaEval);
        assert_eq!((calvin[0], calvin[3], calvin[6]), (1.0, 1.0, 1.0));
        assert_eq!(play("simpler", ServerProtocol::VlaEval)[6], -1.0);
        assert_eq!(play("libero", ServerProtocol::VlaEval)[6], 1.0);
        assert_eq!(play("libero", ServerProtocol::Openpi), action);
    }

    #[test]
    fn unusable_answers_show_both_values() {
        let toy = layout("toy", ServerProtocol::Openpi);
        let fault = |value: &Value, execute| match chunk(value, &toy, execute) {
            Err(Fault::Answer(text)) => text,
            other => panic!("{other:?}"),
        };
        let whole = Execute::Whole;
        for (value, execute, expected) in [
            (answer(&[2, 8], &[0.0; 16]), whole, "actions of shape [2, 8], needed is [steps, 3]"),
            (answer(&[0, 3], &[]), whole, "actions of shape [0, 3], needed is [steps, 3]"),
            (
                answer(&[2, 3], &[0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0]),
                whole,
                "NaN as number 1 of step 1, needed are finite numbers",
            ),
            (
                answer(&[2, 3], &[0.0; 6]),
                Execute::Exactly(4),
                "a chunk with steps: 2, `--execute` needs at least 4",
            ),
            (Value::map([("a", 1.into())]), whole, "{a: 1}, which has no `actions`"),
            (Value::map([("actions", "x".into())]), whole, "`actions` as \"x\", not as numbers"),
        ] {
            assert_eq!(fault(&value, execute), format!("answered {expected}"));
        }
    }
}
