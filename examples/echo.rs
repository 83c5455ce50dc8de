//! Two nodes in one process that speak the module [`echo`](chainmesh_examples::echo): they find
//! each other, say something, get it back, and part.
//!
//! ```sh
//! cargo run -p chainmesh-examples --example echo
//! ```

use std::error::Error;

use chainmesh_examples::echo::{self, Seen};
use chainmesh_net::{NodeKey, P2pConfig, P2pHandle};
use tokio::sync::mpsc;

/// Chain ID of the two nodes; without a chain nobody asks for it.
const CHAIN_ID: u64 = 1337;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (alice, mut alice_sees) = node(Vec::new()).await?;
    let enode = alice.enode().ok_or("alice does not listen")?;
    println!("alice listens at {enode}");

    // Bob knows alice's enode URL and nothing else: her ID is in it, and he checks it.
    let (bob, mut bob_sees) = node(vec![enode]).await?;
    println!("bob   has the ID {}", bob.local_id);

    while let Some(seen) = bob_sees.recv().await {
        match seen {
            Seen::Peer(peer) => {
                println!("bob   is connected to {} over {}", peer.address(), peer.capability());
                echo::say(&peer, "hello, alice")?;
            }
            Seen::Echo(line) => {
                println!("bob   got back {line:?}");
                break;
            }
            Seen::Said(line) => println!("bob   was told {line:?}"),
            Seen::Gone(reason) => return Err(format!("the session ended early: {reason}").into()),
        }
    }

    bob.shutdown().await;
    while let Some(seen) = alice_sees.recv().await {
        match seen {
            Seen::Peer(peer) => println!("alice has a peer, {}", peer.id()),
            Seen::Said(line) => println!("alice was told {line:?}"),
            Seen::Echo(line) => println!("alice got back {line:?}"),
            Seen::Gone(reason) => {
                println!("alice saw bob leave: {reason}");
                break;
            }
        }
    }
    alice.shutdown().await;
    Ok(())
}

/// A node with a new key and the module, on a port of loopback that the system chooses.
async fn node(
    boot_nodes: Vec<chainmesh_net::Enode>,
) -> Result<(P2pHandle, mpsc::Receiver<Seen>), Box<dyn Error>> {
    let (module, seen) = echo::module();
    // A real node keeps its key in a file; see `chainmesh key --help`.
    let key = NodeKey::from_entropy(chainmesh_net::entropy());
    let mut config = P2pConfig::new(key, CHAIN_ID, Default::default());
    config.listen_address = [127, 0, 0, 1].into();
    config.listen_port = 0;
    config.boot_nodes = boot_nodes;
    config.modules.push(module);
    Ok((chainmesh_net::start(config).await?, seen))
}
