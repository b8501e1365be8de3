//! Hits that may be longer than any tail that is held back: how they go on, byte by byte.

/// Bytes of a private key in PEM that are hidden after its first line, when no last line comes. RSA with 16,384 bits
/// takes 12.5 KiB.
pub const MAX_PEM_BYTES: usize = 16 * 1024;

/// Bytes of a token that are hidden when it does not end.
pub const MAX_RUN_BYTES: usize = 16 * 1024;

/// What may still belong to a hit, decided by these bytes alone, so that it ends at one place however they come.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    shape: Shape,
    left: usize,
}

#[derive(Clone, Debug)]
enum Shape {
    /// The body of a PEM block up to and with its last line.
    Pem(Pem),
    /// base64url in so many parts with dots between.
    Jwt { dots: u8 },
    /// One alphabet.
    Run(fn(u8) -> bool),
}

/// Where in a PEM block.
#[derive(Clone, Copy, Debug)]
enum Pem {
    /// Behind so many dashes in a row.
    Body { dashes: u8 },
    /// Behind `-----` and so many letters of `END `.
    End { letters: usize },
    /// In the label of the last line, behind so many dashes.
    Label { dashes: u8 },
}

impl Tail {
    pub(crate) const fn pem() -> Self {
        Self { shape: Shape::Pem(Pem::Body { dashes: 0 }), left: MAX_PEM_BYTES }
    }

    /// A token of three parts, or of five when it is encrypted (RFC 7515, RFC 7516).
    pub(crate) const fn jwt(dots: u8) -> Self {
        Self { shape: Shape::Jwt { dots }, left: MAX_RUN_BYTES }
    }

    pub(crate) const fn run(alphabet: fn(u8) -> bool) -> Self {
        Self { shape: Shape::Run(alphabet), left: MAX_RUN_BYTES }
    }

    /// Takes what belongs to the hit from the front of `bytes`: how many, and whether it ended there.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (taken, next) in bytes.iter().enumerate() {
            match self.feed(*next) {
                Fed::Taken => {}
                Fed::Last => return (taken + 1, true),
                Fed::Not => return (taken, true),
            }
        }
        (bytes.len(), false)
    }

    fn feed(&mut self, next: u8) -> Fed {
        if self.left == 0 {
            return Fed::Not;
        }
        self.left -= 1;
        match &mut self.shape {
            Shape::Pem(pem) => pem.feed(next),
            Shape::Jwt { dots } => match next {
                b'.' if *dots == 0 => Fed::Not,
                b'.' => {
                    *dots -= 1;
                    Fed::Taken
                }
                _ if is_base64url(next) => Fed::Taken,
                _ => Fed::Not,
            },
            Shape::Run(alphabet) => {
                if alphabet(next) {
                    Fed::Taken
                } else {
                    Fed::Not
                }
            }
        }
    }
}

enum Fed {
    Taken,
    /// Taken, and nothing follows.
    Last,
    Not,
}

impl Pem {
    fn feed(&mut self, next: u8) -> Fed {
        if !is_pem(next) {
            return Fed::Not;
        }
        *self = match *self {
            Self::Body { dashes: 5.. } if next == b'E' => Self::End { letters: 1 },
            Self::End { letters } if b"END ".get(letters) == Some(&next) => match letters {
                3 => Self::Label { dashes: 0 },
                _ => Self::End { letters: letters + 1 },
            },
            Self::Label { dashes: 4 } if next == b'-' => return Fed::Last,
            Self::Label { dashes } if next == b'-' => Self::Label { dashes: dashes + 1 },
            Self::Label { .. } => Self::Label { dashes: 0 },
            Self::Body { dashes } if next == b'-' => {
                Self::Body { dashes: dashes.saturating_add(1) }
            }
            Self::End { .. } if next == b'-' => Self::Body { dashes: 1 },
            _ => Self::Body { dashes: 0 },
        };
        Fed::Taken
    }
}

/// What stands in a PEM block, its headers, and its lines as string literals of JSON and programs.
pub(crate) const fn is_pem(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'+' | b'/'
                | b'='
                | b'-'
                | b':'
                | b','
                | b'.'
                | b'('
                | b')'
                | b'_'
                | b'@'
                | b';'
                | b'\\'
                | b'"'
                | b'\''
                | b' '
                | b'\t'
                | b'\r'
                | b'\n'
        )
}

pub(crate) const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// `token68` of RFC 9110, 11.2.
pub(crate) const fn is_token68(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}
