//! Being dialled back.

use chainmesh_wire::reach::Message;

/// A message of `reach/1`: the first byte is its code.
pub fn reach_message(data: &[u8]) {
    let Some((code, payload)) = data.split_first() else { return };
    let code = u32::from(*code);
    let Ok(message) = Message::decode(code, payload) else { return };
    assert_eq!(message.code(), code);
    assert_eq!(Message::decode(code, &message.encode()), Ok(message), "what was written is read");
}
