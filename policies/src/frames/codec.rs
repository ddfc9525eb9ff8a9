//! Msgpack with arrays in one of two dialects.

use std::io::{self, Read};

use rmp::encode;
use rmpv::Value as Raw;
use rmpv::decode;

use super::{Array, FrameError, Value};

/// Nesting, at most, counted by the reader: two per list or map.
const MAX_DEPTH: usize = 64;
/// Reads that decoding may need: a value takes 1 to 3, so that their number bounds the memory
/// beside the bytes themselves to some 20 MB.
const MAX_READS: usize = 300_000;

/// How arrays are written: as a map whose keys are text or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Keys are bytes.
    OpenPi,
    /// Keys are text.
    VlaEval,
}

pub(super) fn write(value: &Value, dialect: Dialect, out: &mut Vec<u8>) {
    const NEVER: &str = "a vector takes every write";
    match value {
        Value::Nil => encode::write_nil(out).expect(NEVER),
        Value::Bool(value) => encode::write_bool(out, *value).expect(NEVER),
        Value::Int(number) => drop(encode::write_sint(out, *number).expect(NEVER)),
        Value::Float(number) => encode::write_f64(out, *number).expect(NEVER),
        Value::Text(text) => encode::write_str(out, text).expect(NEVER),
        Value::Bytes(bytes) => encode::write_bin(out, bytes).expect(NEVER),
        Value::List(values) => {
            write_length(encode::write_array_len, out, values.len());
            values.iter().for_each(|value| write(value, dialect, out));
        }
        Value::Map(fields) => {
            write_length(encode::write_map_len, out, fields.len());
            for (key, value) in fields {
                encode::write_str(out, key).expect(NEVER);
                write(value, dialect, out);
            }
        }
        Value::Array(array) => write_array(array, dialect, out),
    }
}

fn write_length<T>(
    write: impl Fn(&mut Vec<u8>, u32) -> Result<T, encode::ValueWriteError>,
    out: &mut Vec<u8>,
    length: usize,
) {
    let length = u32::try_from(length).expect("messages are far smaller");
    write(out, length).expect("a vector takes every write");
}

fn write_array(array: &Array, dialect: Dialect, out: &mut Vec<u8>) {
    let key = |name: &str, out: &mut Vec<u8>| match dialect {
        Dialect::OpenPi => write(&Value::Bytes(name.into()), dialect, out),
        Dialect::VlaEval => write(&Value::from(name), dialect, out),
    };
    write_length(encode::write_map_len, out, 4);
    key("__ndarray__", out);
    write(&Value::Bool(true), dialect, out);
    key("data", out);
    encode::write_bin(out, array.bytes()).expect("a vector takes every write");
    key("dtype", out);
    write(&Value::from(array.dtype()), dialect, out);
    key("shape", out);
    let shape = array.shape().iter().map(|size| Value::Int(*size as i64)).collect();
    write(&Value::List(shape), dialect, out);
}

pub(super) fn read(bytes: &[u8], dialect: Dialect) -> Result<Value, FrameError> {
    let mut reader = Limited { bytes, reads: 0 };
    let raw = decode::read_value_with_max_depth(&mut reader, MAX_DEPTH);
    let raw = raw.map_err(|error| match error {
        decode::Error::DepthLimitExceeded => FrameError::TooDeep { limit: MAX_DEPTH / 2 },
        _ if reader.reads > MAX_READS => FrameError::TooMany { limit: MAX_READS / 3 },
        _ => FrameError::Cut { end: bytes.len() },
    })?;
    match reader.bytes.len() {
        0 => value(raw, dialect),
        rest => Err(FrameError::Trailing { end: bytes.len() - rest }),
    }
}

/// Bytes that can be read only so often.
struct Limited<'a> {
    bytes: &'a [u8],
    reads: usize,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        match self.reads > MAX_READS {
            true => Err(io::ErrorKind::QuotaExceeded.into()),
            false => self.bytes.read(buffer),
        }
    }
}

fn value(raw: Raw, dialect: Dialect) -> Result<Value, FrameError> {
    Ok(match raw {
        Raw::Nil => Value::Nil,
        Raw::Boolean(value) => Value::Bool(value),
        Raw::Integer(number) => Value::Int(
            number.as_i64().ok_or_else(|| FrameError::unsupported(format!("integer {number}")))?,
        ),
        Raw::F32(number) => Value::Float(number.into()),
        Raw::F64(number) => Value::Float(number),
        Raw::String(text) => Value::Text(
            text.into_str().ok_or_else(|| FrameError::unsupported("text that is not UTF-8"))?,
        ),
        Raw::Binary(bytes) => Value::Bytes(bytes),
        Raw::Array(values) => Value::List(
            values.into_iter().map(|raw| value(raw, dialect)).collect::<Result<_, _>>()?,
        ),
        Raw::Map(fields) => map(fields, dialect)?,
        Raw::Ext(..) => return Err(FrameError::unsupported("an extension type")),
    })
}

