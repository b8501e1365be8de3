//! Calls of the gateway's API: where it is, and what is asked of it.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo};

use super::AccessArgs;

/// Where the gateway is, and how to print.
#[derive(Clone, Debug, Args)]
pub struct GatewayArgs {
    /// The gateway, HOST:PORT.
    #[arg(long, value_name = "HOST:PORT", env = "TALLYPORT_GATEWAY")]
    pub gateway: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub access: AccessArgs,
}

/// `tallyport request`.
#[derive(Clone, Debug, Args)]
pub struct RequestArgs {
    /// The target's name.
    pub target: String,
    /// For how long, from the moment that enough have agreed: such as 30m or 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = period)]
    pub period: Duration,
    /// What for; it goes on record, and reviewers read it.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Stay until it is decided; exit 0 when it is granted, 3 when it is not.
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub args: GatewayArgs,
}

/// Why, and until when.
#[derive(Clone, Debug, Args)]
pub struct RevokeArgs {
    /// Why; it goes on record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// For how long, such as 30m or 12h; until somebody lifts it when absent.
    #[arg(long = "for", value_name = "TIME", value_parser = period)]
    pub period: Option<Duration>,
    /// Also where the gateway that is asked lets nobody of this issuer in: for actors, and principals of other gateways.
    #[arg(long)]
    pub unknown_issuer: bool,
    #[command(flatten)]
    pub args: GatewayArgs,
}

/// Why.
#[derive(Clone, Debug, Args)]
pub struct ReasonArgs {
    /// Why; it goes on record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub args: GatewayArgs,
}

/// `tallyport revoke ...`.
#[derive(Debug, Subcommand)]
pub enum RevokeCommand {
    /// Whoever an issuer's tokens name as their subject.
    #[command(
        override_usage = "tallyport revoke principal [OPTIONS] --reason <TEXT> <ISSUER#SUBJECT>"
    )]
    Principal {
        /// Its issuer and the subject of its tokens, as policies name it: https://idp.example#agent-7.
        #[arg(value_name = "ISSUER#SUBJECT")]
        principal: String,
        #[command(flatten)]
        order: RevokeArgs,
    },
    /// An agent, for whomever it acts: as the subject, among the actors, or by its name.
    #[command(
        override_usage = "tallyport revoke agent [OPTIONS] --reason <TEXT> <[ISSUER#]SUBJECT>"
    )]
    Agent {
        /// Its id at its issuer, or its name as tokens give it; of any issuer where none stands before it.
        #[arg(value_name = "[ISSUER#]SUBJECT")]
        agent: String,
        #[command(flatten)]
        order: RevokeArgs,
    },
    /// Everybody whom an issuer vouches for.
    #[command(override_usage = "tallyport revoke issuer [OPTIONS] --reason <TEXT> <URL>")]
    Issuer {
        /// The issuer.
        #[arg(value_name = "URL")]
        revoked_issuer: String,
        #[command(flatten)]
        order: RevokeArgs,
    },
    /// A grant, or a request for one.
    #[command(override_usage = "tallyport revoke grant [OPTIONS] --reason <TEXT> <ID>")]
    Grant {
        /// Its id.
        id: tallyport_schemas::ApprovalId,
        #[command(flatten)]
        order: ReasonArgs,
    },
    /// What stands, of the kinds that you may revoke.
    #[command(override_usage = "tallyport revoke list [OPTIONS]")]
    List {
        #[command(flatten)]
        args: GatewayArgs,
    },
    /// Let in again whom a revocation keeps out.
    #[command(override_usage = "tallyport revoke lift [OPTIONS] --reason <TEXT> <ID>")]
    Lift {
        /// The revocation's id, as `tallyport revoke list` shows it.
        id: tallyport_schemas::RevocationId,
        #[command(flatten)]
        order: ReasonArgs,
    },
}

/// A time such as 90s, 30m, 12h or 7d; a day is 24 hours.
fn period(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 90s, 30m, 12h or 7d");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let period = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(period).ok().filter(|period| !period.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// What clap would find out at the first use of a command only.
    #[test]
    fn no_two_arguments_of_a_command_have_one_name() {
        crate::args::Cli::command().debug_assert();
    }

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(period("30m"), Ok(Duration::from_secs(1_800)));
        assert_eq!(period("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(period("1h30m"), Ok(Duration::from_secs(5_400)));
        for text in ["", "m", "30", "0s", "-3m", "3m ago", "2mo", "é", "99999999999999999999s"] {
            assert!(period(text).unwrap_err().contains("is not a time"), "{text}");
        }
    }
}
