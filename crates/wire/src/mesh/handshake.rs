//! The payload of a Handshake packet.

use bytes::Bytes;

use super::tars::{Kind, Reader, TarsError, Writer};
use super::{MeshError, VersionRange};

/// Module numbers in [`ProtocolInfo`]; receivers do not check them.
pub mod module {
    /// A front node, in the node status.
    pub const NODE_SERVICE: i32 = 0;
    /// A gateway, in the handshake.
    pub const GATEWAY_SERVICE: i32 = 1;
    /// A server of SDKs.
    pub const RPC_SERVICE: i32 = 2;
}

/// The versions that a part of a node speaks (`ProtocolInfo.tars`). All three are required; they
/// are kept as the peer wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolInfo {
    /// Which part, see [`module`].
    pub module: i32,
    /// Its lowest version.
    pub min_version: i32,
    /// Its highest version.
    pub max_version: i32,
}

impl ProtocolInfo {
    /// The handshake of a gateway with these versions.
    #[must_use]
    pub fn gateway(versions: VersionRange) -> Self {
        Self {
            module: module::GATEWAY_SERVICE,
            min_version: versions.min.number().into(),
            max_version: versions.max.number().into(),
        }
    }

    /// Writes the payload of a Handshake.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Reads the payload of a Handshake.
    ///
    /// # Errors
    /// When it is no such structure.
    pub fn decode(payload: Bytes) -> Result<Self, MeshError> {
        let mut fields = Fields::default();
        Reader::new(payload)
            .message(|reader, tag, kind| fields.read(reader, tag, kind))
            .and_then(|()| fields.finish())
            .map_err(|error| MeshError::Malformed { message: "Handshake", error })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.integer(1, self.module.into());
        writer.integer(2, self.min_version.into());
        writer.integer(3, self.max_version.into());
    }

    /// Reads it as an element of a list.
    pub(super) fn read(reader: &mut Reader, tag: u8, kind: Kind) -> Result<Self, TarsError> {
        let mut fields = Fields::default();
        reader.structure(tag, kind, |reader, tag, kind| fields.read(reader, tag, kind))?;
        fields.finish()
    }
}

#[derive(Default)]
struct Fields {
    module: Option<i32>,
    min: Option<i32>,
    max: Option<i32>,
}

impl Fields {
    fn read(&mut self, reader: &mut Reader, tag: u8, kind: Kind) -> Result<(), TarsError> {
        let field = match tag {
            1 => &mut self.module,
            2 => &mut self.min,
            3 => &mut self.max,
            _ => return reader.skip(tag, kind),
        };
        *field = Some(reader.int(tag, kind)?);
        Ok(())
    }

    fn finish(self) -> Result<ProtocolInfo, TarsError> {
        Ok(ProtocolInfo {
            module: self.module.ok_or(TarsError::Missing("moduleID"))?,
            min_version: self.min.ok_or(TarsError::Missing("minVersion"))?,
            max_version: self.max.ok_or(TarsError::Missing("maxVersion"))?,
        })
    }
}
