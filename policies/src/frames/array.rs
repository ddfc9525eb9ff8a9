//! N-dimensional arrays of numbers in NumPy's notation.

use super::FrameError;

/// A dense row-major array of booleans, integers or floats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    dtype: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    /// An array from its parts: NumPy's type string (`|u1`, `<f4`, `>i8`, …; kinds `b`, `i`, `u`,
    /// `f` of at most 8 bytes), sizes, and all numbers' bytes in row-major order.
    ///
    /// # Errors
    /// [`FrameError::Array`] for another type, or when the bytes do not fill the shape exactly.
    pub fn new(dtype: &str, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self, FrameError> {
        let Some((_, size, _)) = parts(dtype) else {
            let shown: String = dtype.chars().take(16).collect();
            return Err(FrameError::array(format!("its type is `{shown}`")));
        };
        let expected = shape.iter().try_fold(size, |product, n| product.checked_mul(*n));
        if shape.len() > 32 || expected != Some(bytes.len()) {
            let shape = &shape[..shape.len().min(32)];
            let reason = format!("{dtype} of shape {shape:?} in {} B", bytes.len());
            return Err(FrameError::array(reason));
        }
        Ok(Self { dtype: dtype.into(), shape, bytes })
    }

    /// An array of bytes, for example an image `[h, w, 3]`.
    ///
    /// # Errors
    /// [`FrameError::Array`] when the bytes do not fill the shape.
    pub fn u8(shape: &[usize], bytes: Vec<u8>) -> Result<Self, FrameError> {
        Self::new("|u1", shape.to_vec(), bytes)
    }

    /// A single-precision array.
    ///
    /// # Errors
    /// [`FrameError::Array`] when the numbers do not fill the shape.
    pub fn f32(shape: &[usize], numbers: &[f32]) -> Result<Self, FrameError> {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self::new("<f4", shape.to_vec(), bytes)
    }

    /// A double-precision array.
    ///
    /// # Errors
    /// [`FrameError::Array`] when the numbers do not fill the shape.
    pub fn f64(shape: &[usize], numbers: &[f64]) -> Result<Self, FrameError> {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self::new("<f8", shape.to_vec(), bytes)
    }

    /// NumPy's type string.
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// Sizes, the outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All numbers' bytes, row-major.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// All numbers, row-major; integers beyond 2^53 are rounded, booleans are 0 and 1.
    pub fn numbers(&self) -> Vec<f64> {
        let (kind, size, big) = parts(&self.dtype).expect("`new` checked the type");
        let number = |bytes: &[u8]| {
            let mut little = [0; 8];
            little[..size].copy_from_slice(bytes);
            if big {
                little[..size].reverse();
            }
            let bits = u64::from_le_bytes(little);
            // Sign extension for integers shorter than 8 bytes.
            let unused = 64 - 8 * size as u32;
            match (kind, size) {
                ('f', 2) => half::f16::from_bits(bits as u16).to_f64(),
                ('f', 4) => f64::from(f32::from_bits(bits as u32)),
                ('f', _) => f64::from_bits(bits),
                ('i', _) => (((bits << unused) as i64) >> unused) as f64,
                _ => bits as f64,
            }
        };
        self.bytes.chunks_exact(size).map(number).collect()
    }
}

/// Kind, bytes per number and whether they are big-endian; `None` for other types.
fn parts(dtype: &str) -> Option<(char, usize, bool)> {
    let (order, rest) = dtype.split_at_checked(1)?;
    let (kind, size) = rest.split_at_checked(1)?;
    let big = match order {
        "<" | "|" => false,
        ">" => true,
        _ => return None,
    };
    let sizes: &[usize] = match kind {
        "b" => &[1],
        "i" | "u" => &[1, 2, 4, 8],
        "f" => &[2, 4, 8],
        _ => return None,
    };
    let size = *sizes.iter().find(|known| known.to_string() == size)?;
    (order != "|" || size == 1).then_some((kind.chars().next()?, size, big))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type_are_read() {
        let cases: [(&str, &[u8], f64); 9] = [
            ("|b1", &[1], 1.0),
            ("|u1", &[200], 200.0),
            ("|i1", &[0xfe], -2.0),
            ("<i2", &[0xfe, 0xff], -2.0),
            (">u2", &[1, 2], 258.0),
            ("<f2", &[0x00, 0x3e], 1.5),
            (">f4", &[0x3f, 0xc0, 0, 0], 1.5),
            ("<f8", &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f], 1.5),
            (">i8", &[0xff; 8], -1.0),
        ];
        for (dtype, bytes, expected) in cases {
            let array = Array::new(dtype, vec![1], bytes.to_vec()).unwrap();
            assert_eq!(array.numbers(), [expected], "{dtype}");
        }
    }

    #[test]
    fn other_types_and_wrong_sizes_are_refused() {
        for dtype in ["", "|", "<", "|O", "<c8", "<f16", "<f3", "|f4", "=f4", "V8", "<U4", "<Ã4"] {
            assert!(Array::new(dtype, vec![1], vec![0; 8]).is_err(), "{dtype}");
        }
        for shape in [vec![3], vec![usize::MAX, 2], vec![1; 33], vec![0]] {
            assert!(Array::new("<f4", shape.clone(), vec![0; 8]).is_err(), "{shape:?}");
        }
        assert_eq!(Array::new("<f4", vec![0, 7], vec![]).unwrap().numbers(), [0.0; 0]);
    }
}
