//! A cursor over the body of one message: every read is checked, nothing is indexed.

/// A message does not have the form that its kind has (PostgreSQL documentation, "Message Formats").
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} message is malformed")]
pub struct Malformed {
    /// The message.
    pub what: &'static str,
}

/// Reads network-order integers, zero-terminated texts and counted bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `body`, the message's bytes after its length; `what` names it in errors.
    #[must_use]
    pub const fn new(body: &'a [u8], what: &'static str) -> Self {
        Self { rest: body, what }
    }

    /// The error of this message.
    #[must_use]
    pub const fn malformed(&self) -> Malformed {
        Malformed { what: self.what }
    }

    /// `length` bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// When there is none.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    /// An Int16.
    ///
    /// # Errors
    /// When fewer than two bytes are left.
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// An Int16 that counts: the protocol's counts go up to 65535.
    ///
    /// # Errors
    /// When fewer than two bytes are left.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        self.array().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    /// An Int32.
    ///
    /// # Errors
    /// When fewer than four bytes are left.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// An oid.
    ///
    /// # Errors
    /// When fewer than four bytes are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// The bytes up to a zero byte, which is taken too.
    ///
    /// # Errors
    /// When no zero byte follows.
    pub fn cstr(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(self.malformed())?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        Ok(text)
    }

    /// A value with an Int32 length in front; −1 is NULL.
    ///
    /// # Errors
    /// When the length is below −1 or reaches beyond the message.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| self.malformed())?;
                self.bytes(length).map(Some)
            }
        }
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub const fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}
