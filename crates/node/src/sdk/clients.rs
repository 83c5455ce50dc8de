//! Clients that are let in, and their certificates: judged again when what they are judged by changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chainmesh_identity::tls::rustls::pki_types::{CertificateDer, UnixTime};
use chainmesh_identity::tls::{PeerCertificateError, PeerSide, TlsMaterial, Trust};
use tokio::sync::oneshot;

use super::options::SdkCertificates;

/// Why a client may not stay.
pub(super) type Refused = Box<PeerCertificateError>;

/// All clients of the ports that have a certificate.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// How often all were judged again.
    judged: u64,
    known: BTreeMap<u64, Known>,
}

#[derive(Debug)]
struct Known {
    certificates: Vec<CertificateDer<'static>>,
    refuse: oneshot::Sender<Refused>,
}

/// The place of a client among all; it is left when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    clients: Arc<Clients>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.lock().known.remove(&self.number);
    }
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often all were judged again: to be asked before a client is judged for the first time.
    pub(super) fn judged(&self) -> u64 {
        self.lock().judged
    }

    /// Lets a client in that was judged when [`Self::judged`] was `judged`; what is received says that
    /// it may not stay.
    pub(super) fn enter(
        self: &Arc<Self>,
        certificates: Vec<CertificateDer<'static>>,
        judged: u64,
        material: Option<&TlsMaterial>,
    ) -> (Place, oneshot::Receiver<Refused>) {
        let (refuse, refused) = oneshot::channel();
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.known.insert(number, Known { certificates, refuse });
        let missed = state.judged != judged;
        drop(state);
        if let (true, Some(material)) = (missed, material) {
            self.judge_one(number, &material.trust());
        }
        (Place { clients: Arc::clone(self), number }, refused)
    }

    /// Judges all by this. Takes a while for many; says how many have to go.
    fn judge(&self, trust: &Trust) -> usize {
        let numbers: Vec<u64> = {
            let mut state = self.lock();
            state.judged += 1;
            state.known.keys().copied().collect()
        };
        numbers.into_iter().filter(|number| self.judge_one(*number, trust)).count()
    }

    /// Whether it has to go.
    fn judge_one(&self, number: u64, trust: &Trust) -> bool {
        let certificates = self.lock().known.get(&number).map(|it| it.certificates.clone());
        let certificates = certificates.unwrap_or_default();
        let Some((own, rest)) = certificates.split_first() else { return false };
        let Err(error) = trust.verify(own, rest, PeerSide::Dialling, UnixTime::now()) else {
            return false;
        };
        let Some(known) = self.lock().known.remove(&number) else { return false };
        known.refuse.send(Box::new(error)).is_ok()
    }
}

/// The certificates of the ports, to be read again.
#[derive(Debug, Clone)]
pub struct PortCertificates {
    pub(super) own: Option<SdkCertificates>,
    pub(super) material: Arc<TlsMaterial>,
    pub(super) clients: Arc<Clients>,
}

impl PortCertificates {
    /// Those of the ports alone; `None` when they have those of the node.
    #[must_use]
    pub const fn own(&self) -> Option<&SdkCertificates> {
        self.own.as_ref()
    }

    /// What clients see, and are judged by.
    #[must_use]
    pub const fn material(&self) -> &Arc<TlsMaterial> {
        &self.material
    }

    /// Ends the connections of clients that would be refused now; says how many.
    pub async fn judge_again(&self) -> usize {
        let (clients, trust) = (Arc::clone(&self.clients), self.material.trust());
        // It does not panic; when it was not run, the node is ending.
        tokio::task::spawn_blocking(move || clients.judge(&trust)).await.unwrap_or(0)
    }
}
