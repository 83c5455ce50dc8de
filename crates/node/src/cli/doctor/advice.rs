//! What to do next, in one sentence for each finding.

use chainmesh_identity::tls::rustls::AlertDescription;
use chainmesh_identity::tls::{ChainPosition, RefusalReason};

use super::finding::{Circumstances, Finding, clock_fault, is_new};

impl Finding {
    /// What to do next, in one sentence.
    pub(super) fn next(&self, at: &Circumstances<'_>) -> String {
        let fixed = match self {
            Self::Well => "Nothing: nodes with these files can talk to each other.",
            Self::UnknownHost(_) => "Correct the name, or write the IP address.",
            Self::TcpRefused => {
                "Start the node there, or correct the port (FISCO BCOS: [p2p] listen_port in \
                 config.ini, 30300 by default)."
            }
            Self::TcpTimeout(_) => {
                "Check the address, and that the firewalls on the way let this TCP port through."
            }
            Self::TcpFailed(_) => "Check the address and the network of this machine.",
            Self::Http => {
                "Use the P2P port; this one is for JSON-RPC or a web page (FISCO BCOS: [rpc] is \
                 20200, [p2p] is 30300)."
            }
            Self::NotTls(_) => "Check the port: a consortium node speaks TLS on its P2P port.",
            Self::HungUp(_) => {
                "Use the peer's consortium port; on an RLPx port peers are added with their enode \
                 URL instead."
            }
            Self::Mute(_) | Self::Stalled => {
                "Check that a consortium node is behind that port and not stuck: look at its log, \
                 or give it more time with --timeout."
            }
            Self::ClosedInHandshake { .. } => {
                "Look into the peer's log at this moment: it names the certificate or the list that \
                 it is about."
            }
            Self::ClosedAfterHandshake => {
                "If our ID is connected there already, all is well and only the second session was \
                 closed; else look for it on the peer's deny or allow list and in its log."
            }
            Self::CertificateWanted => {
                "Give the node's certificate: --data-dir DIR, or --cert node.crt --key node.key."
            }
            Self::SignatureUnknown => {
                "Limit the peer to TLS 1.2, as FISCO BCOS does by itself, or use a certificate with \
                 a key of another kind."
            }
            Self::CurveRefused => {
                "Use a certificate with an RSA key, as FISCO BCOS 3.x issues them, or allow the \
                 curve at the peer (OpenSSL: in its list of groups)."
            }
            Self::NotMutual => {
                "Check the port, and that the peer asks for certificates (FISCO BCOS always does on \
                 its P2P port)."
            }
            Self::Ourselves => {
                "Use the files of another node; each node needs a key of its own (chainmesh ca \
                 issue makes one)."
            }
            Self::NothingInCommon(_) => {
                "Allow TLS 1.2 with ECDHE and AES-GCM or ChaCha20 at the peer, or TLS 1.3."
            }
            Self::BrokenTls(_) => {
                "Check that nothing on the way (a proxy, a load balancer) changes what is sent."
            }
            Self::Io(_) => "Try again; if it stays so, look at the network between the two.",
            Self::WeRefuse(error) => return after_our_refusal(&error.reason, at),
            Self::TheyRefuse(alert) => return after_their_refusal(*alert, at),
        };
        fixed.to_owned()
    }
}

