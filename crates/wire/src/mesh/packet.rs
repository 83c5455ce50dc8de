//! The packet of FISCO BCOS 3.x gateways, V0 to V3 (`P2PMessage`, `P2PMessageV2`).

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::Cursor;
use super::node_id::MAX_NODE_ID;
use super::{EncodeError, Ext, GroupOptions, MeshError, ModuleId, P2pId, PacketType, Version};

/// Largest packet, bytes, header included (`MAX_MESSAGE_LENGTH` of FISCO 3.12 and later).
pub const MAX_PACKET: usize = 32 * 1024 * 1024;
/// Hops a packet may make (`ttl` of a new packet in FISCO).
pub const INITIAL_TTL: i16 = 10;
/// Bytes of a V0 header.
pub const HEADER: usize = 14;
/// Bytes of the smallest header with a route: TTL and two empty IDs more.
pub const ROUTED_HEADER: usize = 20;

/// Where a packet comes from and goes to. V0 packets have none of it on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Hops that are left; a forwarder drops a packet with 0 or less and passes on one less.
    pub ttl: i16,
    /// The node that made the packet: short in V3, long in V1 and V2.
    pub source: P2pId,
    /// The node it is for; empty when it is for whoever is at the other end.
    pub destination: P2pId,
}

impl Default for Route {
    fn default() -> Self {
        Self { ttl: INITIAL_TTL, source: P2pId::EMPTY, destination: P2pId::EMPTY }
    }
}

/// One packet. Its fields are slices of the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Decides what the header holds.
    pub version: Version,
    /// What it is.
    pub packet_type: PacketType,
    /// Pairs an answer with its request; 0 in heartbeats.
    pub seq: u32,
    /// Bits beside the type.
    pub ext: Ext,
    /// Source and destination. In V0 it is not written, and is the default when read.
    pub route: Route,
    /// Present exactly in packets of types 5 and 6.
    pub options: Option<GroupOptions>,
    /// What it says; a zstd frame when `ext` has [`Ext::COMPRESS`].
    pub payload: Bytes,
}

impl Packet {
    /// A packet without addresses and options.
    #[must_use]
    pub fn new(version: Version, packet_type: PacketType, seq: u32, payload: Bytes) -> Self {
        let route = Route::default();
        Self { version, packet_type, seq, ext: Ext::NONE, route, options: None, payload }
    }

    /// A heartbeat: always V0, with seq 0.
    #[must_use]
    pub fn heartbeat() -> Self {
        Self::new(Version::V0, PacketType::Heartbeat, 0, Bytes::new())
    }

    /// The answer of FISCO's general responder: type 0, the request's seq, its source and
    /// destination swapped, a full TTL. Set `route.source` when the request did not name us.
    #[must_use]
    pub fn answer(&self, payload: Bytes) -> Self {
        let route = Route {
            ttl: INITIAL_TTL,
            source: self.route.destination.clone(),
            destination: self.route.source.clone(),
        };
        let packet = Self::new(self.version, PacketType::Response, self.seq, payload);
        Self { ext: Ext::RESPONSE, route, ..packet }
    }

