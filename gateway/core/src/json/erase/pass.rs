//! The pass over the bytes: one token after another, so that it may stop wherever the bytes do.

use tallyport_detect::Kinds;

use super::{BadJson, Eraser, MAX_DEPTH, Shade, write_text};

/// A rule whose place is matched so far.
#[derive(Clone, Copy, Debug)]
struct Live {
    rule: usize,
    matched: usize,
}

/// An object or array that is open.
#[derive(Debug)]
struct Level {
    is_object: bool,
    live: Vec<Live>,
    given: Kinds,
    index: usize,
}

/// What comes next. `given`: what the name of the nearest member says of a value.
#[derive(Debug)]
enum Next {
    Value {
        live: Vec<Live>,
        given: Kinds,
    },
    /// The first of what is in an object or array, or its end.
    First,
    Member,
    Colon {
        live: Vec<Live>,
        given: Kinds,
    },
    /// What follows a value: a comma, or the end of what it is in.
    After,
}

/// How far a document is read.
#[derive(Debug)]
pub(super) struct Reading {
    levels: Vec<Level>,
    next: Next,
    /// How deep it lies in another.
    depth: usize,
}

impl Reading {
    /// At its beginning, with every rule of the eraser.
    pub(super) fn of(rules: usize, depth: usize) -> Self {
        let live = (0..rules).map(|rule| Live { rule, matched: 0 }).collect();
        Self { levels: Vec::new(), next: Next::Value { live, given: Kinds::NONE }, depth }
    }
}

/// Why a pass stops before the end of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Bad(BadJson),
    /// The rest of a token is not there yet.
    More,
}

/// Over bytes of a document.
pub(super) struct Pass<'p, 'a> {
    pub(super) eraser: &'p mut Eraser<'a>,
    pub(super) input: &'p [u8],
    pub(super) at: usize,
    pub(super) out: &'p mut Vec<u8>,
    /// Nothing follows the input.
    pub(super) is_whole: bool,
    /// Where in the document the input begins.
    pub(super) from: usize,
}

