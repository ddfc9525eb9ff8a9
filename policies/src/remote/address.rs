//! Where a policy server is.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tungstenite::http::Uri;

/// A WebSocket address without secrets: `ws://HOST:PORT` or `wss://HOST:PORT`, with or without a
/// path. openpi's and vla-eval's port 8000 is the default of `ws`, 443 that of `wss`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    text: String,
    host: String,
    port: u16,
}

impl Address {
    /// Name or number of the host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is this machine.
    pub fn is_local(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a word of the command line is meant as an address.
    pub fn is_meant(text: &str) -> bool {
        text.contains("://")
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("it is no address: {error}"))?;
        let default = match uri.scheme_str() {
            Some("ws") => 8000,
            Some("wss") => 443,
            _ => return Err("it starts with neither ws:// nor wss://".into()),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // What is stored with a run must hold no secret.
        if authority.contains('@') || uri.query().is_some() {
            return Err(
                "it has a user, a password or a query; a key goes into UDVLA_SERVER_KEY".into()
            );
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it has no host")?;
        let port = match authority.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => {
                port.parse().map_err(|_| format!("its port `{port}` is none"))?
            }
            _ => default,
        };
        let path = uri.path().trim_end_matches('/');
        let scheme = uri.scheme_str().unwrap_or_default();
        let text = format!("{scheme}://{host}:{port}{path}");
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { text, host, port })
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.text
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (text, expected) in [
            ("ws://gpu7", "ws://gpu7:8000"),
            ("ws://127.0.0.1:8001/", "ws://127.0.0.1:8001"),
            ("wss://x.org/policy", "wss://x.org:443/policy"),
            ("ws://[::1]:9000", "ws://[::1]:9000"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), expected);
        }
        assert_eq!("ws://[::1]".parse::<Address>().unwrap().host(), "::1");
    }

    #[test]
    fn secrets_and_other_addresses_are_refused() {
        for text in
            ["http://x", "ws://u:p@x:1", "ws://x/?key=1", "ws://", "ws://x:99999", "ws://x:", "a b"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
