//! An answer as people and scripts read it.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::{Answer, plain};
use crate::args::Format;
use crate::exit::Failure;
use crate::output::print_text;

/// Values are cut to this many characters for people; `--json` and `--format csv` never cut.
const MAX_CELL_CHARS: usize = 200;
const NO_TERMINAL_WIDTH: u16 = 160;
/// A column of a table has room for this much of its values, or for all of them; else rows are shown one by one.
const READABLE_CHARS: usize = 20;
/// A word up to this long stays in one piece.
const WORD_CHARS: usize = 36;
/// What a table needs beside its columns' text: the frame, and the space around a column.
const FRAME_CHARS: usize = 2;
const PADDING_CHARS: usize = 3;

impl Answer {
    /// Prints it to standard output.
    pub fn print(&self, format: Format) -> Result<(), Failure> {
        let text = match format {
            Format::Table => self.readable(terminal_width()),
            Format::Json => self.json()?,
            Format::Csv => self.csv(),
        };
        print_text(&text)
    }

    /// A table where `width` has room for one, else one row below the other.
    fn readable(&self, width: u16) -> String {
        let text = if self.needs_chars() <= usize::from(width) {
            self.table(width) + "\n"
        } else if self.rows.is_empty() {
            // Names of columns alone, each a letter wide, tell nobody anything.
            String::new()
        } else {
            self.one_by_one(usize::from(width)) + "\n"
        };
        let rows = self.rows.len();
        format!("{text}({rows} row{})\n", if rows == 1 { "" } else { "s" })
    }

    /// The least width at which a table of it can be read.
    fn needs_chars(&self) -> usize {
        let column = |index: usize, name: &str| {
            let texts = self.rows.iter().filter_map(|row| row.get(index)).map(plain);
            let needs = texts.map(|text| {
                let word = text.split_whitespace().map(|word| word.chars().count()).max();
                let word = word.unwrap_or_default().min(WORD_CHARS);
                word.max(text.chars().count().min(READABLE_CHARS))
            });
            needs.max().unwrap_or_default().max(name.chars().count()) + PADDING_CHARS
        };
        let columns = self.columns.iter().enumerate();
        FRAME_CHARS + columns.map(|(index, it)| column(index, &it.name)).sum::<usize>()
    }

    fn table(&self, width: u16) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
        table.set_header(self.columns.iter().map(|column| column.name.clone()));
        for row in &self.rows {
            table.add_row(row.iter().map(|value| cut(&plain(value))));
        }
        // An id is there to be copied: it stays in one piece, whatever the other columns need.
        for (index, _) in
            self.columns.iter().enumerate().filter(|(_, column)| column.name.ends_with("_id"))
        {
            if let Some(column) = table.column_mut(index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.to_string()
    }

    /// Each row as lines of name and value.
    fn one_by_one(&self, width: usize) -> String {
        let names = self.columns.iter().map(|column| column.name.chars().count());
        let names = names.max().unwrap_or_default();
        let mut lines = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            let title = format!("─[ {} ]", number + 1);
            lines.push(format!("{title:─<width$}"));
            for (column, value) in self.columns.iter().zip(row) {
                let name = &column.name;
                let mut head = format!("{name:names$} │ ");
                for part in wrapped(&cut(&plain(value)), width.saturating_sub(names + 3)) {
                    lines.push(format!("{head}{part}").trim_end().to_owned());
                    head = format!("{:names$} │ ", "");
                }
            }
        }
        lines.join("\n")
    }

    fn json(&self) -> Result<String, Failure> {
        let objects: Vec<Map<String, Value>> = self
            .rows
            .iter()
            .map(|row| {
                self.columns
                    .iter()
                    .map(|column| column.name.clone())
                    .zip(row.iter().cloned())
                    .collect()
            })
            .collect();
        serde_json::to_string_pretty(&objects).map(|text| text + "\n").map_err(Failure::failed)
    }

    /// Lines end with a line feed alone, so that a shell's `$(... | tail -1)` is the value.
    fn csv(&self) -> String {
        let line = |fields: Vec<String>| fields.join(",") + "\n";
        let header = line(self.columns.iter().map(|column| csv_field(&column.name)).collect());
        let rows = self
            .rows
            .iter()
            .map(|row| line(row.iter().map(|value| csv_field(&plain(value))).collect()));
        header + &rows.collect::<String>()
    }
}