    /// Whether it answers a request.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.ext.contains(Ext::RESPONSE)
    }

    /// The module a group message is for: the one in the options, or, when an old sender wrote 0
    /// there, the first two bytes of the payload. `None` without options, and while a payload that
    /// would be needed is packed or shorter than that.
    #[must_use]
    pub fn module(&self) -> Option<ModuleId> {
        let options = self.options.as_ref()?;
        if options.module.0 != 0 {
            return Some(options.module);
        }
        if self.ext.contains(Ext::COMPRESS) {
            return None;
        }
        self.payload.first_chunk().map(|bytes| ModuleId(u16::from_be_bytes(*bytes)))
    }

    /// Bytes of all before the payload.
    fn head_len(&self) -> usize {
        let route = match self.version.has_route() {
            true => {
                ROUTED_HEADER - HEADER
                    + self.route.source.as_bytes().len()
                    + self.route.destination.as_bytes().len()
            }
            false => 0,
        };
        HEADER + route + self.options.as_ref().map_or(0, GroupOptions::encoded_len)
    }

    /// Bytes of the whole packet on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.head_len() + self.payload.len()
    }

    /// Writes all before the payload, so that the payload can be sent from where it is, shared by
    /// all receivers of a broadcast.
    ///
    /// # Errors
    /// When the whole packet is larger than [`MAX_PACKET`], or options are missing, superfluous or
    /// not expressible. `out` may then hold a part of the header.
    pub fn encode_head(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let size = self.encoded_len();
        let too_large = EncodeError::TooLarge { what: "packet", size, limit: MAX_PACKET };
        let length = u32::try_from(size).map_err(|_| too_large)?;
        if size > MAX_PACKET {
            return Err(too_large);
        }
        if self.packet_type.has_options() != self.options.is_some() {
            return Err(EncodeError::Invalid("packets of types 5 and 6 have options, no others"));
        }
        out.reserve(self.head_len());
        out.put_u32(length);
        out.put_u16(self.version.number());
        out.put_u16(self.packet_type.number());
        out.put_u32(self.seq);
        out.put_u16(self.ext.0);
        if self.version.has_route() {
            out.put_i16(self.route.ttl);
            put_id(out, &self.route.source)?;
            put_id(out, &self.route.destination)?;
        }
        match &self.options {
            Some(options) => options.encode(out, self.packet_type),
            None => Ok(()),
        }
    }

    /// Writes the whole packet behind what `out` holds.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head); `out` is then as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let before = out.len();
        if let Err(error) = self.encode_head(out) {
            out.truncate(before);
            return Err(error);
        }
        out.put_slice(&self.payload);
        Ok(())
    }

    /// The header in a buffer of its own and the payload as it is, for a gather write.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn to_parts(&self) -> Result<[Bytes; 2], EncodeError> {
        let mut head = BytesMut::new();
        self.encode_head(&mut head)?;
        Ok([head.freeze(), self.payload.clone()])
    }

    /// Reads exactly one packet. Its fields become slices of `frame`.
    ///
    /// # Errors
    /// When `frame` is not one whole packet.
    pub fn decode(frame: Bytes) -> Result<Self, MeshError> {
        let mut cursor = Cursor::of_packet(frame)?;
        let version = Version::from_number(cursor.u16("header")?)?;
        let packet_type = PacketType::from_number(cursor.u16("header")?);
        let seq = cursor.u32("header")?;
        let ext = Ext(cursor.u16("header")?);
        let route = match version.has_route() {
            true => {
                let ttl = cursor.i16("ttl")?;
                let source = take_id(&mut cursor, "source node ID")?;
                let destination = take_id(&mut cursor, "destination node ID")?;
                Route { ttl, source, destination }
            }
            false => Route::default(),
        };
        let options = match packet_type.has_options() {
            true => Some(GroupOptions::decode(&mut cursor, packet_type)?),
            false => None,
        };
        Ok(Self { version, packet_type, seq, ext, route, options, payload: cursor.0 })
    }
}

fn put_id(out: &mut BytesMut, id: &P2pId) -> Result<(), EncodeError> {
    let bytes = id.as_bytes();
    let too_large =
        EncodeError::TooLarge { what: "node ID", size: bytes.len(), limit: MAX_NODE_ID };
    out.put_u16(u16::try_from(bytes.len()).map_err(|_| too_large)?);
    out.put_slice(bytes);
    Ok(())
}

fn take_id(cursor: &mut Cursor, what: &'static str) -> Result<P2pId, MeshError> {
    let size = usize::from(cursor.u16(what)?);
    let too_large = MeshError::TooLarge { what, size, limit: MAX_NODE_ID };
    if size > MAX_NODE_ID {
        return Err(too_large);
    }
    P2pId::new(cursor.take(size, what)?).map_err(|_| too_large)
}
