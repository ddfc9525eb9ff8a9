//! Bodies of a worker's replies: images, state and executed actions from raw bytes.

use sha2::{Digest, Sha256};

use crate::error::SimError;
use crate::observation::Image;
use crate::protocol::hex;
use crate::wire::from_bytes;

/// SHA-256 (hex) of an observation: body of its [`Observed`](crate::wire::Reply::Observed) reply,
/// then the instruction.
pub fn observation_sha256(body: &[u8], instruction: &str) -> String {
    hex(&Sha256::new().chain_update(body).chain_update(instruction).finalize())
}

/// Images of these sizes (height, width), and the state of `state_width` numbers, from the body of
/// an [`Observed`](crate::wire::Reply::Observed).
///
/// # Errors
/// [`SimError::Wire`] when the body has another length.
pub fn parse_observed(
    image_sizes: &[(u32, u32)],
    state_width: usize,
    body: &[u8],
) -> Result<(Vec<Image>, Vec<f32>), SimError> {
    let (images, state) = split_images(image_sizes, body)?;
    match from_bytes(state) {
        Some(state) if state.len() == state_width => Ok((images, state)),
        _ => Err(SimError::Wire("a state of the wrong length".into())),
    }
}

/// Executed actions of `action_count` numbers, and images of these sizes (height, width), from the
/// body of a [`Finished`](crate::wire::Reply::Finished).
///
/// # Errors
/// [`SimError::Wire`] when the body has another length.
pub fn parse_finished(
    action_count: usize,
    image_sizes: &[(u32, u32)],
    body: &[u8],
) -> Result<(Vec<f32>, Vec<Image>), SimError> {
    let error = || SimError::Wire("a wrong number of actions".into());
    let length = action_count.checked_mul(4).ok_or_else(error)?;
    let (actions, images) = body.split_at_checked(length).ok_or_else(error)?;
    let actions = from_bytes(actions).ok_or_else(error)?;
    match split_images(image_sizes, images)? {
        (images, []) => Ok((actions, images)),
        _ => Err(error()),
    }
}

/// What a [`Demonstrated`](crate::wire::Reply::Demonstrated) holds in its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Demonstration {
    /// The actions that the expert wanted, step by step.
    pub labels: Vec<f32>,
    /// The actions that were executed, step by step.
    pub executed: Vec<f32>,
    /// The state after the last step.
    pub state: Vec<f32>,
    /// Position of the object to be moved after the last step, in meters.
    pub target: Option<[f32; 3]>,
    /// The images after the last step.
    pub images: Vec<Image>,
}

/// How many numbers of each kind the body of a [`Demonstrated`](crate::wire::Reply::Demonstrated)
/// has.
#[derive(Debug, Clone, Copy)]
pub struct DemonstrationSizes {
    /// Of the expert's actions, and of those that were executed.
    pub actions: usize,
    /// Of the state.
    pub state: usize,
    /// Whether there is a target.
    pub target: bool,
}

/// The parts of the body of a [`Demonstrated`](crate::wire::Reply::Demonstrated).
///
/// # Errors
/// [`SimError::Wire`] when the body has another length.
pub fn parse_demonstrated(
    sizes: DemonstrationSizes,
    image_sizes: &[(u32, u32)],
    body: &[u8],
) -> Result<Demonstration, SimError> {
    let error = || SimError::Wire("a demonstration of the wrong length".into());
    let DemonstrationSizes { actions, state, target } = sizes;
    let count = 2 * actions + state + if target { 3 } else { 0 };
    let (numbers, pixels) = body.split_at_checked(4 * count).ok_or_else(error)?;
    let numbers = from_bytes(numbers).ok_or_else(error)?;
    let (labels, rest) = numbers.split_at(actions);
    let (executed, rest) = rest.split_at(actions);
    let (state, target) = rest.split_at(state);
    match split_images(image_sizes, pixels)? {
        (images, []) => Ok(Demonstration {
            labels: labels.to_vec(),
            executed: executed.to_vec(),
            state: state.to_vec(),
            target: target.try_into().ok(),
            images,
        }),
        _ => Err(error()),
    }
}

/// The images at the beginning of `body`, and the bytes after them.
fn split_images<'a>(
    sizes: &[(u32, u32)],
    mut body: &'a [u8],
) -> Result<(Vec<Image>, &'a [u8]), SimError> {
    let mut images = Vec::with_capacity(sizes.len());
    for &(height, width) in sizes {
        let length = (height as usize).checked_mul(width as usize).and_then(|n| n.checked_mul(3));
        let (rgb, remaining) = length
            .and_then(|length| body.split_at_checked(length))
            .ok_or_else(|| SimError::Wire("a truncated image".into()))?;
        images.push(Image { height, width, rgb: rgb.to_vec() });
        body = remaining;
    }
    Ok((images, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::to_bytes;

    /// Every shorter body, and one that is a byte longer.
    fn other_lengths(body: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..body.len()).map(|length| body[..length].to_vec()).chain([[body, &[0]].concat()])
    }

    #[test]
    fn actions_and_images_are_split_and_any_other_length_is_refused() {
        let body = [to_bytes(&[0.5, -1.0, 2.0, 3.0]), vec![7; 12]].concat();
        let (actions, images) = parse_finished(4, &[(2, 2)], &body).unwrap();
        assert_eq!(actions, [0.5, -1.0, 2.0, 3.0]);
        assert_eq!((images.len(), images[0].rgb.clone()), (1, vec![7; 12]));
        for other in other_lengths(&body) {
            assert!(parse_finished(4, &[(2, 2)], &other).is_err(), "{}", other.len());
        }
    }

    #[test]
    fn images_and_state_are_split_and_any_other_length_is_refused() {
        let body = [vec![1; 6], vec![2; 3], to_bytes(&[0.25, 8.0])].concat();
        let (images, state) = parse_observed(&[(1, 2), (1, 1)], 2, &body).unwrap();
        assert_eq!(images[0], Image { height: 1, width: 2, rgb: vec![1; 6] });
        assert_eq!(images[1], Image { height: 1, width: 1, rgb: vec![2; 3] });
        assert_eq!(state, [0.25, 8.0]);
        for other in other_lengths(&body) {
            assert!(parse_observed(&[(1, 2), (1, 1)], 2, &other).is_err(), "{}", other.len());
        }
    }

    #[test]
    fn the_parts_of_a_demonstration_are_split_and_any_other_length_is_refused() {
        let numbers = [0.5, -1.0, 1.0, -0.75, 0.25, 7.0, 8.0, 9.0];
        let body = [to_bytes(&numbers), vec![7; 12]].concat();
        let sizes = DemonstrationSizes { actions: 2, state: 1, target: true };
        let parse = |body: &[u8]| parse_demonstrated(sizes, &[(2, 2)], body);
        let parsed = parse(&body).unwrap();
        assert_eq!((parsed.labels, parsed.executed), (vec![0.5, -1.0], vec![1.0, -0.75]));
        assert_eq!((parsed.state, parsed.target), (vec![0.25], Some([7.0, 8.0, 9.0])));
        assert_eq!(parsed.images, [Image { height: 2, width: 2, rgb: vec![7; 12] }]);
        for other in other_lengths(&body) {
            assert!(parse(&other).is_err(), "{}", other.len());
        }
    }

    #[test]
    fn the_digest_covers_body_and_instruction() {
        let digest = observation_sha256(b"ab", "c");
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_ne!(digest, observation_sha256(b"ab", "d"));
    }
}