fn terminal_width() -> u16 {
    Table::new().width().unwrap_or(NO_TERMINAL_WIDTH)
}

/// `text` in lines of at most `width` characters, between words where it can; at least one line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(READABLE_CHARS);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let mut chars = word.chars().count();
        if used > 0 && used + word.trim_end().chars().count() > width {
            lines.push(String::new());
            used = 0;
        }
        let mut rest = word;
        while chars > width {
            let end = rest.char_indices().nth(width).map_or(rest.len(), |(end, _)| end);
            let (head, tail) = rest.split_at(end);
            if let Some(line) = lines.last_mut() {
                line.push_str(head);
            }
            lines.push(String::new());
            (rest, chars) = (tail, chars - width);
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(rest);
        }
        used += chars;
    }
    lines
}

/// Fit for a terminal: one line, no control characters, at most [`MAX_CELL_CHARS`].
fn cut(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= MAX_CELL_CHARS {
        return clean;
    }
    clean.chars().take(MAX_CELL_CHARS - 1).chain(['…']).collect()
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "01a20635-5f36-74df-bd6e-bebe288245d9";
    const WORDS: &str = "words that may be wrapped where there is no room";

    fn answer(columns: &[&str], row: &[&str]) -> Answer {
        let columns: Vec<Value> = columns.iter().map(|name| json!({"name": name})).collect();
        serde_json::from_value(json!({"columns": columns, "rows": [row]})).unwrap()
    }

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        let answer: Answer = serde_json::from_value(json!({
            "columns": [{"name": "who"}, {"name": "tables"}],
            "rows": [["a,\"b\"", ["app.x", "app.y"]], [null, []]],
        }))
        .unwrap();
        assert_eq!(answer.csv(), "who,tables\n\"a,\"\"b\"\"\",\"app.x, app.y\"\n,\n");
    }

    #[test]
    fn an_id_stays_in_one_piece() {
        let columns = ["session_id", "a", "b", "c", "d", "e"];
        let answer = answer(&columns, &[ID, WORDS, WORDS, WORDS, WORDS, WORDS]);
        for width in [100, 160, 200] {
            assert!(answer.readable(width).contains(ID), "{}", answer.readable(width));
        }
    }

    #[test]
    fn rows_are_shown_one_by_one_where_a_table_could_not_be_read() {
        let few = answer(&["a", "b"], &[WORDS, WORDS]);
        assert!(few.readable(60).contains('┌'), "{}", few.readable(60));
        let many = answer(&["a", "b", "c", "d", "e"], &[WORDS, "", WORDS, WORDS, WORDS]);
        let shown = many.readable(60);
        assert!(shown.starts_with("─[ 1 ]──") && shown.ends_with("(1 row)\n"), "{shown}");
        assert!(shown.contains(&format!("\na │ {WORDS}\nb │\nc │ {WORDS}\n")), "{shown}");
        assert!(many.readable(40).lines().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn of_nothing_the_columns_are_shown_only_where_they_can_be_read() {
        let names = ["principal_subject", "principal_issuer", "on_behalf_of", "statement"];
        let mut nothing = answer(&names, &["", "", "", ""]);
        nothing.rows.clear();
        assert_eq!(nothing.readable(40), "(0 rows)\n");
        let wide = nothing.readable(120);
        assert!(wide.contains("on_behalf_of") && wide.ends_with("\n(0 rows)\n"), "{wide}");
    }

    #[test]
    fn lines_break_between_words_and_in_words_that_are_too_long() {
        assert_eq!(wrapped("", 20), [""]);
        let parts = wrapped(&format!("a {} b", "x".repeat(45)), 20);
        assert_eq!(parts.concat(), format!("a {} b", "x".repeat(45)));
        assert!(parts.iter().all(|part| part.trim_end().chars().count() <= 20), "{parts:?}");
    }

    #[test]
    fn a_table_never_shows_control_characters() {
        assert_eq!(cut("a\u{1b}[31mb\nc"), "a [31mb c");
        assert_eq!(cut(&"x".repeat(500)).chars().count(), MAX_CELL_CHARS);
    }
}
