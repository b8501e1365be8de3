//! How a command ends: one exit code per kind of end, one message that says what to do.

use std::fmt;
use std::process::ExitCode;

use serde_json::json;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
    Denied,
    Integrity,
}

/// An error and its causes in one line: some libraries say the reason in a cause alone.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = tallyport_gateway::tls::in_words(&error.to_string());
        if !told.contains(&said) {
            told = format!("{told}: {said}");
        }
        cause = error.source();
    }
    told
}

impl Failure {
    /// It was tried and failed: exit code 1.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Failed, message: message.to_string() }
    }

    /// The arguments or the configuration are wrong: exit code 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Usage, message: message.to_string() }
    }

    /// Policy refused it, or the token: exit code 3.
    pub fn denied(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Denied, message: message.to_string() }
    }

    /// What is on record is not whole: exit code 4.
    pub fn integrity(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Integrity, message: message.to_string() }
    }

    /// The exit code, as the contract has it.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    const fn number(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Denied => 3,
            Kind::Integrity => 4,
        }
    }

    /// A service's last line where its lines are JSON, in the form of the others. No filter takes it away.
    pub fn log_line(&self) -> String {
        let message = match self.kind {
            Kind::Integrity => "integrity violation",
            _ => "ended by a failure",
        };
        let fields = json!({
            "message": message, "error": self.message, "exit_code": self.number(),
        });
        let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        json!({ "timestamp": at, "level": "ERROR", "fields": fields, "target": "tallyport" })
            .to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
