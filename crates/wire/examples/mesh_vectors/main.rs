//! Speaks with the second implementation of the mesh packets and of AMOP, `interop/mesh_decoder`.
//!
//!     mesh_vectors make [COUNT [SEED]]   prints packets and messages, one JSON object a line:
//!                                        {"kind": …, "hex": …, "value": …}
//!     mesh_vectors read                  reads {"kind": …, "hex": …} from standard input and answers
//!                                        each line with {"value": …, "again": hex} or {"error": …}
//!
//! Values are plain objects; byte strings in them are lower-case hex, texts out of JSON are texts.

mod amop;

use std::io::{BufRead, Write};

use bytes::{Bytes, BytesMut};
use chainmesh_wire::mesh::rc2::{ProtocolId, Rc2Packet, TopicMessage};
use chainmesh_wire::mesh::{
    Ext, FrontMessage, GroupNodeInfo, GroupOptions, GroupType, MAX_UNPACKED, ModuleId,
    NodeExtension, NodeIdInfo, NodeStatus, NodeType, P2pId, Packet, PacketType, ProtocolInfo,
    Route, RouterTable, RouterTableEntry, Version, compress, decompress,
};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// One thing of either side, as it is told to the other.
struct Said {
    kind: &'static str,
    bytes: Bytes,
    value: Value,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("make") => {
            let count = arguments.next().map_or(Ok(100), |text| text.parse::<u64>())?;
            let seed = arguments.next().map_or(Ok(1), |text| text.parse::<u64>())?;
            make(count, seed)
        }
        Some("read") => read(),
        _ => Err("mesh_vectors make [COUNT [SEED]] | mesh_vectors read".into()),
    }
}

fn make(count: u64, seed: u64) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut draw = Draw(seed);
    for round in 0..count {
        let said = match round % 12 {
            0 | 1 => Said::packet(&draw.packet())?,
            2 => Said::front(&draw.front())?,
            3 => Said::protocol_info(draw.protocol_info()),
            4 => Said::node_status(&draw.node_status()),
            5 => Said::router_table(&draw.router_table()),
            6 => match draw.below(2) {
                0 => Said::rc2(&draw.rc2())?,
                _ => Said::topics(draw.below(1 << 32), draw.topics())?,
            },
            7 => Said::zstd(draw.compressible())?,
            _ => amop::said(&mut draw)?,
        };
        writeln!(out, "{}", said.line())?;
    }
    Ok(())
}

fn read() -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let kind = line["kind"].as_str().ok_or("a line without its kind")?;
        let bytes = const_hex::decode(line["hex"].as_str().ok_or("a line without its bytes")?)?;
        let answer = match understand(kind, bytes.into()) {
            Ok(said) => json!({"value": said.value, "again": hex(&said.bytes)}),
            Err(error) => json!({"error": error.to_string()}),
        };
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

