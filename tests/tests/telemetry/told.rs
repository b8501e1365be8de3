//! All that is told of what happens: events, answers of the audit, metrics, readiness, logs, traces, files. And what is in none of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tallyport_eventlog::{LogUrl, Position, Topic};
use tallyport_schemas::Content;
use tallyport_tests::{Site, said};

use crate::scrape::{Scrape, readyz};

/// All that a role may tell, and what must not be in it.
pub struct Told {
    places: Vec<(String, String)>,
}

impl Told {
    /// What the audit and whoever watches are told.
    pub fn of(site: &Site, telemetry: &str) -> Self {
        let mut told = Self { places: Vec::new() };
        for table in ["events", "commands", "decisions", "responses", "sessions", "authentications"]
        {
            let rows = site.ask(&["sql", &format!("SELECT * FROM {table}"), "--json"]);
            told.has("an answer of the audit", said(&rows));
        }
        told.has("/metrics", Scrape::of(telemetry).text);
        told.has("/readyz", readyz(telemetry).1.to_string());
        told
    }

    pub fn has(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.places.push((place.into(), text.into()));
    }

    /// Every event, and what passed as it is recorded in it.
    pub async fn events(&mut self, log: &str) -> usize {
        let url: LogUrl = log.parse().unwrap();
        let log = tallyport_eventlog::open(&url).await.unwrap();
        let mut count = 0;
        for topic in [Topic::Audit, Topic::Control] {
            let mut from = Position { partition: 0, offset: 0 };
            loop {
                let entries = log.read(topic, from, 1 << 22, Duration::ZERO).await.unwrap();
                let Some(last) = entries.last() else { break };
                from.offset = last.position.offset + 1;
                for entry in entries {
                    count += 1;
                    self.has("an event", String::from_utf8_lossy(&entry.value));
                    let event: Value = serde_json::from_slice(&entry.value).unwrap();
                    self.contents(&event);
                }
            }
        }
        count
    }

    fn contents(&mut self, value: &Value) {
        if let Ok(content) = serde_json::from_value::<Content>(value.clone()) {
            self.has("what passed", String::from_utf8_lossy(&content.replay().unwrap()));
        }
        match value {
            Value::Object(members) => members.values().for_each(|it| self.contents(it)),
            Value::Array(items) => items.iter().for_each(|it| self.contents(it)),
            _ => {}
        }
    }

    /// Files as they are, which is as whoever copies a disk sees them.
    pub fn files(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.files(&path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                self.has(path.display().to_string(), String::from_utf8_lossy(&bytes));
            }
        }
    }

    pub fn is_silent_about(&self, secret: &str) {
        assert!(secret.len() > 10, "{secret} may be anywhere");
        for (place, text) in &self.places {
            assert!(!text.contains(secret), "{secret} is in {place}: {text}");
        }
    }

    pub fn says(&self, place: &str, text: &str) -> bool {
        self.places.iter().any(|it| it.0 == place && it.1.contains(text))
    }
}

pub fn curl(arguments: &[&str]) -> String {
    let curl = Command::new("curl").args(["-sk", "--noproxy", "*"]).args(arguments).output();
    said(&curl.unwrap())
}
