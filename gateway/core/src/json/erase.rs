//! One pass over the bytes of a document. What is not hidden is copied as it stands: numbers keep their digits, members their
//! order, blanks their places.

use tallyport_detect::{Findings, Kinds, Screen};

use super::{Place, REDACTED, masked_text};
use crate::masking::Mask;

/// How deep a document may nest.
const MAX_DEPTH: usize = 128;

/// What is hidden at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hide {
    /// Where.
    pub place: Place,
    /// How.
    pub shade: Shade,
}

/// What stands where something is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// What the mask shows of it.
    Mask(Mask),
    /// Nothing of it, as base64 (RFC 4648): for readers that decode what stands there.
    Base64,
}

/// `[redacted]`, as base64.
const REDACTED_BASE64: &str = "W3JlZGFjdGVkXQ==";

impl From<Mask> for Shade {
    fn from(mask: Mask) -> Self {
        Self::Mask(mask)
    }
}

impl Shade {
    fn of(self, text: &str) -> String {
        match self {
            Self::Mask(mask) => masked_text(text, mask),
            Self::Base64 => REDACTED_BASE64.to_owned(),
        }
    }

    /// Of what has parts.
    fn whole(self) -> String {
        match self {
            Self::Mask(_) => REDACTED.to_owned(),
            Self::Base64 => REDACTED_BASE64.to_owned(),
        }
    }
}

/// Bytes that are no JSON, or more than is looked into; none of them may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJson {
    /// They are not JSON (RFC 8259).
    #[error("it is not JSON, at byte {0}")]
    Syntax(usize),
    /// They nest too deep.
    #[error("it nests deeper than {MAX_DEPTH} levels")]
    Depth,
}

/// Hides in one document after another.
#[derive(Debug)]
pub struct Eraser<'a> {
    rules: &'a [Hide],
    screen: Option<&'a Screen>,
    /// What the detectors found so far.
    pub findings: Findings,
    /// How many values the rules hid so far.
    pub hidden: u64,
}

impl<'a> Eraser<'a> {
    /// Rules first, then detectors.
    #[must_use]
    pub fn new(rules: &'a [Hide], screen: Option<&'a Screen>) -> Self {
        Self { rules, screen, findings: Findings::default(), hidden: 0 }
    }

    /// Appends the document to `out` as it may be seen.
    ///
    /// # Errors
    /// [`BadJson`]: what was appended by then must not be passed on.
    pub fn document(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), BadJson> {
        let live: Vec<Live> = (0..self.rules.len()).map(|rule| Live { rule, matched: 0 }).collect();
        let mut pass = Pass { eraser: self, input, at: 0, out };
        pass.blanks();
        pass.value(&live, Kinds::NONE, 0)?;
        pass.blanks();
        if pass.at == input.len() { Ok(()) } else { Err(pass.bad()) }
    }
}

/// A rule whose place is matched so far.
#[derive(Clone, Copy)]
struct Live {
    rule: usize,
    matched: usize,
}

struct Pass<'p, 'a> {
    eraser: &'p mut Eraser<'a>,
    input: &'p [u8],
    at: usize,
    out: &'p mut Vec<u8>,
}

