//! `[[targets]]` with `kind = "kubernetes"`: the API of a cluster. Reference: docs/reference/kubernetes-targets.md.

use std::path::Path;
use std::sync::Arc;

use gateway_core::json::Shade;
use gateway_core::kubernetes::{Cluster, ObjectHide};
use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_schemas::{TargetKind, TargetRef};

use super::request_target::{Problem, RawHide, RawRequestTarget, hides, named};
use super::{ConfigError, HttpTarget};

/// `[[targets]]` of this kind as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawKubernetesTarget {
    /// The protocol.
    pub kind: KubernetesKind,
    /// Where it is and how it is asked.
    #[serde(flatten)]
    pub target: RawRequestTarget,
    /// `mask` (the default) hides the data of secrets in every answer; `clear` shows it to whoever may read them.
    pub secrets: Option<String>,
    /// What else is hidden of objects.
    #[serde(default)]
    pub masks: Vec<RawObjectHide>,
}

/// The word for this kind.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum KubernetesKind {
    /// The API of a cluster.
    #[serde(rename = "kubernetes")]
    Kubernetes,
}

/// `[[targets.masks]]` of a cluster as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawObjectHide {
    /// The plural of the kind, with its group where it has one: `configmaps`, `widgets.example.com`.
    pub resource: String,
    /// Where in one object: JSON pointers (RFC 6901) in which `*` is every element or member, such as `/data/*`.
    pub at: Vec<String>,
    /// `redact`, `partial:firstN` or `partial:lastN`.
    pub mask: String,
}

impl RawKubernetesTarget {
    /// Checks it; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// With the key and the fix.
    pub fn check(&self, folder: &Path) -> Result<HttpTarget, ConfigError> {
        let name = &self.target.name;
        self.checked(folder).map_err(|problem| named(name, problem))
    }

    fn checked(&self, folder: &Path) -> Result<HttpTarget, Problem> {
        let name = self.target.name.clone();
        let reference =
            TargetRef { name: name.clone(), kind: TargetKind::Kubernetes, database: None };
        let mut target = self.target.check(reference, folder)?;
        // Streams begin as HTTP/1.1, and watches are many.
        target.http1 = true;
        let clear_secrets = match self.secrets.as_deref() {
            None | Some("mask") => false,
            Some("clear") => true,
            Some(other) => {
                return Err(("secrets", format!("`{other}` is not known; use `mask` or `clear`")));
            }
        };
        let mut rules = Vec::new();
        for raw in &self.masks {
            let plain = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
            };
            if raw.resource.is_empty() || !raw.resource.bytes().all(plain) {
                let problem = format!(
                    "`{}` is no kind; write its plural, with its group: widgets.example.com",
                    raw.resource
                );
                return Err(("masks", problem));
            }
            let one = RawHide { at: raw.at.clone(), mask: raw.mask.clone() };
            let checked = hides(&[one]).map_err(|problem| ("masks", problem))?;
            let Some(Shade::Mask(mask)) = checked.first().map(|it| it.shade) else { continue };
            rules.push(ObjectHide { kind: raw.resource.clone(), at: raw.at.clone(), mask });
        }
        let screen = self.target.screen()?;
        let protocol = Arc::new(Cluster::new(name, screen, rules, clear_secrets));
        Ok(HttpTarget { target, protocol })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnyTarget, RawAnyTarget};
    use super::*;

    const LEAST: &str =
        "kind = 'kubernetes'\nname = 'prod'\nurl = 'https://k8s.example.com:6443'\n";

    fn check(text: &str) -> Result<HttpTarget, String> {
        let raw: RawAnyTarget = toml::from_str(text).map_err(|error| error.to_string())?;
        match raw.check(Path::new("/etc/tallyport")).map_err(|error| error.to_string())? {
            AnyTarget::Http(target) => Ok(*target),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn what_cannot_be_meant_names_its_key() {
        assert!(check(LEAST).is_ok());
        for (more, key) in [
            ("secrets = 'show'", "secrets"),
            ("masks = [{ resource = 'ConfigMap', at = ['/data/*'], mask = 'redact' }]", "masks"),
            ("masks = [{ resource = 'configmaps', at = ['data'], mask = 'redact' }]", "masks"),
            ("masks = [{ resource = 'configmaps', at = [], mask = 'redact' }]", "masks"),
            ("routes = []", "routes"),
            ("basic = { user = 'a' }", "basic"),
            ("recording = 'head:1'", "recording"),
        ] {
            let told = check(&format!("{LEAST}{more}\n")).unwrap_err();
            assert!(told.contains(key), "{more}: {told}");
        }
    }
}
