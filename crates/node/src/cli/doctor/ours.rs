//! What we bring along to the handshake: CAs, revocation lists, certificate and key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use chainmesh_identity::NodeKey;
use chainmesh_identity::certificate::{
    Authority, CertificateDer, InspectedCertificate, ValidityPeriod, files,
};
use chainmesh_identity::tls::rustls::pki_types::UnixTime;
use chainmesh_identity::tls::{
    Credentials, PeerCertificateError, PeerSide, StaleListPolicy, TlsMaterial, Trust,
};

use super::arguments::TlsArgs;

/// Names of a node's certificate and key: ours and FISCO 2.x's, then FISCO 3.x's
/// (`[cert] node_cert` of its config.ini).
const NODE_FILES: [(&str, &str); 2] =
    [(files::NODE_CERTIFICATE, files::NODE_KEY), ("ssl.crt", "ssl.key")];

/// Our side of the handshake.
pub(super) struct Ours {
    pub(super) material: Arc<TlsMaterial>,
    /// What we show; `None` when we were given nothing to show.
    pub(super) shown: Option<InspectedCertificate>,
    /// What we would say of our own certificate, if a peer showed it to us.
    pub(super) fault: Option<PeerCertificateError>,
}

impl Ours {
    pub(super) fn load(args: &TlsArgs) -> anyhow::Result<Self> {
        let trust = trust(args)?;
        let Some((certificate, key)) = node_files(args)? else {
            let material = TlsMaterial::new(stand_in()?, trust);
            return Ok(Self { material, shown: None, fault: None });
        };
        let credentials = Credentials::from_files(&certificate, &key).with_context(|| {
            format!("{} and {} cannot be used", certificate.display(), key.display())
        })?;
        let shown = Some(credentials.certificate().clone());
        let fault = credentials.chain().split_first().and_then(|(own, rest)| {
            trust.verify(own, rest, PeerSide::Dialling, UnixTime::now()).err()
        });
        Ok(Self { material: TlsMaterial::new(credentials, trust), shown, fault })
    }
}

fn trust(args: &TlsArgs) -> anyhow::Result<Trust> {
    let mut authorities: Vec<CertificateDer<'static>> = Vec::new();
    for path in &args.ca {
        authorities.extend(files::read_certificates(path)?);
    }
    let of_directory = |name| args.data_dir.as_deref().map(|dir| dir.join(name));
    if let (true, Some(path)) = (args.ca.is_empty(), of_directory(files::CA_CERTIFICATE)) {
        authorities.extend(files::read_certificates(&path)?);
    }
    let lists = match (&args.crl, of_directory(files::REVOCATION_LIST)) {
        (Some(path), _) => {
            // One that was asked for has to be there.
            files::read(path)?;
            files::read_revocation_lists(path)?
        }
        (None, Some(path)) => files::read_revocation_lists(&path)?,
        (None, None) => Vec::new(),
    };
    Ok(Trust::new(&authorities)?.with_revocation_lists(&lists, StaleListPolicy::default())?)
}

fn node_files(args: &TlsArgs) -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    if let (Some(certificate), Some(key)) = (&args.cert, &args.key) {
        return Ok(Some((certificate.clone(), key.clone())));
    }
    let Some(dir) = &args.data_dir else { return Ok(None) };
    let mut places =
        NODE_FILES.iter().map(|(certificate, key)| (dir.join(certificate), dir.join(key)));
    match places.find(|(certificate, _)| certificate.exists()) {
        Some(found) => Ok(Some(found)),
        None => bail!("{}", no_certificate(dir)),
    }
}

fn no_certificate(dir: &Path) -> String {
    format!(
        "there is neither node.crt nor ssl.crt in {}; chainmesh ca issue --name n0 --out {} makes \
         one",
        dir.display(),
        dir.display()
    )
}

/// Credentials that are never shown: without any, the material for a handshake cannot be made.
fn stand_in() -> anyhow::Result<Credentials> {
    let now = crate::unix_time();
    let validity = ValidityPeriod { not_before: now, not_after: now.saturating_add(3600) };
    let key = NodeKey::from_entropy(chainmesh_net::entropy());
    let authority = Authority::create("nobody", key.duplicate(), validity, [1; 16])?;
    let certificate = authority.issue_node("nobody", key.public_key(), validity, [2; 16])?;
    Ok(Credentials::of_node(vec![certificate], &key)?)
}
