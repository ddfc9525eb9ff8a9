//! What can be checked of a policy before a simulator starts: nothing is loaded here.

#[cfg(feature = "torch")]
pub(crate) mod model;

use anyhow::Result;

use crate::plan::PolicyPlan;

#[cfg(feature = "torch")]
pub use model::refused;

/// Checks that the policy can be opened: its checkpoint's manifest and parts, and its devices.
///
/// # Errors
/// [`Refused`](crate::exit::Refused) with everything that is wrong.
pub fn policy(policy: &PolicyPlan) -> Result<()> {
    match policy {
        PolicyPlan::Weightless { .. } | PolicyPlan::Remote(_) => Ok(()),
        #[cfg(feature = "torch")]
        PolicyPlan::Udvla(plan) => (crate::model::code()?.check)(plan),
    }
}
