//! Flags of a policy on a server.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use udvla_policies::remote::{Address, Layout, ServerProtocol};
use udvla_policies::weightless;

use super::values::{memory_size, positive_seconds};
use crate::exit::Refused;
use crate::plan::{RemotePlan, UDVLA};

/// Name of a policy on a server that has none.
const UNNAMED: &str = "server";
const ANSWER_TIMEOUT: f64 = 60.0;
const RECONNECT: f64 = 60.0;
const MAX_MESSAGE: u64 = 64 << 20;

/// Flags of a policy on a server.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArguments {
    /// Name of the policy in tables
    #[arg(long, value_name = "NAME", help_heading = "Policy server", hide_short_help = true)]
    pub policy_name: Option<String>,
    /// Steps of a chunk to execute [default: 5 for openpi, else all]
    #[arg(long, value_name = "N", help_heading = "Policy server", hide_short_help = true, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub execute: Option<u16>,
    /// Protocol of the server [default: detected]
    #[arg(
        long,
        value_enum,
        value_name = "PROTOCOL",
        help_heading = "Policy server",
        hide_short_help = true
    )]
    pub server_protocol: Option<ServerProtocol>,
    /// Names and conversions of observations and actions, instead of the benchmark's
    #[arg(long, value_name = "FILE", help_heading = "Policy server", hide_short_help = true)]
    pub server_layout: Option<PathBuf>,
    /// Connections to the server [default: one per simulator]
    #[arg(long, value_name = "N", help_heading = "Policy server", hide_short_help = true, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub connections: Option<u16>,
    /// Longest wait for an answer, in seconds [default: 60]
    #[arg(long, value_name = "S", help_heading = "Policy server", hide_short_help = true, value_parser = positive_seconds)]
    pub answer_timeout: Option<f64>,
    /// Longest time for reaching the server again, in seconds [default: 60]
    #[arg(long, value_name = "S", help_heading = "Policy server", hide_short_help = true, value_parser = positive_seconds)]
    pub reconnect: Option<f64>,
    /// Size of a message of the server, at most [default: 64MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Policy server", hide_short_help = true, value_parser = memory_size)]
    pub max_message: Option<u64>,
}

impl ServerArguments {
    /// The plan of a policy at `address`.
    ///
    /// # Errors
    /// [`Refused`] for a reserved name, or a layout that cannot be used.
    pub fn plan(&self, address: Address) -> Result<RemotePlan> {
        let name = self.policy_name.clone().unwrap_or_else(|| UNNAMED.into());
        let reserved = [UDVLA].into_iter().chain(weightless::POLICIES.iter().map(|kind| kind.name));
        if name.trim().is_empty() || reserved.into_iter().any(|reserved| reserved == name) {
            let text = format!("`{name}` cannot be the name of a policy on a server");
            return Err(Refused::new(text).hint("pass another `--policy-name`").into());
        }
        let layout = self.server_layout.as_ref().map(layout).transpose()?;
        Ok(RemotePlan {
            address,
            protocol: self.server_protocol,
            name,
            layout,
            execute: self.execute,
            connections: self.connections,
            answer_timeout: self.answer_timeout.unwrap_or(ANSWER_TIMEOUT),
            reconnect: self.reconnect.unwrap_or(RECONNECT),
            max_message: self.max_message.unwrap_or(MAX_MESSAGE),
        })
    }

    /// Refuses the flags for a policy that is not on a server.
    ///
    /// # Errors
    /// [`Refused`] with the first flag that was given.
    pub fn refuse(&self, policy: &str) -> Result<()> {
        let given = [
            ("--policy-name", self.policy_name.is_some()),
            ("--execute", self.execute.is_some()),
            ("--server-protocol", self.server_protocol.is_some()),
            ("--server-layout", self.server_layout.is_some()),
            ("--connections", self.connections.is_some()),
            ("--answer-timeout", self.answer_timeout.is_some()),
            ("--reconnect", self.reconnect.is_some()),
            ("--max-message", self.max_message.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((flag, _)) => {
                let text = format!("`{flag}` is for a policy on a server, which `{policy}` is not");
                Err(Refused::new(text).hint("pass `--policy ws://HOST:PORT`").into())
            }
        }
    }
}

fn layout(file: &PathBuf) -> Result<Layout> {
    let refused = |reason: String| {
        Refused::new(format!("the layout `{}` cannot be used: {reason}", file.display()))
            .hint("policies/layouts/servers.json has the form (docs/bring-your-own-policy.md)")
    };
    let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    Ok(Layout::parse(&text).map_err(refused)?)
}