impl Pass<'_, '_> {
    /// Goes on to the end of the input, or of the value that `reading` began with; a token that is not whole is left.
    pub(super) fn run(&mut self, reading: &mut Reading) -> Result<(), Stop> {
        loop {
            self.blanks();
            let (at, length) = (self.at, self.out.len());
            match self.step(reading) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(stop) => {
                    self.at = at;
                    self.out.truncate(length);
                    return Err(stop);
                }
            }
        }
    }

    /// One token; false after the last.
    fn step(&mut self, reading: &mut Reading) -> Result<bool, Stop> {
        let Reading { levels, next, depth } = reading;
        match next {
            Next::Value { live, given } => {
                let depth = *depth + levels.len();
                if depth > MAX_DEPTH {
                    return Err(Stop::Bad(BadJson::Depth));
                }
                if let Some(shade) = self.hides(live) {
                    self.hide(shade, depth)?;
                    *next = Next::After;
                    return Ok(true);
                }
                let first = self.peek()?;
                if matches!(first, b'{' | b'[') {
                    self.expect(first)?;
                    let (is_object, live) = (first == b'{', std::mem::take(live));
                    levels.push(Level { is_object, live, given: *given, index: 0 });
                    *next = Next::First;
                } else {
                    self.scalar(first, *given)?;
                    *next = Next::After;
                }
            }
            Next::First => {
                let Some(level) = levels.last() else { return Err(self.bad()) };
                if self.peek()? == if level.is_object { b'}' } else { b']' } {
                    self.close(levels)?;
                    *next = Next::After;
                } else if level.is_object {
                    *next = Next::Member;
                } else {
                    *next = self.element(level);
                }
            }
            Next::Member => {
                let Some(level) = levels.last() else { return Err(self.bad()) };
                let from = self.at;
                let name = self.string()?;
                self.text(&name, from, Kinds::NONE);
                let live = self.below(&level.live, |part| part == "*" || part == name);
                let given =
                    self.eraser.screen.map_or(Kinds::NONE, |it| it.detectors().context_of(&name));
                *next = Next::Colon { live, given };
            }
            Next::Colon { live, given } => {
                self.expect(b':')?;
                *next = Next::Value { live: std::mem::take(live), given: *given };
            }
            Next::After => {
                let Some(level) = levels.last_mut() else { return Ok(false) };
                if self.peek()? == b',' {
                    self.expect(b',')?;
                    level.index += 1;
                    *next = if level.is_object { Next::Member } else { self.element(level) };
                } else {
                    self.close(levels)?;
                }
            }
        }
        Ok(true)
    }

    fn close(&mut self, levels: &mut Vec<Level>) -> Result<(), Stop> {
        let is_object = levels.last().is_some_and(|level| level.is_object);
        self.expect(if is_object { b'}' } else { b']' })?;
        levels.pop();
        Ok(())
    }

    fn element(&self, level: &Level) -> Next {
        let here = |part: &str| part == "*" || part.parse() == Ok(level.index);
        Next::Value { live: self.below(&level.live, here), given: level.given }
    }

    fn scalar(&mut self, first: u8, given: Kinds) -> Result<(), Stop> {
        let from = self.at;
        match first {
            b'"' => {
                let text = self.string()?;
                self.text(&text, from, given);
            }
            b't' | b'f' | b'n' => {
                self.word()?;
                self.copy(from);
            }
            _ => {
                self.number()?;
                let text = self.input.get(from..self.at).unwrap_or_default();
                match std::str::from_utf8(text).ok().and_then(|it| self.eraser.detect(it, given)) {
                    Some(masked) => write_text(&masked, self.out),
                    None => self.copy(from),
                }
            }
        }
        Ok(())
    }

    fn hides(&self, live: &[Live]) -> Option<Shade> {
        live.iter().find_map(|it| {
            let rule = self.eraser.rules.get(it.rule)?;
            (rule.place.parts().len() == it.matched).then_some(rule.shade)
        })
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
    fn hide(&mut self, shade: Shade, depth: usize) -> Result<(), Stop> {
        let from = self.at;
        let first = self.peek()?;
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
    fn skip(&mut self, depth: usize) -> Result<(), Stop> {
        let mut nowhere = Vec::new();
        let mut blind = Eraser::new(&[], None);
        let mut reading = Reading::of(0, depth);
        let mut pass = Pass {
            eraser: &mut blind,
            input: self.input,
            at: self.at,
            out: &mut nowhere,
            is_whole: self.is_whole,
            from: self.from,
        };
        // Blanks behind it belong to what it is in, and are copied there.
        while !(reading.levels.is_empty() && matches!(reading.next, Next::After)) {
            pass.blanks();
            pass.step(&mut reading)?;
        }
        self.at = pass.at;
        Ok(())
    }

    /// Reads a string, and says what it means.
    fn string(&mut self) -> Result<String, Stop> {
        let from = self.at;
        if self.peek()? != b'"' {
            return Err(self.bad());
        }
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                // Whatever is escaped: a quote at least.
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let raw = self.input.get(from..self.at).unwrap_or_default();
        serde_json::from_slice(raw).map_err(|_| self.bad_at(from))
    }

    fn word(&mut self) -> Result<(), Stop> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let words = ["true", "false", "null"].map(str::as_bytes);
        if let Some(word) = words.into_iter().find(|it| rest.starts_with(it)) {
            self.at += word.len();
            return Ok(());
        }
        let may_become_one = !self.is_whole && words.into_iter().any(|it| it.starts_with(rest));
        Err(if may_become_one { Stop::More } else { self.bad() })
    }

    fn number(&mut self) -> Result<(), Stop> {
        let from = self.at;
        let is_part = |it: &u8| matches!(it, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        while self.input.get(self.at).is_some_and(is_part) {
            self.at += 1;
        }
        if self.at == self.input.len() && !self.is_whole {
            return Err(Stop::More);
        }
        let raw = self.input.get(from..self.at).unwrap_or_default();
        let is_number = serde_json::from_slice::<&serde_json::value::RawValue>(raw).is_ok();
        if is_number { Ok(()) } else { Err(self.bad_at(from)) }
    }

    const fn bad(&self) -> Stop {
        self.bad_at(self.at)
    }

    const fn bad_at(&self, at: usize) -> Stop {
        Stop::Bad(BadJson::Syntax(self.from + at))
    }

    /// The byte that stands here.
    fn peek(&self) -> Result<u8, Stop> {
        let end = if self.is_whole { self.bad() } else { Stop::More };
        self.input.get(self.at).copied().ok_or(end)
    }

    /// Copies one byte that must stand here.
    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek()? != byte {
            return Err(self.bad());
        }
        self.at += 1;
        self.out.push(byte);
        Ok(())
    }

    fn blanks(&mut self) {
        let from = self.at;
        while matches!(self.input.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.copy(from);
    }

    /// Copies from `from` to here.
    fn copy(&mut self, from: usize) {
        self.out.extend_from_slice(self.input.get(from..self.at).unwrap_or_default());
    }
}
