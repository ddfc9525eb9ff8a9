//! The token that clients must show.

use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::exit::Refused;

/// A secret that clients share, as its SHA-256.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token in a file; white space around it is ignored.
    ///
    /// # Errors
    /// [`Refused`] when the file cannot be read or holds no single printable word.
    pub fn read(file: &Path) -> Result<Self> {
        let hint = "`openssl rand -hex 32 > FILE` makes one";
        let text = std::fs::read_to_string(file).map_err(|error| {
            let text = format!("cannot read the token in `{}`", file.display());
            Refused::new(text).because(error).hint(hint)
        })?;
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = format!("`{}` holds no token: one ASCII word", file.display());
            return Err(Refused::new(text).hint(hint).into());
        }
        Ok(Self::of(token.as_bytes()))
    }

    fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether an `Authorization` header shows it: `Api-Key TOKEN` (openpi-client), `Bearer TOKEN`,
    /// or `Basic` with the token as the password (a client that is given `ws://user:TOKEN@host`).
    ///
    /// The time that this takes does not depend on how much of the token is right.
    pub fn is_shown_by(&self, header: Option<&[u8]>) -> bool {
        let shown = header.and_then(secret).unwrap_or_default();
        Self::of(&shown).0.ct_eq(&self.0).into()
    }
}

/// The secret in an `Authorization` header.
fn secret(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, value) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "api-key" | "bearer" => Some(value.trim().into()),
        "basic" => {
            let pair = BASE64_STANDARD.decode(value.trim()).ok()?;
            let colon = pair.iter().position(|byte| *byte == b':')?;
            Some(pair[colon + 1..].into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_in_three_ways_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, " s3cret\n").unwrap();
        let token = Token::read(&file).unwrap();
        for shown in ["Api-Key s3cret", "bearer s3cret", "Basic dXNlcjpzM2NyZXQ="] {
            assert!(token.is_shown_by(Some(shown.as_bytes())), "{shown}");
        }
        for other in ["s3cret", "Api-Key s3cre", "Api-Key", "Basic s3cret", "Digest s3cret", ""] {
            assert!(!token.is_shown_by(Some(other.as_bytes())), "{other}");
        }
        assert!(!token.is_shown_by(None));
        for wrong in ["", " \n", "two words", "caf\u{e9}"] {
            std::fs::write(&file, wrong).unwrap();
            assert!(Token::read(&file).is_err(), "{wrong:?}");
        }
        assert!(Token::read(folder.path()).is_err());
    }
}
