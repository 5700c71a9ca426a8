//! Which fields does a protobuf message hold? Read in place: nothing is copied, no length is believed.

use strandline_model::metadata::take_varint;

/// Why bytes are not the message that was expected.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// A number or a length leads past the end.
    #[error("proto: unexpected end of input")]
    Truncated,
    /// A field number of zero, or above what protobuf has.
    #[error("proto: illegal tag")]
    Tag,
    /// Groups and types that do not exist.
    #[error("proto: illegal wireType {0}")]
    WireType(u8),
    /// A known field in another form.
    #[error("proto: wrong wireType = {found} for field {field}")]
    Mismatch {
        /// The field.
        field: &'static str,
        /// The type it came with.
        found: u8,
    },
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed64(u64),
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The bytes of a string or message.
    pub(super) fn bytes(self, field: &'static str) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(WireError::Mismatch { field, found: other.wire_type() }),
        }
    }

    /// The number of an integer field.
    pub(super) fn varint(self, field: &'static str) -> Result<u64, WireError> {
        match self {
            Self::Varint(n) => Ok(n),
            other => Err(WireError::Mismatch { field, found: other.wire_type() }),
        }
    }

    /// The number of a field of eight bytes.
    pub(super) fn fixed64(self, field: &'static str) -> Result<u64, WireError> {
        match self {
            Self::Fixed64(n) => Ok(n),
            other => Err(WireError::Mismatch { field, found: other.wire_type() }),
        }
    }

    /// The number of a field of four bytes.
    pub(super) fn fixed32(self, field: &'static str) -> Result<u32, WireError> {
        match self {
            Self::Fixed32(n) => Ok(n),
            other => Err(WireError::Mismatch { field, found: other.wire_type() }),
        }
    }

    fn wire_type(self) -> u8 {
        match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32(_) => 5,
        }
    }
}

/// The fields of a message, in order; ends after the first error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn field(&mut self) -> Result<(u64, Value<'a>), WireError> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError::Tag);
        }
        let value = match tag as u8 & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(self.fixed32()?),
            other => return Err(WireError::WireType(other)),
        };
        Ok((number, value))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        // Nearly all tags and most lengths are one byte.
        if let [b @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*b));
        }
        take_varint(&mut self.0).ok_or(WireError::Truncated)
    }

    fn fixed64(&mut self) -> Result<u64, WireError> {
        let bytes = self.take(8)?.try_into().map_err(|_| WireError::Truncated)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn fixed32(&mut self) -> Result<u32, WireError> {
        let bytes = self.take(4)?.try_into().map_err(|_| WireError::Truncated)?;
        Ok(u32::from_le_bytes(bytes))
    }

    #[inline]
    fn take(&mut self, len: u64) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(len).map_err(|_| WireError::Truncated)?;
        let (head, tail) = self.0.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, WireError> {
        Fields(bytes).collect()
    }

    #[test]
    fn fields_of_every_type() {
        let bytes = [
            0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0xfa,
            0xff, 0xff, 0xff, 0x0f, 0,
        ];
        let wanted = vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed64(0x0807_0605_0403_0201)),
            (4, Value::Fixed32(0x0403_0201)),
            (0x1fff_ffff, Value::Bytes(b"")),
        ];
        assert_eq!(read(&bytes), Ok(wanted));
    }

    #[test]
    fn lies_are_errors() {
        let table: &[(&[u8], WireError)] = &[
            (&[0x0a], WireError::Truncated),
            (&[0x0a, 5, 1], WireError::Truncated),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], WireError::Truncated),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], WireError::Truncated),
            (&[0x80], WireError::Truncated),
            (&[0x09, 1, 2, 3], WireError::Truncated),
            (&[0x0d, 1, 2, 3], WireError::Truncated),
            (&[0x02, 0], WireError::Tag),
            (&[0x80, 0x80, 0x80, 0x80, 0x10, 0], WireError::Tag),
            (&[0x0b], WireError::WireType(3)),
            (&[0x0c], WireError::WireType(4)),
            (&[0x0e], WireError::WireType(6)),
        ];
        for (bytes, error) in table {
            assert_eq!(read(bytes), Err(*error), "{bytes:?}");
        }
    }
}