/// A map, or what a map of a special form stands for.
fn map(mut fields: Vec<(Raw, Raw)>, dialect: Dialect) -> Result<Value, FrameError> {
    let mut take = |name: &str| {
        let is_name = |key: &Raw| match (key, dialect) {
            (Raw::Binary(key), Dialect::OpenPi) => key == name.as_bytes(),
            (Raw::String(key), Dialect::VlaEval) => key.as_str() == Some(name),
            _ => false,
        };
        let position = fields.iter().position(|(key, _)| is_name(key))?;
        Some(fields.swap_remove(position).1)
    };
    if take("__ndarray__").is_some() {
        return array(take("data"), take("dtype"), take("shape")).map(Value::Array);
    }
    if dialect == Dialect::OpenPi && take("__npgeneric__").is_some() {
        let data = take("data").ok_or_else(|| FrameError::array("a scalar without `data`"))?;
        return value(data, dialect);
    }
    if dialect == Dialect::VlaEval && take("__image__").is_some() {
        return image(&mut take).map(Value::Array);
    }
    let field = |(key, raw): (Raw, Raw)| match key {
        Raw::String(key) => {
            let key = key.into_str();
            let key = key.ok_or_else(|| FrameError::unsupported("a key that is not UTF-8"))?;
            Ok((key, value(raw, dialect)?))
        }
        _ => Err(FrameError::unsupported("a key that is not text")),
    };
    fields.into_iter().map(field).collect::<Result<_, _>>().map(Value::Map)
}

fn array(data: Option<Raw>, dtype: Option<Raw>, shape: Option<Raw>) -> Result<Array, FrameError> {
    let (Some(Raw::Binary(data)), Some(Raw::String(dtype)), Some(shape)) = (data, dtype, shape)
    else {
        return Err(FrameError::array("`data`, `dtype` or `shape` is missing or of another type"));
    };
    Array::new(dtype.as_str().unwrap_or_default(), sizes(&shape)?, data)
}

fn sizes(shape: &Raw) -> Result<Vec<usize>, FrameError> {
    let size = |raw: &Raw| raw.as_u64().and_then(|size| usize::try_from(size).ok());
    let sizes = shape.as_array().and_then(|sizes| sizes.iter().map(size).collect());
    sizes.ok_or_else(|| FrameError::array("`shape` is no list of sizes"))
}

/// vla-eval's form of an image: raw or compressed.
fn image(take: &mut impl FnMut(&str) -> Option<Raw>) -> Result<Array, FrameError> {
    let error = |reason: String| FrameError::Image { reason };
    let (format, data, shape) = (take("format"), take("data"), take("shape"));
    let format = format.as_ref().and_then(Raw::as_str).unwrap_or_default().to_owned();
    match (format.as_str(), data) {
        ("raw", data) => array(data, take("dtype"), shape),
        ("png", Some(Raw::Binary(data))) => {
            let shape = shape.ok_or_else(|| error("`shape` is missing".into()))?;
            png(&data, sizes(&shape)?)
        }
        ("jpeg", _) => Err(error("JPEG is not supported, only PNG and raw images are".into())),
        _ => Err(error("`format` or `data` is missing or of another type".into())),
    }
}

/// The pixels of a PNG whose `[h, w, channels]` is announced.
fn png(data: &[u8], shape: Vec<usize>) -> Result<Array, FrameError> {
    let error = |reason: String| FrameError::Image { reason };
    let mut decoder = png::Decoder::new(io::Cursor::new(data));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|cause| error(cause.to_string()))?;
    let (color, _) = reader.output_color_type();
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    let found = [height, width, color.samples()];
    // Checked before the pixels take memory: announced sizes of a small file can be huge.
    if shape != found || found.iter().product::<usize>() > MAX_PIXEL_BYTES {
        return Err(error(format!("its shape is {found:?}, announced were {shape:?}")));
    }
    let mut pixels = vec![0; found.iter().product()];
    reader.next_frame(&mut pixels).map_err(|cause| error(cause.to_string()))?;
    Array::u8(&found, pixels)
}

/// Bytes of a decompressed image, at most.
const MAX_PIXEL_BYTES: usize = 64 << 20;