/// Reads bytes of this kind, and writes them again from what was read.
fn understand(kind: &str, bytes: Bytes) -> Result<Said, Failure> {
    match kind {
        "packet" => Said::packet(&Packet::decode(bytes)?),
        "front" => Said::front(&FrontMessage::decode(bytes)?),
        "protocol_info" => Ok(Said::protocol_info(ProtocolInfo::decode(bytes)?)),
        "node_status" => Ok(Said::node_status(&NodeStatus::decode(bytes)?)),
        "router_table" => Ok(Said::router_table(&RouterTable::decode(bytes)?)),
        "rc2" => Said::rc2(&Rc2Packet::decode(bytes)?),
        "topics" => {
            let packet = Rc2Packet::new(ProtocolId::TOPIC.opposite(), 3, 1, bytes);
            match TopicMessage::decode(&packet)? {
                Some(TopicMessage::SendTopics { seq, topics }) => Said::topics(seq.into(), topics),
                other => Err(format!("{other:?} is no list of topics").into()),
            }
        }
        "zstd" => Said::zstd(decompress(&bytes, MAX_UNPACKED)?),
        _ => amop::understand(kind, bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    const_hex::encode(bytes)
}

fn hexes(list: &[Bytes]) -> Vec<String> {
    list.iter().map(|bytes| hex(bytes)).collect()
}

fn info(info: &ProtocolInfo) -> Value {
    json!({"module": info.module, "min": info.min_version, "max": info.max_version})
}

impl Said {
    fn line(&self) -> Value {
        json!({"kind": self.kind, "hex": hex(&self.bytes), "value": self.value})
    }

    fn packet(packet: &Packet) -> Result<Self, Failure> {
        let mut value = json!({
            "version": packet.version.number(),
            "type": packet.packet_type.number(),
            "seq": packet.seq,
            "ext": packet.ext.0,
            "payload": hex(&packet.payload),
        });
        if packet.version.has_route() {
            value["ttl"] = packet.route.ttl.into();
            value["src"] = hex(packet.route.source.as_bytes()).into();
            value["dst"] = hex(packet.route.destination.as_bytes()).into();
        }
        if let Some(options) = &packet.options {
            value["options"] = json!({
                "group": hex(&options.group),
                "src": hex(&options.source),
                "dst": hexes(&options.destinations),
                "module": options.module.0,
            });
        }
        let mut bytes = BytesMut::new();
        packet.encode(&mut bytes)?;
        Ok(Self { kind: "packet", bytes: bytes.freeze(), value })
    }

    fn front(front: &FrontMessage) -> Result<Self, Failure> {
        let value = json!({
            "module": front.module.0,
            "uuid": hex(&front.uuid),
            "ext": front.ext,
            "payload": hex(&front.payload),
        });
        Ok(Self { kind: "front", bytes: front.encode()?, value })
    }

    fn protocol_info(of: ProtocolInfo) -> Self {
        Self { kind: "protocol_info", bytes: of.encode(), value: info(&of) }
    }

    fn node_status(status: &NodeStatus) -> Self {
        let group = |group: &GroupNodeInfo| {
            json!({
                "group": hex(&group.group),
                "nodes": hexes(&group.nodes),
                "type": group.group_type.0,
                "protocols": group.protocols.iter().map(info).collect::<Vec<_>>(),
                "node_types": group.node_types.iter().map(|node| node.0).collect::<Vec<_>>(),
            })
        };
        let extension = status
            .extension
            .map(|extension| json!({"role": extension.role.0, "height": extension.height}));
        let value = json!({
            "uuid": hex(&status.uuid),
            "seq": status.seq,
            "groups": status.groups.iter().map(group).collect::<Vec<_>>(),
            "extension": extension,
        });
        Self { kind: "node_status", bytes: status.encode(), value }
    }

    fn router_table(table: &RouterTable) -> Self {
        let entry = |entry: &RouterTableEntry| {
            let forms = |info: &NodeIdInfo| json!({"short": hex(info.short.as_bytes()), "long": hex(info.long.as_bytes())});
            json!({
                "dst": hex(entry.destination.as_bytes()),
                "next": hex(entry.next_hop.as_bytes()),
                "distance": entry.distance,
                "info": entry.info.as_ref().map(forms),
            })
        };
        let value = table.entries.iter().map(entry).collect();
        Self { kind: "router_table", bytes: table.encode(), value }
    }

    fn rc2(packet: &Rc2Packet) -> Result<Self, Failure> {
        let value = json!({
            "version": packet.version,
            "protocol": packet.protocol.0,
            "type": packet.packet_type,
            "seq": packet.seq,
            "response": packet.is_response(),
            "payload": hex(&packet.payload),
        });
        let mut bytes = BytesMut::new();
        packet.encode(&mut bytes)?;
        Ok(Self { kind: "rc2", bytes: bytes.freeze(), value })
    }

    fn topics(seq: u64, topics: Vec<Bytes>) -> Result<Self, Failure> {
        let value = json!({"seq": seq, "topics": hexes(&topics)});
        let message = TopicMessage::SendTopics { seq: u32::try_from(seq)?, topics };
        Ok(Self { kind: "topics", bytes: message.to_packet(1)?.payload, value })
    }

    fn zstd(plain: Bytes) -> Result<Self, Failure> {
        let value = json!({"plain": hex(&plain)});
        Ok(Self { kind: "zstd", bytes: compress(&plain)?, value })
    }
}

/// A source of things to say: the same seed says the same (splitmix64).
struct Draw(u64);

impl Draw {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound
    }

    /// A number of every size that a field can have.
    fn int(&mut self) -> i32 {
        let shift = self.below(40);
        let word = (self.word() as i32).checked_shr(shift as u32).unwrap_or(0);
        word.saturating_sub(self.below(2) as i32)
    }

    fn bytes(&mut self, most: u64) -> Bytes {
        let length = self.below(most + 1);
        (0..length).map(|_| self.word() as u8).collect()
    }

    fn many<T>(&mut self, most: u64, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| one(self)).collect()
    }

    fn node_id(&mut self) -> P2pId {
        let text = |draw: &mut Self| hex(&(0..270).map(|_| draw.word() as u8).collect::<Vec<_>>());
        let long = P2pId::new(text(self)).unwrap_or_default();
        match self.below(3) {
            0 => P2pId::EMPTY,
            1 => long,
            _ => long.to_short(),
        }
    }

    fn packet(&mut self) -> Packet {
        let version = Version::ALL[self.below(4) as usize];
        let number = [self.below(14), self.below(65_536)][self.below(2) as usize];
        let packet_type = PacketType::from_number(number as u16);
        let mut packet = Packet::new(version, packet_type, self.word() as u32, self.bytes(300));
        packet.ext = Ext(self.word() as u16);
        if version.has_route() {
            let ttl = self.word() as i16;
            packet.route = Route { ttl, source: self.node_id(), destination: self.node_id() };
        }
        if packet_type.has_options() {
            let length = 1 + self.below(70);
            let ids = |draw: &mut Self| (0..length).map(|_| draw.word() as u8).collect();
            packet.options = Some(GroupOptions {
                group: self.bytes(20),
                source: ids(self),
                destinations: (0..=self.below(4)).map(|_| ids(self)).collect(),
                module: ModuleId(self.word() as u16),
            });
        }
        packet
    }

    fn front(&mut self) -> FrontMessage {
        FrontMessage {
            module: ModuleId(self.word() as u16),
            uuid: self.bytes(255),
            ext: self.word() as u16,
            payload: self.bytes(300),
        }
    }

    fn protocol_info(&mut self) -> ProtocolInfo {
        ProtocolInfo { module: self.int(), min_version: self.int(), max_version: self.int() }
    }

    fn node_status(&mut self) -> NodeStatus {
        let extension =
            NodeExtension { role: NodeType(self.int()), height: self.word() >> self.below(64) };
        NodeStatus {
            uuid: self.bytes(600),
            seq: self.int().cast_unsigned(),
            groups: self.many(4, |draw| GroupNodeInfo {
                group: draw.bytes(20),
                nodes: draw.many(4, |draw| draw.bytes(300)),
                group_type: GroupType(draw.below(4) as i32),
                protocols: draw.many(4, Self::protocol_info),
                node_types: draw.many(4, |draw| NodeType(draw.int())),
            }),
            extension: (self.below(2) == 0).then_some(extension),
        }
    }

    fn router_table(&mut self) -> RouterTable {
        RouterTable {
            entries: self.many(5, |draw| {
                let info = NodeIdInfo { short: draw.node_id(), long: draw.node_id() };
                RouterTableEntry {
                    destination: draw.node_id(),
                    next_hop: draw.node_id(),
                    distance: draw.int(),
                    info: (draw.below(2) == 0).then_some(info),
                }
            }),
        }
    }

    fn rc2(&mut self) -> Rc2Packet {
        let protocol = ProtocolId(self.int());
        let (kind, seq) = (self.word() as u16, self.word() as u32);
        let version = (self.word() as u16) & 0x8000;
        Rc2Packet { version, ..Rc2Packet::new(protocol, kind, seq, self.bytes(300)) }
    }

    fn topics(&mut self) -> Vec<Bytes> {
        self.many(9, |draw| {
            let letters = 1 + draw.below(20);
            (0..letters).map(|_| b"topic-\xe4\xb8\xad #!$"[draw.below(13) as usize]).collect()
        })
    }

    /// Bytes that zstd can make smaller, at least one.
    fn compressible(&mut self) -> Bytes {
        let length = 1 + self.below(5000);
        (0..length).map(|_| b"abcd"[self.below(4) as usize]).collect()
    }
}