impl Pass<'_, '_> {
    const fn bad(&self) -> BadJson {
        BadJson::Syntax(self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// Copies one byte that must stand here.
    fn expect(&mut self, byte: u8) -> Result<(), BadJson> {
        if self.peek() != Some(byte) {
            return Err(self.bad());
        }
        self.at += 1;
        self.out.push(byte);
        Ok(())
    }

    fn blanks(&mut self) {
        let from = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.copy(from);
    }

    /// Copies from `from` to here.
    fn copy(&mut self, from: usize) {
        self.out.extend_from_slice(self.input.get(from..self.at).unwrap_or_default());
    }

    /// `given`: what the name of the nearest member says of it.
    fn value(&mut self, live: &[Live], given: Kinds, depth: usize) -> Result<(), BadJson> {
        if depth > MAX_DEPTH {
            return Err(BadJson::Depth);
        }
        let hides = live.iter().find_map(|it| {
            let rule = self.eraser.rules.get(it.rule)?;
            (rule.place.parts().len() == it.matched).then_some(rule.shade)
        });
        if let Some(shade) = hides {
            return self.hide(shade, depth);
        }
        match self.peek().ok_or_else(|| self.bad())? {
            b'{' => self.object(live, depth),
            b'[' => self.array(live, given, depth),
            b'"' => {
                let from = self.at;
                let text = self.string()?;
                self.text(&text, from, given);
                Ok(())
            }
            b't' | b'f' | b'n' => {
                let from = self.at;
                self.word()?;
                self.copy(from);
                Ok(())
            }
            _ => {
                let from = self.at;
                self.number()?;
                let text = self.input.get(from..self.at).unwrap_or_default();
                match std::str::from_utf8(text).ok().and_then(|it| self.eraser.detect(it, given)) {
                    Some(masked) => write_text(&masked, self.out),
                    None => self.copy(from),
                }
                Ok(())
            }
        }
    }

    fn object(&mut self, live: &[Live], depth: usize) -> Result<(), BadJson> {
        self.expect(b'{')?;
        self.blanks();
        if self.peek() == Some(b'}') {
            return self.expect(b'}');
        }
        loop {
            let from = self.at;
            let name = self.string()?;
            self.text(&name, from, Kinds::NONE);
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            let below = self.below(live, |part| part == "*" || part == name);
            let given =
                self.eraser.screen.map_or(Kinds::NONE, |it| it.detectors().context_of(&name));
            self.value(&below, given, depth + 1)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.expect(b',')?,
                _ => return self.expect(b'}'),
            }
            self.blanks();
        }
    }

    fn array(&mut self, live: &[Live], given: Kinds, depth: usize) -> Result<(), BadJson> {
        self.expect(b'[')?;
        self.blanks();
        if self.peek() == Some(b']') {
            return self.expect(b']');
        }
        let mut index = 0_usize;
        loop {
            let here = |part: &str| part == "*" || part.parse() == Ok(index);
            let below = self.below(live, here);
            self.value(&below, given, depth + 1)?;
            index += 1;
            self.blanks();
            match self.peek() {
                Some(b',') => self.expect(b',')?,
                _ => return self.expect(b']'),
            }
            self.blanks();
        }
    }

    /// The rules that go on below, where the next part of their place `is` what stands here.
    fn below(&self, live: &[Live], is: impl Fn(&str) -> bool) -> Vec<Live> {
        let next = |it: &Live| {
            let part = self.eraser.rules.get(it.rule)?.place.parts().get(it.matched)?;
            is(part).then_some(Live { rule: it.rule, matched: it.matched + 1 })
        };
        live.iter().filter_map(next).collect()
    }

    /// A string or a name, which begins at `from` and ends here.
    fn text(&mut self, text: &str, from: usize, given: Kinds) {
        match self.eraser.detect(text, given) {
            Some(masked) => write_text(&masked, self.out),
            None => self.copy(from),
        }
    }

    /// Null stays null; what has parts is hidden whole.
    fn hide(&mut self, shade: Shade, depth: usize) -> Result<(), BadJson> {
        let from = self.at;
        let first = self.peek().ok_or_else(|| self.bad())?;
        let seen = match first {
            b'"' => shade.of(&self.string()?),
            b'{' | b'[' => {
                self.skip(depth)?;
                shade.whole()
            }
            b't' | b'f' | b'n' => {
                self.word()?;
                if first == b'n' {
                    self.copy(from);
                    return Ok(());
                }
                self.masked_since(from, shade)
            }
            _ => {
                self.number()?;
                self.masked_since(from, shade)
            }
        };
        self.eraser.hidden += 1;
        write_text(&seen, self.out);
        Ok(())
    }

    fn masked_since(&self, from: usize, shade: Shade) -> String {
        let text = self.input.get(from..self.at).unwrap_or_default();
        shade.of(std::str::from_utf8(text).unwrap_or_default())
    }

    /// Goes over a value of which nothing is copied.
    fn skip(&mut self, depth: usize) -> Result<(), BadJson> {
        let mut nowhere = Vec::new();
        let mut blind = Eraser::new(&[], None);
        let mut pass =
            Pass { eraser: &mut blind, input: self.input, at: self.at, out: &mut nowhere };
        pass.value(&[], Kinds::NONE, depth)?;
        self.at = pass.at;
        Ok(())
    }

    /// Reads a string, and says what it means.
    fn string(&mut self) -> Result<String, BadJson> {
        let from = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.bad());
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                // Whatever is escaped: a quote at least.
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.bad()),
            }
        }
        self.at += 1;
        let raw = self.input.get(from..self.at).unwrap_or_default();
        serde_json::from_slice(raw).map_err(|_| BadJson::Syntax(from))
    }

    fn word(&mut self) -> Result<(), BadJson> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let word = ["true", "false", "null"].into_iter().find(|it| rest.starts_with(it.as_bytes()));
        self.at += word.ok_or_else(|| self.bad())?.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), BadJson> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let raw = self.input.get(from..self.at).unwrap_or_default();
        let is_number = serde_json::from_slice::<&serde_json::value::RawValue>(raw).is_ok();
        if is_number { Ok(()) } else { Err(BadJson::Syntax(from)) }
    }
}

impl Eraser<'_> {
    fn detect(&mut self, text: &str, given: Kinds) -> Option<String> {
        let mut out = Vec::with_capacity(text.len());
        let found = self.screen?.mask(text.as_bytes(), given, &mut out);
        if found.is_empty() {
            return None;
        }
        self.findings.merge(&found);
        // Marks are put where characters begin; were one not, nothing of the text would pass.
        let masked = String::from_utf8(out).unwrap_or_else(|_| REDACTED.to_owned());
        // An alert changes nothing.
        (masked != text).then_some(masked)
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests;
