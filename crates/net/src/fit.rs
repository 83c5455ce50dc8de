//! What this node is: its chain, the forks of it, its role. Who does not fit is remembered.

use core::time::Duration;
use std::sync::Arc;

use alloy_eip2124::ForkFilter;
use alloy_primitives::{Bytes as Raw, keccak256};
use chainmesh_proto::discovery::NodeFilter;
use chainmesh_proto::eth::chain::ChainReader;
use chainmesh_proto::eth::status::ChainIdentity;
use chainmesh_proto::module::Module;
use chainmesh_proto::peers::book::{Fingerprint, MismatchKind};
use chainmesh_proto::role::NodeRole;
use chainmesh_proto::session::connection::CloseCause;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::book::unix_time;
use crate::discovery::{self, DiscoveryHandle, DiscoveryOptions, Found};
use crate::eth::EthChain;
use crate::service::{Entry, Order, Service};

/// How often it is looked whether the head of the chain has passed a fork: less than the time between
/// two blocks of most networks.
const LOOK_AT_HEAD: Duration = Duration::from_secs(2);

/// What others must fit: network, genesis block, forks, role and what they must speak. It changes with
/// the configuration, not with the head.
pub(crate) fn fingerprint(
    identity: Option<&ChainIdentity>,
    role: NodeRole,
    modules: &[Module],
) -> Fingerprint {
    let mut bytes = identity.map(|identity| identity.digest().to_vec()).unwrap_or_default();
    bytes.extend_from_slice(&role.encode_entry());
    for module in modules {
        let required = if module.required { "!" } else { "" };
        bytes.extend_from_slice(format!("{}{required} ", module.capability).as_bytes());
    }
    Fingerprint::from_slice(&keccak256(bytes)[..8])
}

/// What a node with a chain says in its record, and whom it takes for one that it can use.
pub(crate) fn for_chain(
    mut options: DiscoveryOptions,
    chain: Option<&EthChain>,
    role: NodeRole,
) -> DiscoveryOptions {
    let Some(EthChain { chain, forks, .. }) = chain else { return options };
    options.record_entries.push(discovery::role_entry(role));
    options.record_entries.push(discovery::eth_entry(&**chain, forks));
    let ours = || -> NodeFilter {
        let of_our_chain = discovery::of_our_chain(Arc::clone(chain), forks.clone());
        Arc::new(move |record| {
            of_our_chain(record) && record.is_some_and(|record| discovery::fits_role(record, role))
        })
    };
    options.filter = options.filter.or_else(|| Some(ours()));
    options
}

/// What there is to do when the head of the chain passes a fork.
pub(crate) struct AtForks {
    pub(crate) chain: Arc<dyn ChainReader>,
    pub(crate) forks: ForkFilter,
    /// All entries of the record that the node began with, and who has the record.
    pub(crate) discovery: Option<(Vec<(String, Raw)>, DiscoveryHandle)>,
    pub(crate) orders: mpsc::WeakSender<Order>,
}

impl AtForks {
    /// Watches the head until the node ends: at a fork the record is renewed, so that others go on
    /// finding this node, and those who did not fit because of their forks may be dialled again.
    pub(crate) async fn watch(self, mut ended: watch::Receiver<()>) {
        let (key, mut current) = discovery::eth_entry(&*self.chain, &self.forks);
        // The head may have moved since the record was made.
        let mut entries = self.discovery.iter().flat_map(|(entries, _)| entries);
        if let Some((_, said)) = entries.find(|(name, _)| *name == key) {
            current.clone_from(said);
        }
        let mut look = tokio::time::interval(LOOK_AT_HEAD);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                // Nothing is ever sent: it ends when the sender is dropped.
                _ = ended.changed() => return,
            }
            let (_, entry) = discovery::eth_entry(&*self.chain, &self.forks);
            if entry == current {
                continue;
            }
            info!(head = self.chain.head().number, "the head has passed a fork");
            current = entry;
            if let Some((entries, discovery)) = &self.discovery {
                let renew = |(name, value): &(String, Raw)| {
                    let value = if *name == key { &current } else { value };
                    (name.clone(), value.clone())
                };
                let _ = discovery.set_record_entries(entries.iter().map(renew).collect()).await;
            }
            let Some(orders) = self.orders.upgrade() else { return };
            if orders.send(Order::ForkPassed).await.is_err() {
                return;
            }
        }
    }
}

impl Service {
    /// A connection has ended: if its peer does not fit, that is remembered.
    pub(crate) fn judge(&mut self, entry: &Entry, cause: &CloseCause) {
        let Some(id) = entry.id else { return };
        let judged =
            self.bookkeeper.judge(&mut self.manager, unix_time(), &id, cause, entry.established);
        // Where the forks differ, the records say so.
        if let (Some(discovery), Some(false)) = (&self.discovery, judged.map(MismatchKind::is_soft))
        {
            discovery.not_ours(id);
        }
        if judged.is_some() && self.manager.has_target(&id) {
            let peer = entry.name();
            warn!(peer, "a node that is configured does not fit this one: {cause}");
        }
    }

    /// Discovery has the record of a node, and it is of our network.
    pub(crate) fn heard_record(&mut self, found: &Found) {
        if let Some(record) = &found.record {
            self.bookkeeper.book.heard_record(&found.enode.id, record.seq());
        }
    }
}
