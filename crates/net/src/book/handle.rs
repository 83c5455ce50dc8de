//! What the owner of a node asks of its address book.

use core::net::IpAddr;
use core::time::Duration;

use chainmesh_identity::{Enode, PeerId};
use chainmesh_proto::peers::book::Changes;
use tokio::sync::oneshot;

use super::{Banned, BookOrder, PeerQuery, PeerStory, PeerWishError};
use crate::handle::{NodeEnded, P2pHandle};
use crate::service::Order;

impl P2pHandle {
    /// Wants a connection to a node from now on, and after a restart if the book is kept.
    ///
    /// # Errors
    /// See [`PeerWishError`].
    pub async fn keep_peer(&self, enode: &Enode, trusted: bool) -> Result<(), PeerWishError> {
        let enode = Box::new(enode.clone());
        self.ask_book(|answer| BookOrder::Want { enode, trusted, answer }).await?
    }

    /// Forgets a node, whatever is known of it, and ends the session with it. Discovery may find it
    /// again. A ban stays.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn drop_peer(&self, id: PeerId) -> Result<(), NodeEnded> {
        self.order(Order::Book(BookOrder::Forget(id))).await
    }

    /// Trusts a node no more: its slot counts again. The session goes on, unless there is no slot.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn distrust_peer(&self, id: PeerId) -> Result<(), NodeEnded> {
        self.order(Order::Book(BookOrder::Distrust(id))).await
    }

    /// Has nothing to do with a node for a time, or until [`unban_peer`](Self::unban_peer): its session
    /// ends, it is not dialled, and it is refused as soon as it has proved who it is.
    ///
    /// # Errors
    /// See [`PeerWishError`].
    pub async fn ban_peer(
        &self,
        id: PeerId,
        span: Option<Duration>,
        reason: &str,
    ) -> Result<(), PeerWishError> {
        let reason = reason.to_owned();
        let order = |answer| BookOrder::Ban { id, span, reason, answer };
        Ok(self.ask_book(order).await??)
    }

    /// Lifts the ban of a node; says whether there was one.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn unban_peer(&self, id: PeerId) -> Result<bool, NodeEnded> {
        self.ask_book(|answer| BookOrder::Unban(id, answer)).await
    }

    /// Takes no connection from an address and makes none to it, for a time or until
    /// [`unban_address`](Self::unban_address).
    ///
    /// # Errors
    /// See [`PeerWishError`]; loopback cannot be banned.
    pub async fn ban_address(
        &self,
        ip: IpAddr,
        span: Option<Duration>,
        reason: &str,
    ) -> Result<(), PeerWishError> {
        let reason = reason.to_owned();
        let order = |answer| BookOrder::BanAddress { ip, span, reason, answer };
        Ok(self.ask_book(order).await??)
    }

    /// Lifts the ban of an address; says whether there was one.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn unban_address(&self, ip: IpAddr) -> Result<bool, NodeEnded> {
        self.ask_book(|answer| BookOrder::UnbanAddress(ip, answer)).await
    }

    /// Everybody whom the operator keeps out, at most
    /// [`MAX_PINNED`](chainmesh_proto::peers::book::MAX_PINNED) nodes and as many addresses.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn bans(&self) -> Result<Vec<Banned>, NodeEnded> {
        self.ask_book(BookOrder::Bans).await
    }

    /// Everything that is known of the peers that are meant, at most sixteen.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn peer_stories(&self, query: PeerQuery) -> Result<Vec<PeerStory>, NodeEnded> {
        self.ask_book(|answer| BookOrder::Stories(query, answer)).await
    }

    /// What changed in the address book since the last call. To be taken once before
    /// [`shutdown`](Self::shutdown), while the peers that will be dialled first are still connected.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn take_book_changes(&self) -> Result<Changes, NodeEnded> {
        self.ask_book(BookOrder::Changes).await
    }

    async fn ask_book<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> BookOrder,
    ) -> Result<T, NodeEnded> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Book(order(answer))).await?;
        answered.await.map_err(|_| NodeEnded)
    }
}
