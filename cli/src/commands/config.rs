//! `tallyport config check` and `tallyport config keys`.

use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};

use crate::args::{ConfigCommand, KeysFormat};
use crate::config::{Config, Key, keys, schema};
use crate::exit::Failure;
use crate::output::print_line;

/// Characters of a line where there is no terminal.
const NO_TERMINAL_WIDTH: u16 = 120;

/// Runs one of them.
pub fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { path, node } => check(path, node.as_deref()),
        ConfigCommand::Keys { prefix, format } => list(prefix, *format),
    }
}

/// Checks the file and everything it names; opens nothing.
fn check(path: &Path, node: Option<&str>) -> Result<(), Failure> {
    let config = Config::read(path, node)?;
    crate::services::up::check(&config)?;
    print_line(format_args!("{}: in order", path.display()))
}

fn list(prefix: &str, format: KeysFormat) -> Result<(), Failure> {
    if format == KeysFormat::JsonSchema {
        let text = serde_json::to_string_pretty(&schema()).map_err(Failure::failed)?;
        return print_line(format_args!("{text}"));
    }
    let found: Vec<Key> = keys().into_iter().filter(|key| key.path.starts_with(prefix)).collect();
    if found.is_empty() {
        return Err(Failure::usage(format!(
            "no key begins with {prefix:?}; `tallyport config keys` lists all"
        )));
    }
    match format {
        KeysFormat::Markdown => {
            print_line(format_args!("| key | type | default | |\n|---|---|---|---|"))?;
            for Key { path, kind, default, about } in found {
                let default = default.map_or_else(String::new, |text| format!("`{text}`"));
                print_line(format_args!("| `{path}` | {kind} | {default} | {about} |"))?;
            }
            Ok(())
        }
        _ => {
            let mut table = Table::new();
            table
                .load_style(presets::UTF8_BORDERS_ONLY)
                .set_content_arrangement(ContentArrangement::Dynamic);
            if table.width().is_none() {
                table.set_width(NO_TERMINAL_WIDTH);
            }
            table.set_header(["key", "type", "default", ""]);
            for Key { path, kind, default, about } in found {
                table.add_row([path, kind, default.unwrap_or_default(), about]);
            }
            print_line(format_args!("{table}"))
        }
    }
}
