//! What crosses between this machine's memory and the device while a model runs.
//!
//! On a GPU every crossing costs a wait. So the numbers of a pass go there in one block ([`Upload`]),
//! and what a step draws comes back in one ([`download`]), whatever the batch; tests count them.

use std::cell::Cell;
use std::ops::Range;

use tch::{Device, Kind, TchError, Tensor};

/// Numbers on their way to a device.
#[derive(Debug, Default)]
pub struct Upload(Vec<i64>);

/// Where some numbers of an [`Upload`] are.
#[derive(Debug, Clone)]
pub struct Place(Range<usize>);

/// An [`Upload`] that has arrived.
#[derive(Debug)]
pub struct Uploaded(Tensor);

impl Upload {
    /// Adds integers.
    pub fn integers(&mut self, numbers: impl IntoIterator<Item = i64>) -> Place {
        let start = self.0.len();
        self.0.extend(numbers);
        Place(start..self.0.len())
    }

    /// Adds real numbers, by their bits.
    pub fn reals(&mut self, numbers: &[f64]) -> Place {
        self.integers(numbers.iter().map(|number| number.to_bits().cast_signed()))
    }

    /// Sends everything.
    pub fn send(self, device: Device) -> Result<Uploaded, TchError> {
        CROSSINGS.with(|[up, _]| up.set(up.get() + 1));
        Ok(Uploaded(Tensor::f_from_slice(&self.0)?.f_to_device(device)?))
    }
}

impl Uploaded {
    /// The integers of a place: `[n]` i64.
    pub fn integers(&self, place: &Place) -> Result<Tensor, TchError> {
        self.0.f_narrow(0, place.0.start as i64, place.0.len() as i64)
    }

    /// The real numbers of a place: `[n]` f64.
    pub fn reals(&self, place: &Place) -> Result<Tensor, TchError> {
        self.integers(place)?.f_view_dtype(Kind::Double)
    }
}

/// The values of some tensors of one dimension, i64 or f64 (by their bits), one after the other.
pub fn download(tensors: &[Tensor]) -> Result<Vec<i64>, TchError> {
    let bits = |tensor: &Tensor| match tensor.kind() {
        Kind::Double => tensor.f_contiguous()?.f_view_dtype(Kind::Int64),
        _ => tensor.f_to_kind(Kind::Int64),
    };
    let all = tensors.iter().map(bits).collect::<Result<Vec<_>, _>>()?;
    CROSSINGS.with(|[_, down]| down.set(down.get() + 1));
    Vec::try_from(Tensor::f_cat(&all, 0)?)
}

thread_local! {
    static CROSSINGS: [Cell<u64>; 2] = const { [Cell::new(0), Cell::new(0)] };
}

/// Blocks that this thread sent to a device and read from one so far.
pub fn crossings() -> [u64; 2] {
    CROSSINGS.with(|counts| [counts[0].get(), counts[1].get()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_arrive_as_they_were_and_in_one_block_each_way() {
        let before = crossings();
        let mut upload = Upload::default();
        let integers = upload.integers([7, -1]);
        let reals = upload.reals(&[0.1, f64::MIN_POSITIVE, -0.0]);
        let none = upload.integers([]);
        let there = upload.send(Device::Cpu).unwrap();
        let tensors = [there.integers(&integers).unwrap(), there.reals(&reals).unwrap()];
        assert_eq!(tensors[1].double_value(&[0]), 0.1);
        assert_eq!(there.integers(&none).unwrap().size(), [0]);
        let back = download(&tensors).unwrap();
        assert_eq!(back[..2], [7, -1]);
        let bits = [0.1, f64::MIN_POSITIVE, -0.0].map(|number: f64| number.to_bits().cast_signed());
        assert_eq!(back[2..], bits);
        assert_eq!(crossings(), before.map(|count| count + 1));
    }
}
