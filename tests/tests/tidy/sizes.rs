//! A file is one idea, a function one thought.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;

/// `tests/tidy-exceptions.toml`: what is larger, up to how many lines, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    #[serde(default)]
    file: BTreeMap<String, Exception>,
    #[serde(default)]
    function: BTreeMap<String, Exception>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    lines: usize,
    reason: String,
}

fn exceptions() -> Exceptions {
    let text =
        std::fs::read_to_string(dev_services::repo_root().join("tests/tidy-exceptions.toml"))
            .expect("readable");
    toml::from_str(&text).expect("tests/tidy-exceptions.toml is valid")
}

/// All Rust files of the checkout, with their path below its root.
pub fn rust_files() -> Vec<(String, PathBuf)> {
    let root = dev_services::repo_root();
    let skipped = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() > 0 && (name.starts_with('.') || name == "target" || name == "node_modules")
    };
    walkdir::WalkDir::new(&root)
        .into_iter()
        .filter_entry(|entry| !skipped(entry))
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"))
        .map(|entry| (relative(&root, entry.path()), entry.path().to_path_buf()))
        .collect()
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

#[test]
fn no_file_is_two_ideas() {
    let exceptions = exceptions();
    let mut over = Vec::new();
    for (name, path) in rust_files() {
        let lines = std::fs::read_to_string(&path).expect("readable").lines().count();
        let limit = exceptions.file.get(&name).map_or(MAX_FILE_LINES, |exception| exception.lines);
        if lines > limit {
            over.push(format!("{name}: {lines} lines, limit {limit}"));
        }
    }
    assert!(
        over.is_empty(),
        "split these, or name the reason in tests/tidy-exceptions.toml:\n{}",
        over.join("\n")
    );
}

#[test]
fn no_function_is_two_thoughts() {
    let exceptions = exceptions();
    let mut over = Vec::new();
    for (name, path) in rust_files() {
        let source = std::fs::read_to_string(&path).expect("readable");
        // Sources that are meant not to compile may not parse either.
        let Ok(file) = syn::parse_file(&source) else { continue };
        let mut functions = Functions::default();
        functions.visit_file(&file);
        for (function, lines) in functions.found {
            let key = format!("{name}::{function}");
            let limit = exceptions
                .function
                .get(&key)
                .map_or(MAX_FUNCTION_LINES, |exception| exception.lines);
            if lines > limit {
                over.push(format!("{key}: {lines} lines, limit {limit}"));
            }
        }
    }
    assert!(
        over.is_empty(),
        "split these, or name the reason in tests/tidy-exceptions.toml:\n{}",
        over.join("\n")
    );
}

#[test]
fn every_exception_is_needed_and_says_why() {
    let exceptions = exceptions();
    let names: Vec<String> = rust_files().into_iter().map(|(name, _)| name).collect();
    for (key, exception) in exceptions.file.iter().chain(&exceptions.function) {
        let file = key.split("::").next().unwrap_or(key);
        assert!(
            names.iter().any(|name| name == file),
            "{key} is excepted but there is no such file: remove it"
        );
        assert!(exception.reason.len() > 20, "{key}: say why it is larger");
    }
}

#[derive(Default)]
struct Functions {
    found: Vec<(String, usize)>,
}

impl Functions {
    fn measure(&mut self, name: &syn::Ident, block: &syn::Block) {
        let span = block.span();
        self.found.push((name.to_string(), span.end().line.saturating_sub(span.start().line) + 1));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}
