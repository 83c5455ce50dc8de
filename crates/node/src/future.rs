//! Blocks that came before their time are imported when it has come, and told to the peers then.

use std::sync::Arc;
use std::time::Duration;

use chainmesh_chain::Chain;
use chainmesh_net::{P2pHandle, SessionCommand};
use chainmesh_proto::eth::chain::ChainReader;
use tracing::{debug, error};

/// How often it is looked whether there is one.
const LOOK: Duration = Duration::from_millis(200);

/// Imports the blocks that the chain holds for later, for ever.
pub(crate) async fn import_due_blocks(chain: Arc<Chain>, net: P2pHandle) {
    loop {
        tokio::time::sleep(LOOK).await;
        if chain.next_due().is_none_or(|at| at > crate::unix_time()) {
            continue;
        }
        let before = chain.head().hash;
        let importer = Arc::clone(&chain);
        match tokio::task::spawn_blocking(move || importer.import_due()).await {
            Ok(Ok(head)) if head.hash != before => {
                let (hash, number) = (head.hash, head.number);
                debug!(number, %hash, "a block that came too early is imported");
                // An error means that the network has ended, and so does this task.
                let _ = net.cmd_tx.send(SessionCommand::BroadcastBlock { hash, number }).await;
            }
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(why)) => error!("blocks that came too early cannot be stored: {why}"),
        }
    }
}
