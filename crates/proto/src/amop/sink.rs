//! What a driver does for the broker, which stands behind the lock of the mesh.

use super::Output;

/// What a driver does for the broker of a node: hands what it says to the connections of the SDKs.
pub trait SdkSink: Send + Sync {
    /// Queues something for a connection, or tells it to the log. Called under the lock of the mesh,
    /// so that a connection hears things in the order in which the broker said them: must not wait
    /// and must not call the mesh. What is for a session that is over is dropped.
    ///
    /// # Errors
    /// When the connection's queue has no room for an [`Output::Push`]; all else has to be taken, and
    /// is bounded by what the SDK itself published. When there is room again, the driver says
    /// [`Input::Room`](super::Input::Room). A connection whose queue is full should not be read from
    /// meanwhile: then an SDK that floods without reading is held up by itself.
    fn carry_out(&self, output: Output) -> Result<(), QueueFull>;
}

/// The queue of an SDK's connection is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of the SDK's connection is full")]
pub struct QueueFull;