fn after_our_refusal(reason: &RefusalReason, at: &Circumstances<'_>) -> String {
    if clock_fault(reason).is_some() {
        return "Compare `date -u` on this machine and another one, set the clock right (NTP), and \
                try again."
            .into();
    }
    match reason {
        RefusalReason::UnknownAuthority { .. } | RefusalReason::SelfSigned
            if at.authorities == 0 =>
        {
            "Give the CA of your chain: --ca ca.crt, or --data-dir with a directory that has one."
                .into()
        }
        RefusalReason::UnknownAuthority { authority, same_name: false } => format!(
            "If the peer belongs to your chain, add the certificate of {authority} to ca.crt; else \
             let your CA issue a certificate for the peer."
        ),
        RefusalReason::UnknownAuthority { same_name: true, .. } => {
            "Compare ca.crt of both nodes (openssl x509 -in ca.crt -noout -fingerprint), and give \
             both the same."
                .into()
        }
        RefusalReason::SelfSigned => {
            "Let your CA issue a certificate for the peer's key: chainmesh ca issue --name NAME \
             --key node.key --out DIR."
                .into()
        }
        RefusalReason::Expired { position, .. } => renew(*position),
        RefusalReason::NotYetValid { .. } => {
            "Wait until then, or let the CA issue one that begins now.".into()
        }
        RefusalReason::WrongUsage => {
            "Let the CA issue it without extended key usage, or with serverAuth and clientAuth, and \
             with digitalSignature if it has a key usage."
                .into()
        }
        RefusalReason::AuthorityAsNode => {
            "The peer uses a CA's certificate as its own: let the CA issue one for the node.".into()
        }
        RefusalReason::IssuerIsNoAuthority { issuer } => format!(
            "Let the CA or an agency issue the certificate: {issuer} is a node and may not."
        ),
        RefusalReason::KeyMismatch => {
            "At the peer, put the node.key that node.crt was issued for beside it, or issue a new \
             node.crt for the key."
                .into()
        }
        RefusalReason::WeakRsa { .. } => {
            "Make a new key for the peer, RSA with 2048 bits or more, or secp256k1.".into()
        }
        RefusalReason::OldVersion { .. } => {
            "Let the CA issue it as X.509 version 3 with basicConstraints=CA:FALSE.".into()
        }
        RefusalReason::UnsupportedKey(_) => {
            "Issue the certificate for a key of secp256k1, P-256, P-384, Ed25519 or RSA; chains of \
             the SM edition cannot be joined."
                .into()
        }
        RefusalReason::Revoked { .. } => {
            "If that was meant, nothing; else let the CA issue a new certificate for the peer.".into()
        }
        RefusalReason::RevocationListExpired { .. } => {
            "Fetch the new ca.crl from the CA.".into()
        }
        RefusalReason::UnexpectedIdentity { .. } => {
            "Another node is at this address: correct the address or the expected ID.".into()
        }
        RefusalReason::Denied(_) | RefusalReason::NotAllowed(_) => {
            "Change the list of IDs if the peer is to be let in.".into()
        }
        RefusalReason::NotPresented | RefusalReason::Unreadable | RefusalReason::Chain(_) => {
            "At the peer, check node.crt: the node's certificate first, then the agency's if there \
             is one."
                .into()
        }
    }
}

fn renew(position: ChainPosition) -> String {
    match position {
        ChainPosition::Node => {
            "Let the CA issue a new certificate for the same key: chainmesh ca issue --name NAME \
             --key node.key --out DIR."
        }
        ChainPosition::Agency => {
            "The agency needs a new certificate, and its nodes new ones from it."
        }
        ChainPosition::Authority => {
            "Make a new CA, trust both for a while, and issue new certificates to all nodes."
        }
    }
    .into()
}

fn after_their_refusal(alert: AlertDescription, at: &Circumstances<'_>) -> String {
    if let Some(fault) = at.fault {
        if clock_fault(fault).is_some() {
            return "Compare `date -u` on this machine and another one; if it is right, let the CA \
                    issue a new certificate for this node."
                .into();
        }
        return "Let the CA that the peer trusts issue a proper certificate for this node: \
                chainmesh ca issue --name NAME --key node.key --out DIR."
            .into();
    }
    match alert {
        AlertDescription::UnknownCA => {
            let issuer = at.shown.map_or("our CA", |shown| shown.issuer.as_str());
            let theirs = at.peer.map_or("its own CA", |peer| peer.issuer.as_str());
            format!(
                "At the peer, add the CA of our chain ({issuer}) to ca.crt, or take a certificate \
                 here that was issued by {theirs}."
            )
        }
        AlertDescription::BadCertificate if at.shown.is_some_and(|shown| is_new(shown, at.now)) => {
            "Compare `date -u` on both machines, and look into the peer's log: it says what is wrong \
             with our certificate."
                .into()
        }
        AlertDescription::CertificateExpired => {
            "Compare `date -u` on both machines, and set the clock right (NTP) that is wrong.".into()
        }
        AlertDescription::CertificateRevoked => {
            "Let the CA issue a new certificate for this node, with a new key if the old one may be \
             known to others."
                .into()
        }
        AlertDescription::AccessDenied => {
            "At the peer, take our ID off the deny list, or put it on the allow list.".into()
        }
        _ => "Look into the peer's log at this moment: it says what is wrong with our certificate."
            .into(),
    }
}
