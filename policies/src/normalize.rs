//! The model's action numbers to the robot's: units, gripper, rotation.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tokens::{TokenError, read_json, read_value};

/// The range of each action dimension in the training data.
#[derive(Debug, Clone, PartialEq)]
pub struct NormStats {
    /// 1 % quantile of each dimension; -1 in the model's range.
    pub q01: Vec<f64>,
    /// 99 % quantile of each dimension; 1 in the model's range.
    pub q99: Vec<f64>,
}

impl NormStats {
    /// Reads the entry `name` of a `norm_stats.json`.
    ///
    /// # Errors
    /// An unreadable or invalid file, a missing entry (the message lists the others), quantiles that
    /// are not finite or differ in number, a lower quantile above the upper one, no range at all.
    pub fn open(path: &Path, name: &str) -> Result<Self, TokenError> {
        let StatsFile { mut norm_stats } = read_json(path)?;
        let Some(entry) = norm_stats.remove(name) else {
            let names: Vec<_> = norm_stats.keys().map(|key| format!("`{key}`")).collect();
            let what = format!("has no statistics `{name}`, only {}", names.join(", "));
            return Err(TokenError::content(path, what));
        };
        let Entry { q01, q99 } = read_value(entry, path, &format!("norm_stats.{name}."))?;
        if q01.len() != q99.len() || q01.is_empty() {
            let what = format!("has {} and {} quantiles in `{name}`", q01.len(), q99.len());
            return Err(TokenError::content(path, what));
        }
        if !q01.iter().chain(&q99).all(|quantile| quantile.is_finite()) {
            return Err(TokenError::content(path, format!("has no finite quantiles in `{name}`")));
        }
        let pairs = || q01.iter().zip(&q99).enumerate();
        if let Some((number, (low, high))) = pairs().find(|(_, (low, high))| low > high) {
            let what = format!(
                "has `{name}` with q01 above q99 at number {number} ({low}, {high}): are the two \
                 swapped?"
            );
            return Err(TokenError::content(path, what));
        }
        if pairs().all(|(_, (low, high))| low == high) {
            return Err(TokenError::content(path, format!("has `{name}` with q01 equal to q99")));
        }
        Ok(Self { q01, q99 })
    }

    /// Maps one action from the model's range, nominally -1..1, to the robot's units. Values
    /// outside are not clipped.
    ///
    /// Source: the UD-VLA release's evaluation wrappers.
    ///
    /// # Panics
    /// If `row` does not have as many numbers as the statistics.
    pub fn unnormalize(&self, row: &mut [f64]) {
        assert_eq!(row.len(), self.q01.len(), "dimensions of an action");
        for (value, (low, high)) in row.iter_mut().zip(self.q01.iter().zip(&self.q99)) {
            *value = 0.5 * (*value + 1.0) * (high - low) + low;
        }
    }
}

/// Contents of the file.
#[derive(Deserialize)]
struct StatsFile {
    /// Entries that are not used may have numbers that are none.
    norm_stats: BTreeMap<String, Value>,
}

/// The parts of an entry that are used.
#[derive(Deserialize)]
struct Entry {
    q01: Vec<f64>,
    q99: Vec<f64>,
}

/// How a gripper number becomes a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GripperRule {
    /// Above 0 is +1, anything else -1 (CALVIN, LIBERO).
    Sign,
    /// Above 0.5 is +1, open; anything else -1, closed (SimplerEnv with WidowX).
    Half,
}

impl GripperRule {
    /// -1 or +1 for an un-normalized gripper number; NaN gives -1.
    pub fn apply(self, value: f64) -> f64 {
        let threshold = match self {
            Self::Sign => 0.0,
            Self::Half => 0.5,
        };
        if value > threshold { 1.0 } else { -1.0 }
    }
}

/// Convention of the model's rotation numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// The simulator's own units; passed through.
    AsIs,
    /// Roll, pitch, yaw; converted to a rotation vector.
    EulerToAxisAngle,
}

impl Rotation {
    /// Converts numbers 3, 4 and 5 of an action in place.
    pub fn apply(self, action: &mut [f64]) {
        if let (Self::EulerToAxisAngle, [_, _, _, roll, pitch, yaw, ..]) = (self, action) {
            [*roll, *pitch, *yaw] = euler_to_axis_angle([*roll, *pitch, *yaw]);
        }
    }
}

