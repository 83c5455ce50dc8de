//! Members of a consortium mesh: the real `MeshModule` of a node, and what the tokio driver is to it.
//!
//! | part | is |
//! |---|---|
//! | `node` | one life of a member, and the ear through which its mesh is heard |
//! | `drive` | what the mesh says, done and noted down; what a test sends |
//! | `record` | what came to a member, over all its lives |

mod drive;
mod node;
mod record;

use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_proto::mesh::MeshConfig;

pub(crate) use node::{Clock, MeshHeard, MeshMember};
pub use record::{Delivered, DeliveredCast, MeshRecord};

/// A node's part in the mesh.
#[derive(Debug, Clone, Default)]
pub struct MeshNode {
    /// The topics that it follows from each start on.
    pub topics: Vec<String>,
    /// What the application behind it does with a message to this node alone.
    pub application: Application,
    /// Changes what the mesh is told before it starts; nothing is changed if there is none.
    pub configure: Option<fn(&mut MeshConfig)>,
}

/// What the application behind a member does with a message to it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Application {
    /// It replies with the same payload.
    #[default]
    Echoes,
    /// It never replies.
    Silent,
}

impl MeshNode {
    /// What the mesh of this node is told before it starts.
    pub(crate) fn config(&self, id: PeerId) -> MeshConfig {
        let mut config = MeshConfig::new(CertificateIdentity::from(id));
        if let Some(configure) = self.configure {
            configure(&mut config);
        }
        config
    }
}
