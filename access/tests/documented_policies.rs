//! Policies that the documentation shows are policies: people copy them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

use std::path::{Path, PathBuf};

use tallyport_access::policy::PolicyStore;

fn pages(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            found.push(path);
        }
    }
}

/// What stands between two fences, with the line of the first; indented as its fence is.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (line, text) in page.lines().enumerate() {
        if text.trim_start().starts_with("```") {
            match open.take() {
                Some(block) => found.push(block),
                None => open = Some((line + 1, String::new())),
            }
        } else if let Some((_, block)) = &mut open {
            block.push_str(text);
            block.push('\n');
        }
    }
    found
}

fn is_policy(block: &str) -> bool {
    block.lines().any(|line| {
        let line = line.trim_start();
        ["permit (", "permit(", "forbid (", "forbid("].iter().any(|begin| line.starts_with(begin))
    })
}

#[test]
fn each_policy_of_the_documentation_passes_the_check() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs");
    let mut files = Vec::new();
    pages(&docs, &mut files);
    let (mut checked, mut bad) = (0, Vec::new());
    for file in files {
        // What was decided once stays as it was written.
        if file.components().any(|part| part.as_os_str() == "adr") {
            continue;
        }
        for (line, block) in blocks(&std::fs::read_to_string(&file).unwrap()) {
            if is_policy(&block) {
                checked += 1;
                if let Err(error) = PolicyStore::from_text(&block, "policy.cedar") {
                    bad.push(format!("{}:{line}: {error}", file.display()));
                }
            }
        }
    }
    assert!(checked >= 11, "only {checked} policies were found");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