/// The rotation vector (axis times angle, radians, angle in 0..=2π) of a rotation by `roll`
/// about x, then `pitch` about y, then `yaw` about z, all axes fixed.
///
/// A rotation by less than 7e-16 rad is exactly 0.
///
/// Source: `euler2axangle` of transforms3d with its default axes, which the WidowX evaluation
/// calls.
pub fn euler_to_axis_angle([roll, pitch, yaw]: [f64; 3]) -> [f64; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)] = [roll, pitch, yaw].map(|angle| (angle / 2.0).sin_cos());
    // The unit quaternion w, x, y, z.
    let quaternion = [
        cx * cy * cz + sx * sy * sz,
        sx * cy * cz - cx * sy * sz,
        cx * sy * cz + sx * cy * sz,
        cx * cy * sz - sx * sy * cz,
    ];
    let length = quaternion.iter().map(|q| q * q).sum::<f64>().sqrt();
    let [w, axis @ ..] = quaternion.map(|q| q / length);
    let sine = axis.iter().map(|a| a * a).sum::<f64>().sqrt();
    if sine < 3.0 * f64::EPSILON {
        return [0.0; 3];
    }
    let angle = 2.0 * w.clamp(-1.0, 1.0).acos();
    axis.map(|a| a / sine * angle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(text: &str, name: &str) -> Result<NormStats, TokenError> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("norm_stats.json");
        std::fs::write(&path, text).expect("it can be written");
        NormStats::open(&path, name)
    }

    #[test]
    fn the_quantiles_are_minus_one_and_one() {
        let text = r#"{"norm_stats": {"a": {"mean": [0], "q01": [-2, 0.5], "q99": [4, 1.5]}}}"#;
        let stats = stats(text, "a").unwrap();
        for (model, robot) in [(-1.0, [-2.0, 0.5]), (0.0, [1.0, 1.0]), (3.0, [10.0, 2.5])] {
            let mut row = [model; 2];
            stats.unnormalize(&mut row);
            assert_eq!(row, robot);
        }
    }

    #[test]
    fn numbers_that_are_not_used_may_be_no_numbers() {
        let text = r#"{"norm_stats": {"a": {"mean": [NaN], "std": [Infinity], "q01": [-2],
            "q99": [4]}, "b": {"q01": [NaN], "q99": "none"}}}"#;
        assert_eq!(stats(text, "a").unwrap().q01, [-2.0]);
    }

    #[test]
    fn broken_statistics_are_errors() {
        let cases = [
            ("", "not the expected JSON"),
            (r#"{"norm_stats": {"b": {"q01": [0], "q99": [1]}}}"#, "only `b`"),
            (r#"{"norm_stats": {"a": {"q01": [0], "q99": [1, 2]}}}"#, "1 and 2 quantiles"),
            (r#"{"norm_stats": {"a": {"q01": [], "q99": []}}}"#, "0 and 0 quantiles"),
            (r#"{"norm_stats": {"a": {"q01": [0]}}}"#, "not the expected JSON"),
            (r#"{"norm_stats": {"a": {"q01": [1e999], "q99": [0]}}}"#, "not the expected JSON"),
            (r#"{"norm_stats": {"a": {"q01": [-1, 2], "q99": [1, -2]}}}"#, "number 1 (2, -2)"),
            (r#"{"norm_stats": {"a": {"q01": [3, 3], "q99": [3, 3]}}}"#, "q01 equal to q99"),
            (r#"{"norm_stats": {"a": {"q01": [0, NaN], "q99": [1, 1]}}}"#, "`norm_stats.a.q01[1]`"),
            (r#"{"norm_stats": {"a": {"q01": [0], "q99": [Infinity]}}}"#, "`norm_stats.a.q99[0]`"),
        ];
        for (text, wanted) in cases {
            let error = stats(text, "a").unwrap_err().to_string();
            assert!(error.contains(wanted), "`{error}` lacks `{wanted}`");
        }
    }

    #[test]
    fn the_published_ranges_map_the_middle_of_calvin() {
        let Some(data) = std::env::var_os("UDVLA_TEST_DATA") else {
            println!(
                "skipped: udvla: released tokenizers and statistics are not here (UDVLA_TEST_DATA)"
            );
            return;
        };
        let path = Path::new(&data).join("udvla/normalizer_calvin/norm_stats.json");
        let mut row = [0.0; 7];
        NormStats::open(&path, "calvin_abcd").unwrap().unnormalize(&mut row);
        for (got, wanted) in row.iter().zip([-0.0116, -0.0108, 0.0804, 0.0016, -0.0266]) {
            assert!((got - wanted).abs() < 1e-9, "{got} is not {wanted}");
        }
    }

    #[test]
    fn the_gripper_rules_differ_in_their_threshold() {
        let values = [-0.1, 0.0, 0.1, 0.5, 0.51, f64::NAN];
        assert_eq!(values.map(|v| GripperRule::Sign.apply(v)), [-1., -1., 1., 1., 1., -1.]);
        assert_eq!(values.map(|v| GripperRule::Half.apply(v)), [-1., -1., -1., -1., 1., -1.]);
        assert_eq!(serde_json::to_string(&GripperRule::Half).unwrap(), r#""half""#);
    }

    #[test]
    fn rotations_about_one_axis_keep_their_angle() {
        for axis in 0..3 {
            for angle in [0.0, 1e-9, 0.3, 3.0] {
                let mut euler = [0.0; 3];
                euler[axis] = angle;
                let vector = euler_to_axis_angle(euler);
                for (got, wanted) in vector.iter().zip(euler) {
                    assert!((got - wanted).abs() < 1e-8, "{vector:?} for {euler:?}");
                }
            }
        }
    }

    #[test]
    fn mixed_rotations_follow_transforms3d() {
        // euler2axangle(roll, pitch, yaw) of transforms3d 0.4.2, axis times angle.
        let table = [
            ([0.1, -0.2, 0.3], [0.12892336372590388, -0.18342579500937847, 0.30874816361702984]),
            ([1.5, 2.5, -2.0], [3.092583222241265, 0.8579157462136561, -2.400385481049112]),
            ([3.0, -3.0, 3.0], [3.6359247535465418, 3.154390597650494, 3.6359247535465418]),
            ([-0.08, 0.07, 0.2], [-0.08670079423813697, 0.06173536557946226, 0.20261154354610325]),
        ];
        for (euler, wanted) in table {
            let vector = euler_to_axis_angle(euler);
            for (got, wanted) in vector.iter().zip(wanted) {
                assert!((got - wanted).abs() < 1e-12, "{vector:?} for {euler:?}");
            }
        }
    }
}
