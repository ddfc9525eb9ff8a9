//! Trees of values.

use std::fmt::{self, Display};

use super::Array;

/// A value of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None.
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float; single precision on the wire is widened.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A map in its order on the wire.
    Map(Vec<(String, Value)>),
    /// Numbers with a shape.
    Array(Array),
}

impl Value {
    /// A map of the fields given, in that order.
    pub fn map<K: Into<String>, const N: usize>(fields: [(K, Self); N]) -> Self {
        Self::Map(fields.map(|(key, value)| (key.into(), value)).into())
    }

    /// The value of a map's field; `None` without one, or for anything but a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(fields) = self else { return None };
        fields.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The number, if it is an integer or a float.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }
}

/// For error messages and logs: arrays by type and shape, long texts and lists cut off.
impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Items and fields shown of a list or map.
        const SHOWN: usize = 12;
        let rest = |count: usize| if count > SHOWN { ", …" } else { "" };
        match self {
            Self::Nil => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Text(text) => match text.char_indices().nth(200) {
                Some((end, _)) => write!(f, "{:?}…", &text[..end]),
                None => write!(f, "{text:?}"),
            },
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Array(array) => write!(f, "{} of shape {:?}", array.dtype(), array.shape()),
            Self::List(values) => {
                let shown: Vec<_> = values.iter().take(SHOWN).map(Self::to_string).collect();
                write!(f, "[{}{}]", shown.join(", "), rest(values.len()))
            }
            Self::Map(fields) => {
                let field = |(key, value): &(String, Self)| format!("{key}: {value}");
                let shown: Vec<_> = fields.iter().take(SHOWN).map(field).collect();
                write!(f, "{{{}{}}}", shown.join(", "), rest(fields.len()))
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}
