//! What stands in the bodies of a worker's replies.

use sha2::{Digest, Sha256};
use udvla_sims::observation::{Image, Observation, SimSpec};
use udvla_sims::process::SimError;
use udvla_sims::protocol::hex;
use udvla_sims::wire;

/// SHA-256 (hex) of an observation as the policy is given it: pictures, state, instruction.
pub fn digest(body: &[u8], instruction: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(body);
    hash.update(instruction.as_bytes());
    hex(&hash.finalize())
}

/// The observation of an `Observed`: pictures of `sizes` (height, width), then the state.
///
/// # Errors
/// A body that holds something else.
pub fn observation(
    spec: &SimSpec,
    stage: u16,
    instruction: &str,
    sizes: &[(u32, u32)],
    body: &[u8],
) -> Result<Observation, SimError> {
    let (images, rest) = pictures(sizes, body)?;
    let state = wire::from_bytes(rest).filter(|state| state.len() == spec.state.len());
    let state = state.ok_or_else(|| SimError::Wire("a state of the wrong length".into()))?;
    Ok(Observation { images, state, instruction: instruction.into(), stage })
}

/// The executed actions of a `Finished`, `steps` of `width` numbers, and its pictures of `sizes`.
///
/// # Errors
/// A body that holds something else.
pub fn end(
    width: usize,
    steps: u32,
    sizes: &[(u32, u32)],
    body: &[u8],
) -> Result<(Vec<f32>, Vec<Image>), SimError> {
    let wrong = || SimError::Wire("a wrong count of actions".into());
    let (actions, rest) = body.split_at_checked(4 * width * steps as usize).ok_or_else(wrong)?;
    let actions = wire::from_bytes(actions).ok_or_else(wrong)?;
    let (images, rest) = pictures(sizes, rest)?;
    if rest.is_empty() { Ok((actions, images)) } else { Err(wrong()) }
}

/// The pictures of these sizes at the beginning of `body`, and what comes behind them.
fn pictures<'a>(sizes: &[(u32, u32)], body: &'a [u8]) -> Result<(Vec<Image>, &'a [u8]), SimError> {
    let mut rest = body;
    let mut images = vec![];
    for &(height, width) in sizes {
        let length = height as usize * width as usize * 3;
        let (rgb, after) = rest
            .split_at_checked(length)
            .ok_or_else(|| SimError::Wire("a picture that is cut short".into()))?;
        images.push(Image { height, width, rgb: rgb.to_vec() });
        rest = after;
    }
    Ok((images, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_pictures_come_apart_and_nothing_else_is_let_through() {
        let body = [wire::to_bytes(&[0.5, -1.0, 2.0, 3.0]), vec![7; 12]].concat();
        let (actions, images) = end(2, 2, &[(2, 2)], &body).unwrap();
        assert_eq!(actions, [0.5, -1.0, 2.0, 3.0]);
        assert_eq!((images.len(), images[0].rgb.clone()), (1, vec![7; 12]));
        for length in (0..body.len()).chain([body.len() + 1]) {
            let other: Vec<u8> = body.iter().copied().chain([0]).take(length).collect();
            assert!(end(2, 2, &[(2, 2)], &other).is_err(), "{length}");
        }
    }
}
