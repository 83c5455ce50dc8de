//! Hello, and what two nodes have in common.
//!
//! Of each capability name the highest common version is used. The message codes follow the base
//! protocol's, in the alphabetical order of the names, so both sides number them alike.

use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::{BASE_CODES, DisconnectReason, Hello, MAX_BASE_MESSAGE, code};

use super::{CloseCause, ProtocolFault};
use crate::module::Module;
use crate::session::{MESH, Message, Session};

/// The oldest version of the base protocol that is spoken: 4, without snappy.
const MIN_VERSION: u64 = 4;

/// A module that both sides have, and where its codes begin.
#[derive(Debug, Clone)]
pub struct SharedModule {
    /// The module.
    pub module: Module,
    /// The session's code of its code 0.
    pub offset: u64,
}

/// Reads the first message of a session.
pub(super) fn read_hello(message: &Message, peer: PeerId) -> Result<Hello, CloseCause> {
    match message.code {
        code::HELLO => {}
        code::DISCONNECT => {
            let reason = DisconnectReason::decode_payload(&message.payload)
                .map_err(ProtocolFault::Disconnect)?;
            return Err(CloseCause::Remote(reason));
        }
        other => return Err(ProtocolFault::NoHello(other).into()),
    }
    if message.payload.len() > MAX_BASE_MESSAGE {
        return Err(ProtocolFault::BaseTooLarge(message.payload.len()).into());
    }
    let hello = Hello::decode_payload(&message.payload).map_err(ProtocolFault::Hello)?;
    if hello.id != peer {
        return Err(ProtocolFault::Identity.into());
    }
    if hello.protocol_version < MIN_VERSION {
        return Err(ProtocolFault::Version(hello.protocol_version).into());
    }
    Ok(hello)
}

/// Finds what both sides have, in the order of the codes.
pub(super) fn match_modules(
    ours: &[Module],
    theirs: &Hello,
) -> Result<Vec<SharedModule>, ProtocolFault> {
    let mut shared: Vec<&Module> =
        ours.iter().filter(|module| theirs.capabilities.contains(&module.capability)).collect();
    // Ascending by name; of one name the highest version comes first and stays.
    shared.sort_by(|a, b| {
        let (a, b) = (a.capability, b.capability);
        a.name.as_str().cmp(b.name.as_str()).then(b.version.cmp(&a.version))
    });
    shared.dedup_by_key(|module| module.capability.name);
    if let Some(missing) = ours.iter().find(|module| {
        module.required && !shared.iter().any(|have| have.capability.name == module.capability.name)
    }) {
        return Err(ProtocolFault::MissingModule(missing.capability));
    }
    if shared.is_empty() {
        return Err(ProtocolFault::Useless);
    }
    let mut offset = BASE_CODES;
    Ok(shared
        .into_iter()
        .map(|module| {
            let shared = SharedModule { module: module.clone(), offset };
            offset += u64::from(module.message_count);
            shared
        })
        .collect())
}

/// The modules that a node of FISCO has in common with us, without saying so.
pub(super) fn foreign_modules(ours: &[Module]) -> Vec<SharedModule> {
    let mesh = ours.iter().filter(|module| module.capability.name.as_str() == MESH);
    mesh.max_by_key(|module| module.capability.version)
        .map(|module| SharedModule { module: module.clone(), offset: BASE_CODES })
        .into_iter()
        .collect()
}

/// Gives the modules for whose messages the session has a way of its own the codes of that way.
/// They stay in the order of the codes.
pub(super) fn move_offsets(shared: &mut [SharedModule], session: &Session) {
    for module in shared.iter_mut() {
        if let Some(offset) = session.offset_of(module.module.capability.name.as_str()) {
            module.offset = offset;
        }
    }
    shared.sort_by_key(|module| module.offset);
}
