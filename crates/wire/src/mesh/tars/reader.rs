//! Reads Tars fields one after another.

use bytes::{Buf, Bytes};

use super::{Kind, MAX_DEPTH, TarsError};

/// Reads fields from the front of some bytes. Strings come out as slices of these bytes.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    depth: u8,
}

impl Reader {
    /// A reader of these bytes.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self { rest: bytes, depth: 0 }
    }

    /// Reads the outermost struct, to the end of the bytes. `field` is called with the tag and kind
    /// of each field and must take its body with one of the other methods; [`skip`](Self::skip)
    /// takes what it does not know.
    ///
    /// # Errors
    /// The first one found, by the reader or by `field`.
    pub fn message(
        &mut self,
        mut field: impl FnMut(&mut Self, u8, Kind) -> Result<(), TarsError>,
    ) -> Result<(), TarsError> {
        let mut previous = None;
        while !self.rest.is_empty() {
            let (tag, kind) = self.head()?;
            if kind == Kind::StructEnd {
                return Err(TarsError::StrayEnd);
            }
            ascending(&mut previous, tag)?;
            field(self, tag, kind)?;
        }
        Ok(())
    }

    /// Reads the body of a struct up to its end; `field` as in [`message`](Self::message).
    ///
    /// # Errors
    /// When `kind` is no struct, and the first error found within.
    pub fn structure(
        &mut self,
        tag: u8,
        kind: Kind,
        mut field: impl FnMut(&mut Self, u8, Kind) -> Result<(), TarsError>,
    ) -> Result<(), TarsError> {
        if kind != Kind::StructBegin {
            return Err(TarsError::WrongKind { tag, expected: "struct" });
        }
        self.nested(|reader| {
            let mut previous = None;
            loop {
                let (tag, kind) = reader.head()?;
                if kind == Kind::StructEnd {
                    return Ok(());
                }
                ascending(&mut previous, tag)?;
                field(reader, tag, kind)?;
            }
        })
    }

    /// Reads a list of at most `limit` elements; `what` names it in errors. Nothing is allocated by
    /// the count.
    ///
    /// # Errors
    /// When `kind` is no list, the list is too long, and the first error found within.
    pub fn list<T>(
        &mut self,
        (tag, kind): (u8, Kind),
        what: &'static str,
        limit: usize,
        mut element: impl FnMut(&mut Self, u8, Kind) -> Result<T, TarsError>,
    ) -> Result<Vec<T>, TarsError> {
        if kind != Kind::List {
            return Err(TarsError::WrongKind { tag, expected: "list" });
        }
        self.nested(|reader| {
            let count = reader.count()?;
            if count > limit {
                return Err(TarsError::TooMany { what, count, limit });
            }
            let mut elements = Vec::new();
            for _ in 0..count {
                let kind = reader.element_head(0)?;
                elements.push(element(reader, 0, kind)?);
            }
            Ok(elements)
        })
    }

    /// Reads a map of at most `limit` entries, in their order; otherwise as [`list`](Self::list).
    ///
    /// # Errors
    /// When `kind` is no map, the map is too long, and the first error found within.
    pub fn map<K, V>(
        &mut self,
        (tag, kind): (u8, Kind),
        what: &'static str,
        limit: usize,
        mut key: impl FnMut(&mut Self, u8, Kind) -> Result<K, TarsError>,
        mut value: impl FnMut(&mut Self, u8, Kind) -> Result<V, TarsError>,
    ) -> Result<Vec<(K, V)>, TarsError> {
        if kind != Kind::Map {
            return Err(TarsError::WrongKind { tag, expected: "map" });
        }
        self.nested(|reader| {
            let count = reader.count()?;
            if count > limit {
                return Err(TarsError::TooMany { what, count, limit });
            }
            let mut entries = Vec::new();
            for _ in 0..count {
                let kind = reader.element_head(0)?;
                let key = key(reader, 0, kind)?;
                let kind = reader.element_head(1)?;
                entries.push((key, value(reader, 1, kind)?));
            }
            Ok(entries)
        })
    }

    /// The body of an `int`: any integer kind up to 32 bits.
    ///
    /// # Errors
    /// When the field is of another kind or not complete.
    pub fn int(&mut self, tag: u8, kind: Kind) -> Result<i32, TarsError> {
        match kind {
            Kind::Zero => Ok(0),
            Kind::Int8 => self.rest.try_get_i8().map(i32::from).map_err(|_| TarsError::Truncated),
            Kind::Int16 => self.rest.try_get_i16().map(i32::from).map_err(|_| TarsError::Truncated),
            Kind::Int32 => self.rest.try_get_i32().map_err(|_| TarsError::Truncated),
            _ => Err(TarsError::WrongKind { tag, expected: "integer of 32 bits" }),
        }
    }

    /// The body of a `long`: any integer kind.
    ///
    /// # Errors
    /// When the field is of another kind or not complete.
    pub fn long(&mut self, tag: u8, kind: Kind) -> Result<i64, TarsError> {
        match kind {
            Kind::Int64 => self.rest.try_get_i64().map_err(|_| TarsError::Truncated),
            Kind::Zero | Kind::Int8 | Kind::Int16 | Kind::Int32 => {
                self.int(tag, kind).map(i64::from)
            }
            _ => Err(TarsError::WrongKind { tag, expected: "integer" }),
        }
    }

    /// The body of a `string`, any bytes; a slice of what is read.
    ///
    /// # Errors
    /// When the field is of another kind or not complete.
    pub fn string(&mut self, tag: u8, kind: Kind) -> Result<Bytes, TarsError> {
        let length = match kind {
            Kind::String1 => self.rest.try_get_u8().map(u32::from),
            Kind::String4 => self.rest.try_get_u32(),
            _ => return Err(TarsError::WrongKind { tag, expected: "string" }),
        };
        let length = length.map_err(|_| TarsError::Truncated)?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Takes the body of a field of any kind, to pass over it.
    ///
    /// # Errors
    /// When the body is not complete or malformed.
    pub fn skip(&mut self, tag: u8, kind: Kind) -> Result<(), TarsError> {
        match kind {
            Kind::Zero => Ok(()),
            Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => {
                self.long(tag, kind).map(|_| ())
            }
            Kind::Float => self.take(4).map(|_| ()),
            Kind::Double => self.take(8).map(|_| ()),
            Kind::String1 | Kind::String4 => self.string(tag, kind).map(|_| ()),
            Kind::Map => {
                self.map((tag, kind), "map", usize::MAX, Self::skip, Self::skip).map(|_| ())
            }
            Kind::List => self.list((tag, kind), "list", usize::MAX, Self::skip).map(|_| ()),
            Kind::StructBegin => self.structure(tag, kind, Self::skip),
            Kind::StructEnd => Err(TarsError::StrayEnd),
            Kind::ByteArray => {
                let (tag, kind) = self.head()?;
                if (tag, kind) != (0, Kind::Int8) {
                    return Err(TarsError::WrongKind { tag, expected: "byte" });
                }
                let count = self.count()?;
                self.take(count).map(|_| ())
            }
        }
    }

    fn head(&mut self) -> Result<(u8, Kind), TarsError> {
        let first = self.rest.try_get_u8().map_err(|_| TarsError::Truncated)?;
        let kind = Kind::from_number(first & 0x0f)?;
        let tag = match first >> 4 {
            15 => self.rest.try_get_u8().map_err(|_| TarsError::Truncated)?,
            tag => tag,
        };
        Ok((tag, kind))
    }

    fn element_head(&mut self, expected: u8) -> Result<Kind, TarsError> {
        let (tag, kind) = self.head()?;
        if tag != expected {
            return Err(TarsError::ElementTag(tag));
        }
        Ok(kind)
    }

    /// A count: an integer with tag 0, and no more elements than bytes, since each takes one.
    fn count(&mut self) -> Result<usize, TarsError> {
        let kind = self.element_head(0)?;
        let count = self.int(0, kind)?;
        let left = self.rest.len();
        let error = TarsError::Count { count: i64::from(count), left };
        usize::try_from(count).ok().filter(|count| *count <= left).ok_or(error)
    }

    fn take(&mut self, count: usize) -> Result<Bytes, TarsError> {
        if count > self.rest.len() {
            return Err(TarsError::Truncated);
        }
        Ok(self.rest.split_to(count))
    }

    fn nested<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, TarsError>,
    ) -> Result<T, TarsError> {
        if self.depth >= MAX_DEPTH {
            return Err(TarsError::Depth);
        }
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }
}

fn ascending(previous: &mut Option<u8>, tag: u8) -> Result<(), TarsError> {
    match previous.replace(tag) {
        Some(previous) if previous >= tag => Err(TarsError::Order { tag, previous }),
        _ => Ok(()),
    }
}
