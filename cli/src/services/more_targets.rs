//! Targets beside the one of `tallyport dev`, out of a file of their own.

use std::path::Path;

use serde::Deserialize;
use tallyport_gateway::config::{AnyTarget, RawAnyTarget};

use crate::exit::Failure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    targets: Vec<RawAnyTarget>,
}

/// Those that the file names; relative paths in it are taken from its folder.
pub fn read(path: Option<&Path>) -> Result<Vec<AnyTarget>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let named =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
    let file: File = toml::from_str(&text)
        .map_err(|error| named(&crate::config::problem::describe(&text, &error)))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let check = |raw: RawAnyTarget| raw.check(folder).map_err(|error| named(&error));
    file.targets.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_no_value_of_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("targets.toml");
        let problem = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(Some(&file)).unwrap_err().to_string()
        };
        let http = "[[targets]]\nname = 'crm'\nkind = 'http'\nurl = 'https://crm.example'\n";
        let told = problem(&format!("{http}token = 'hunter2'\n"));
        assert!(told.contains("line ") && !told.contains("hunter2"), "{told}");
        let told = problem(&http.replace("'http'", "'https'"));
        assert!(
            told.contains(
                "targets.crm.kind: there is no such kind; use postgresql, http or kubernetes"
            ),
            "{told}"
        );
    }
}
