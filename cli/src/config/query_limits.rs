//! `[query.limits]`: what questions may take, where that is not what the service begins with.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::Deserialize;

const MIB: u64 = 1024 * 1024;

/// `[query.limits]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawQueryLimits {
    /// Memory that all running questions share, in bytes, 64 MiB and more; 1 GiB when absent.
    pub max_memory_bytes: Option<u64>,
    /// Rows that one question may give; 1,000,000 when absent.
    pub max_rows: Option<u64>,
    /// Bytes that one question may give, 1 MiB and more; 512 MiB when absent.
    pub max_answer_bytes: Option<u64>,
    /// How long one question may take, its delivery included, 1 to 3600; 60 when absent.
    pub max_duration_seconds: Option<u64>,
    /// Questions that run at once, 1 to 256; 8 when absent. One principal has at most a quarter of them, and at least one.
    pub max_concurrent: Option<u64>,
    /// How long a question may wait for its turn, in seconds, 0 to 600; 5 when absent.
    pub max_queue_wait_seconds: Option<u64>,
    /// Connections per listener, 1 to 65536; 256 when absent. One principal on the PostgreSQL wire has at most a quarter of them.
    pub max_connections: Option<u64>,
    /// Connections of one address (IPv6: one /64) per listener, 1 to 65536; 128 when absent.
    pub max_connections_per_ip: Option<u64>,
    /// Events of the log's newest part that are kept in memory, in bytes, 1 MiB and more; 256 MiB when absent.
    pub max_tail_bytes: Option<u64>,
}

impl RawQueryLimits {
    /// The same, with every key within its bounds.
    pub fn checked(self) -> Result<Self, String> {
        let bounds: [(&str, Option<u64>, RangeInclusive<u64>); 9] = [
            ("max_memory_bytes", self.max_memory_bytes, 64 * MIB..=u64::MAX),
            ("max_rows", self.max_rows, 1..=u64::MAX),
            ("max_answer_bytes", self.max_answer_bytes, MIB..=u64::MAX),
            ("max_duration_seconds", self.max_duration_seconds, 1..=3600),
            ("max_concurrent", self.max_concurrent, 1..=256),
            ("max_queue_wait_seconds", self.max_queue_wait_seconds, 0..=600),
            ("max_connections", self.max_connections, 1..=65_536),
            ("max_connections_per_ip", self.max_connections_per_ip, 1..=65_536),
            ("max_tail_bytes", self.max_tail_bytes, MIB..=u64::MAX),
        ];
        for (key, written, allowed) in bounds {
            if let Some(value) = written.filter(|value| !allowed.contains(value)) {
                let (least, most) = allowed.into_inner();
                let bounds = match most {
                    u64::MAX => format!("at least {least}"),
                    most => format!("{least} to {most}"),
                };
                return Err(format!("query.limits.{key}: {value} is not {bounds}"));
            }
        }
        Ok(self)
    }

    /// With the service's own where nothing is written.
    #[cfg(feature = "query")]
    pub fn limits(&self) -> tallyport_query::Limits {
        use std::time::Duration;
        let size = |written: Option<u64>, otherwise: usize| {
            written.map_or(otherwise, |written| usize::try_from(written).unwrap_or(usize::MAX))
        };
        let own = tallyport_query::Limits::default();
        tallyport_query::Limits {
            max_memory_bytes: size(self.max_memory_bytes, own.max_memory_bytes),
            max_rows: self.max_rows.unwrap_or(own.max_rows),
            max_answer_bytes: self.max_answer_bytes.unwrap_or(own.max_answer_bytes),
            max_duration: self.max_duration_seconds.map_or(own.max_duration, Duration::from_secs),
            max_concurrent: size(self.max_concurrent, own.max_concurrent),
            max_queue_wait: self
                .max_queue_wait_seconds
                .map_or(own.max_queue_wait, Duration::from_secs),
            max_connections: size(self.max_connections, own.max_connections),
            max_connections_per_ip: size(self.max_connections_per_ip, own.max_connections_per_ip),
            max_tail_bytes: size(self.max_tail_bytes, own.max_tail_bytes),
            ..own
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_named_with_them() {
        for (text, told) in [
            ("max_memory_bytes = 1", "max_memory_bytes: 1 is not at least 67108864"),
            ("max_duration_seconds = 0", "max_duration_seconds: 0 is not 1 to 3600"),
            ("max_concurrent = 257", "max_concurrent: 257 is not 1 to 256"),
            ("max_connections_per_ip = 0", "max_connections_per_ip: 0 is not 1 to 65536"),
        ] {
            let written: RawQueryLimits = toml::from_str(text).unwrap();
            let problem = written.checked().unwrap_err();
            assert_eq!(problem, format!("query.limits.{told}"));
        }
        assert!(toml::from_str::<RawQueryLimits>("max_row = 1").is_err());
    }

    #[cfg(feature = "query")]
    #[test]
    fn what_is_written_counts_and_the_rest_is_the_services_own() {
        let text = "max_duration_seconds = 5\nmax_rows = 7\nmax_connections = 9\n";
        let written: RawQueryLimits = toml::from_str(text).unwrap();
        let (limits, own) =
            (written.checked().unwrap().limits(), tallyport_query::Limits::default());
        assert_eq!((limits.max_duration.as_secs(), limits.max_rows), (5, 7));
        assert_eq!(limits.max_connections, 9);
        assert_eq!(limits.max_memory_bytes, own.max_memory_bytes);
        assert_eq!(limits.max_tail_bytes, own.max_tail_bytes);
    }
}
